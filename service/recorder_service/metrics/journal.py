"""The journal: how soon messages are durable, how large it is, and what recovery found."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from recorder_service.metrics.ages import AgeGauge
from recorder_service.metrics.growth import Growth

_ACK_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SYNC_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


class Stats(Protocol):
    """Totals since the start."""

    @property
    def written_bytes(self) -> int:
        """Bytes made durable."""

    @property
    def rewrites(self) -> int:
        """Groups written a second time after an error."""


class Journal(Protocol):
    """The node's journal."""

    @property
    def size_bytes(self) -> int:
        """Length of all segments."""

    @property
    def queued_bytes(self) -> int:
        """Bytes on their way to the disk."""

    @property
    def oldest_unreleased(self) -> datetime | None:
        """Since when the oldest recording has been in it whose file is not stored."""

    @property
    def stats(self) -> Stats:
        """Totals since the start."""


class RecoveredRecording(Protocol):
    """What recovery found of one recording."""

    @property
    def missing_count(self) -> int:
        """Entries that were durable once and cannot be read."""


class Recovery(Protocol):
    """What recovery found."""

    @property
    def recordings(self) -> Mapping[UUID, RecoveredRecording]:
        """Recordings whose files are not stored."""

    @property
    def damage(self) -> Sequence[object]:
        """Stretches that are not what was written."""

    @property
    def elapsed_s(self) -> float:
        """How long it took."""


class JournalMetrics:
    """Measures the journal. `committed` and `synced` may be called from any thread."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Start at zero."""
        self._acks = Histogram(
            "recorder_ack_latency_seconds",
            "From receiving a message until it is durable; of each group the message that waited longest.",
            buckets=_ACK_BUCKETS_S,
            registry=registry,
        )
        self._syncs = Histogram(
            "recorder_journal_fsync_seconds",
            "Writing one group to the journal's disk, with its fdatasync.",
            buckets=_SYNC_BUCKETS_S,
            registry=registry,
        )
        self._bytes = Gauge("recorder_journal_bytes", "Length of the journal.", registry=registry)
        self._queued = Gauge("recorder_journal_queued_bytes", "Bytes accepted and not yet durable.", registry=registry)
        self._oldest = AgeGauge(
            "recorder_journal_oldest_unreleased_age_seconds",
            "Age of the oldest recording in the journal whose file is not stored; 0 if there is none.",
            registry,
        )
        written = Counter("recorder_journal_written_bytes", "Bytes made durable in the journal.", registry=registry)
        rewrites = Counter(
            "recorder_journal_rewrites", "Groups written a second time, after an error of the disk.", registry=registry
        )
        self._written, self._rewrites = Growth(written), Growth(rewrites)
        self._damage = Gauge(
            "recorder_recovery_damaged_ranges",
            "Stretches of the journal that the last start found damaged below what was durable.",
            registry=registry,
        )
        self._lost = Gauge(
            "recorder_recovery_lost_entries",
            "Acknowledged entries that the last start could not read back.",
            registry=registry,
        )
        self._recovered = Gauge(
            "recorder_recovery_recordings", "Recordings that the last start brought back.", registry=registry
        )
        self._recovery_s = Gauge(
            "recorder_recovery_seconds", "How long reading the journal took at start.", registry=registry
        )

    def committed(self, elapsed_s: float) -> None:
        """Note how long a message took to become durable."""
        self._acks.observe(elapsed_s)

    def synced(self, elapsed_s: float) -> None:
        """Note how long the disk took for a group."""
        self._syncs.observe(elapsed_s)

    def recovered(self, found: Recovery) -> None:
        """Note what the start found."""
        self._damage.set(len(found.damage))
        self._lost.set(sum(recording.missing_count for recording in found.recordings.values()))
        self._recovered.set(len(found.recordings))
        self._recovery_s.set(found.elapsed_s)

    def look(self, journal: Journal) -> None:
        """Note how the journal stands."""
        self._bytes.set(journal.size_bytes)
        self._queued.set(journal.queued_bytes)
        self._oldest.set_since(journal.oldest_unreleased)
        stats = journal.stats
        self._written.reach(stats.written_bytes)
        self._rewrites.reach(stats.rewrites)

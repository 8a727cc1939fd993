"""Recordings: how many are live, how they ended, how soon their files were available."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol
from uuid import UUID

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from recorder_service.domain.event import EventType
from recorder_service.domain.recording import RecordedLeg, Recording, RecordingKind, StopReason

_AVAILABLE_BUCKETS_S = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_OUTCOMES = {
    EventType.RECORDING_COMPLETED: "available",
    EventType.RECORDING_EMPTY: "empty",
    EventType.RECORDING_FAILED: "failed",
}
# Of a recording that failed before it was known why it ended.
_UNKNOWN = "unknown"


class LiveRecording(Protocol):
    """A recording without its last state."""

    @property
    def recording(self) -> Recording:
        """As it stands."""


class Audio(Protocol):
    """Counts the audio of recordings."""

    def begin(self, recording_id: UUID, legs: Iterable[RecordedLeg]) -> None:
        """Count from here on."""

    def settle(self, recording_id: UUID, legs: Iterable[RecordedLeg]) -> None:
        """Count what is left; it has ended."""


class RecordingMetrics:
    """Counts recordings from their start to their last state."""

    def __init__(self, registry: CollectorRegistry, audio: Audio) -> None:
        """Start at zero; `audio` hears of starts and ends."""
        self._audio = audio
        self._ending_s: dict[UUID, float] = {}
        self._live = Gauge(
            "recorder_live_recordings", "Recordings without their last state.", ["kind"], registry=registry
        )
        self._legs = Gauge("recorder_live_legs", "Legs of the recordings without their last state.", registry=registry)
        self._started = Counter("recorder_recordings_started", "Recordings begun.", ["kind"], registry=registry)
        self._ended = Counter(
            "recorder_recordings",
            "Recordings in their last state, by outcome (available, empty, failed) and what ended them.",
            ["kind", "outcome", "reason"],
            registry=registry,
        )
        self._available = Histogram(
            "recorder_hangup_to_available_seconds",
            "From what ended a recording until its file, event and webhook were committed.",
            buckets=_AVAILABLE_BUCKETS_S,
            registry=registry,
        )
        for kind in RecordingKind:
            self._started.labels(kind.value)
            for outcome in _OUTCOMES.values():
                for reason in (*(reason.value for reason in StopReason), _UNKNOWN):
                    self._ended.labels(kind.value, outcome, reason)

    def watch(self, live: Callable[[], Iterable[LiveRecording]]) -> None:
        """Count the live recordings whenever the metrics are read; `live` is called from another thread."""
        for kind in RecordingKind:
            self._live.labels(kind.value).set_function(_count_of(kind, live))
        self._legs.set_function(lambda: sum(len(item.recording.legs) for item in live()))

    def started(self, recording: Recording) -> None:
        """Count a recording that began."""
        self._started.labels(recording.kind.value).inc()
        self._audio.begin(recording.recording_id, recording.legs)

    def brought_back(self, recording_id: UUID, legs: Sequence[RecordedLeg]) -> None:
        """Note what a recording of a former run had received: that was counted then."""
        self._audio.begin(recording_id, legs)

    def ending(self, recording_id: UUID) -> None:
        """Note that something ended a recording: from now on it is on its way to be available."""
        self._ending_s[recording_id] = time.monotonic()

    def told(self, recording: Recording, event_type: EventType) -> None:
        """Count a recording whose last state was committed; other events count nothing."""
        outcome = _OUTCOMES.get(event_type)
        if outcome is None:
            return
        reason = _UNKNOWN if recording.stop_reason is None else recording.stop_reason.value
        self._ended.labels(recording.kind.value, outcome, reason).inc()
        self._audio.settle(recording.recording_id, recording.legs)
        ending_s = self._ending_s.pop(recording.recording_id, None)
        # One that a former run ended waited for the restart: that is not what this figure is about.
        if ending_s is not None and event_type is EventType.RECORDING_COMPLETED:
            self._available.observe(time.monotonic() - ending_s)


def _count_of(kind: RecordingKind, live: Callable[[], Iterable[LiveRecording]]) -> Callable[[], float]:
    return lambda: sum(item.recording.kind is kind for item in live())

"""The node's disk: how much room is left, for how long, and what waits in the spool."""

import os
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge

from recorder_service.metrics.ages import AgeGauge

# A month: further than any figure of the last minutes reaches.
LONGEST_S = 30 * 86_400.0
_WINDOW_S = 900.0
# Before that a few megabytes more or less say nothing.
_SHORTEST_WINDOW_S = 30.0


class DiskForecast:
    """Foretells when a disk is full from how it filled in the last quarter of an hour."""

    def __init__(self) -> None:
        """Start without knowledge."""
        self._seen: deque[tuple[float, int]] = deque()

    def left_s(self, now_s: float, room_bytes: int) -> float:
        """Note how much room there is now and return how long it lasts, at most `LONGEST_S`.

        Args:
            now_s: Monotonic clock.
            room_bytes: Free space above the hard mark; not below 0.
        """
        self._seen.append((now_s, room_bytes))
        while self._seen[0][0] < now_s - _WINDOW_S:
            self._seen.popleft()
        then_s, before_bytes = self._seen[0]
        used_bytes = before_bytes - room_bytes
        if room_bytes <= 0:
            return 0.0
        if used_bytes <= 0 or now_s - then_s < _SHORTEST_WINDOW_S:
            return LONGEST_S
        return min(LONGEST_S, room_bytes * (now_s - then_s) / used_bytes)


@dataclass(frozen=True, slots=True)
class SpoolState:
    """What lies in the spool.

    Attributes:
        files: Finished files that wait to be stored.
        size_bytes: Of all files, those under construction included.
        oldest: When the oldest finished one was finished; None if none waits.
    """

    files: int
    size_bytes: int
    oldest: datetime | None


def spool_state(directory: Path) -> SpoolState:
    """Look at a spool directory; what vanishes meanwhile does not count. Blocks."""
    size_bytes, sealed_s = 0, []
    with os.scandir(directory) as found:
        for entry in found:
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            size_bytes += status.st_size
            if entry.name.endswith(".sealed"):
                sealed_s.append(status.st_mtime)
    oldest = datetime.fromtimestamp(min(sealed_s), UTC) if sealed_s else None
    return SpoolState(len(sealed_s), size_bytes, oldest)


class DiskMetrics:
    """Measures disk and spool."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Start at zero."""
        self._free = Gauge("recorder_disk_free_bytes", "Free space on the data directory's disk.", registry=registry)
        self._room = Gauge(
            "recorder_disk_room_bytes", "Free space above the hard mark, where recordings are ended.", registry=registry
        )
        self._left = Gauge(
            "recorder_disk_left_seconds",
            "How long that lasts if the disk goes on filling as in the last 15 minutes; at most 30 days.",
            registry=registry,
        )
        self._left.set(LONGEST_S)
        self._spool_bytes = Gauge("recorder_spool_bytes", "Bytes in the spool.", registry=registry)
        self._spool_files = Gauge(
            "recorder_spool_waiting_files", "Finished files that wait to be stored.", registry=registry
        )
        self._spool_age = AgeGauge(
            "recorder_spool_oldest_age_seconds",
            "How long the oldest finished file has waited to be stored; 0 if none waits.",
            registry,
        )
        self._forecast = DiskForecast()

    def look_at_disk(self, free_bytes: int, room_bytes: int) -> None:
        """Note how much room there is."""
        self._free.set(free_bytes)
        self._room.set(room_bytes)
        self._left.set(self._forecast.left_s(time.monotonic(), room_bytes))

    def look_at_spool(self, spool: SpoolState) -> None:
        """Note what lies in the spool."""
        self._spool_bytes.set(spool.size_bytes)
        self._spool_files.set(spool.files)
        self._spool_age.set_since(spool.oldest)

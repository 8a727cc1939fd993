"""Room on the node's disk: two marks, one that keeps new calls away and one that ends the running ones in order."""

import asyncio
import enum
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from recorder_service.errors import Overloaded, Reason, RecorderError

log = structlog.get_logger(__name__)

_INTERVAL_S = 0.5
_RETRY_AFTER_S = 5.0


class DiskLevel(enum.Enum):
    """How full the disk is."""

    ROOM = "room"
    SOFT = "soft"
    HARD = "hard"


@dataclass(frozen=True, slots=True)
class DiskMarks:
    """Free space below which a level is reached: a share of the disk, but never more than a number of bytes.

    On a small disk the share counts, on a large one the bytes: a tenth of a large disk is room for days.
    """

    soft_percent: float
    hard_percent: float
    soft_bytes: int
    hard_bytes: int

    def hard_mark_bytes(self, total_bytes: int) -> int:
        """Return the free space below which recordings are ended."""
        return int(min(total_bytes * self.hard_percent / 100, self.hard_bytes))

    def level(self, free_bytes: int, total_bytes: int) -> DiskLevel:
        """Return the level of a disk with so much free space."""
        if free_bytes < self.hard_mark_bytes(total_bytes):
            return DiskLevel.HARD
        if free_bytes < min(total_bytes * self.soft_percent / 100, self.soft_bytes):
            return DiskLevel.SOFT
        return DiskLevel.ROOM


class DiskWatch:
    """Looks at the free space twice a second. Service returns by itself when there is room again.

    Attributes:
        name: Names it among the probes.
        level: As of the last look.
        free_bytes: As of the last look.
        room_bytes: Free space above the hard mark as of the last look; not below 0.
    """

    name = "disk"

    def __init__(self, directory: Path, marks: DiskMarks) -> None:
        """Watch the disk that holds `directory`."""
        self._directory = directory
        self._marks = marks
        self.level = DiskLevel.ROOM
        self.free_bytes = 0
        self.room_bytes = 0

    async def run(self, on_hard: Callable[[], None]) -> None:
        """Look for ever; `on_hard` is called at every look while the hard mark is passed."""
        while True:
            await self.look()
            if self.level is DiskLevel.HARD:
                on_hard()
            await asyncio.sleep(_INTERVAL_S)

    async def look(self) -> None:
        """Look once."""
        found = await asyncio.to_thread(os.statvfs, self._directory)
        self.free_bytes = found.f_bavail * found.f_frsize
        # What is reserved for root counts as used: the service does not run as root.
        total_bytes = found.f_blocks * found.f_frsize
        self.room_bytes = max(0, self.free_bytes - self._marks.hard_mark_bytes(total_bytes))
        level = self._marks.level(self.free_bytes, total_bytes)
        if level is not self.level:
            log.warning("disk_level", level=level.value, free_bytes=self.free_bytes)
            self.level = level

    def fault(self) -> str | None:
        """Say why new calls should stay away."""
        return None if self.level is DiskLevel.ROOM else f"disk over its {self.level.value} mark"

    def refusal(self) -> RecorderError | None:
        """Return why no recording may begin, or None."""
        if self.level is DiskLevel.ROOM:
            return None
        return Overloaded(
            Reason.DISK_FULL,
            f"the disk has {self.free_bytes >> 20} MiB free, less than its {self.level.value} mark: no new recordings",
            details={"free_bytes": str(self.free_bytes)},
            retry_after_s=_RETRY_AFTER_S,
        )

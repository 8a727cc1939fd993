"""What recovery found: facts for the service, its log and its alarms."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID


@dataclass(frozen=True, slots=True)
class RecoveredRecording:
    """A recording that is not released.

    Attributes:
        entry_count: Entries that can be read.
        next_index: Running number of its next entry.
        missing_count: Entries that were durable once and cannot be read; `replay` says where.
        tail_in_doubt: Damage lies after its last entry and nothing says whether it took any; one is then counted
            as missing, so that the doubt stays on record over further starts.
        since: Creation of the oldest segment that holds it.
    """

    entry_count: int
    next_index: int
    missing_count: int
    tail_in_doubt: bool
    since: datetime


@dataclass(frozen=True, slots=True)
class Damage:
    """Durable bytes that cannot be read any more.

    Attributes:
        segment: The file.
        offset: Where it begins.
        size_bytes: 0 where nothing is unreadable but groups do not follow each other.
        cause: For people.
        first_lsn: LSN of the first entry that may be missing, None if unknown.
        last_lsn: LSN of the last one, None if unknown. Below `first_lsn` when only a checkpoint was hit.
        quarantine: The copy that was set aside; None if there was nothing to copy or no room for it.
    """

    segment: Path
    offset: int
    size_bytes: int
    cause: str
    first_lsn: int | None
    last_lsn: int | None
    quarantine: Path | None


@dataclass(frozen=True, slots=True)
class Recovery:
    """The outcome of opening a journal.

    Attributes:
        recordings: Those not released, oldest first.
        damage: Everything below a durable mark that is not what was written: raise the alarm if there is any.
        torn_bytes: Length of the unacknowledged tail that a crash left; it was set aside and cut.
        torn_copy: Where it was set aside; None if there was none or no room for it.
        abandoned_bytes: Bytes after the end of segments that failed while they were written; they were written again
            elsewhere.
        segment_count: Segments read.
        size_bytes: Their length.
        next_lsn: LSN of the next entry.
        epoch: The number of this start.
        elapsed_s: How long it took.
    """

    recordings: Mapping[UUID, RecoveredRecording]
    damage: tuple[Damage, ...]
    torn_bytes: int
    torn_copy: Path | None
    abandoned_bytes: int
    segment_count: int
    size_bytes: int
    next_lsn: int
    epoch: int
    elapsed_s: float

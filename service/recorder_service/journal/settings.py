"""What can be set on a journal, with its bounds."""

from dataclasses import dataclass

from recorder_service.errors import Reason, StartupError
from recorder_service.journal.groups import MAX_BODY_BYTES

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class JournalSettings:
    """Sizes and times of one journal; the defaults suit 400 live calls on two cores.

    Attributes:
        commit_interval_s: How long the first entry of a group waits for company, so that one fdatasync serves all.
        segment_bytes: A segment at least this long is followed by a new one.
        group_bytes: A group takes no further entry once it is this long.
        queue_bytes: Entries accepted but not yet durable; beyond it `append` refuses.
        entry_bytes: The longest payload that is accepted.
        reserve_bytes: A file kept aside and given up on a full disk, so that releases can still be written.
        retry_interval_s: How often a full disk is tried again.
    """

    commit_interval_s: float = 0.010
    segment_bytes: int = 64 * _MIB
    group_bytes: int = 4 * _MIB
    queue_bytes: int = 64 * _MIB
    entry_bytes: int = 4 * _MIB
    reserve_bytes: int = 4 * _MIB
    retry_interval_s: float = 0.5

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            StartupError: A value is out of its bounds; the message names it.
        """
        self._check("commit_interval_s", self.commit_interval_s, 0.0, 1.0)
        self._check("segment_bytes", self.segment_bytes, 4096, 4096 * _MIB)
        self._check("group_bytes", self.group_bytes, 4096, MAX_BODY_BYTES // 2)
        self._check("queue_bytes", self.queue_bytes, 4096, 4096 * _MIB)
        self._check("entry_bytes", self.entry_bytes, 1, MAX_BODY_BYTES // 4)
        self._check("reserve_bytes", self.reserve_bytes, 0, 1024 * _MIB)
        self._check("retry_interval_s", self.retry_interval_s, 0.01, 60.0)

    @staticmethod
    def _check(field: str, value: float, lowest: float, highest: float) -> None:
        if not lowest <= value <= highest:
            raise StartupError(
                Reason.INVALID_CONFIGURATION,
                f"journal.{field} is {value}; set it between {lowest} and {highest}.",
                details={"field": f"journal.{field}", "value": str(value)},
            )

"""Who may begin a recording: limits of the node and of each application, draining, and room on the disk."""

from collections import Counter
from collections.abc import Callable
from uuid import UUID

from recorder_service.domain.application import Application
from recorder_service.errors import Overloaded, Reason, RecorderError, Unavailable

_RETRY_AFTER_S = 1.0


class Admission:
    """Counts the recordings that take audio. Refuses at once, and never lets anybody wait in a queue."""

    def __init__(self, max_live_recordings: int, room: Callable[[], RecorderError | None]) -> None:
        """Start without recordings.

        Args:
            max_live_recordings: Most on this node, and of one application unless it has its own limit.
            room: Says why the disk takes no more recordings, or None.
        """
        self._max_live_recordings = max_live_recordings
        self._room = room
        self._owners: dict[UUID, UUID] = {}
        self._owned: Counter[UUID] = Counter()
        self._draining = False

    @property
    def draining(self) -> bool:
        """Whether the node is going down."""
        return self._draining

    @property
    def full(self) -> bool:
        """Whether as many recordings run as may on this node."""
        return len(self._owners) >= self._max_live_recordings

    def drain(self) -> None:
        """Take no more recordings."""
        self._draining = True

    def check(self, application: Application) -> None:
        """Refuse an application that may not begin another recording now.

        Raises:
            Overloaded: TOO_MANY_RECORDINGS or DISK_FULL.
            Unavailable: DRAINING.
        """
        if self._draining:
            raise going_down()
        if (full := self._room()) is not None:
            raise full
        own_limit = application.max_live_recordings or self._max_live_recordings
        if self._owned[application.application_id] >= own_limit:
            raise _too_many("this application", own_limit)
        if self.full:
            raise _too_many("this server", self._max_live_recordings)

    def add(self, recording_id: UUID, application_id: UUID) -> None:
        """Count a recording."""
        self._owners[recording_id] = application_id
        self._owned[application_id] += 1

    def remove(self, recording_id: UUID) -> None:
        """Count a recording no more; removing it twice is harmless."""
        application_id = self._owners.pop(recording_id, None)
        if application_id is not None:
            self._owned[application_id] -= 1
            self._owned += Counter()


def going_down() -> Unavailable:
    """Return the refusal of a node that is going down."""
    return Unavailable(Reason.DRAINING, "the server is going down: resume elsewhere or later", retry_after_s=1.0)


def _too_many(whose: str, limit: int) -> Overloaded:
    return Overloaded(
        Reason.TOO_MANY_RECORDINGS,
        f"{limit} recordings run at once, as many as {whose} may have: end one, or raise the limit",
        details={"max_live_recordings": str(limit)},
        retry_after_s=_RETRY_AFTER_S,
    )

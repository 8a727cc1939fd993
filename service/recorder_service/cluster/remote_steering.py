"""Steering recordings from a node that has none."""

from typing import Protocol
from uuid import UUID

from recorder_service.domain.options import RecordOptions
from recorder_service.domain.owner import elsewhere
from recorder_service.domain.recording import PauseMode, Recording
from recorder_service.errors import Conflict, Reason, Unavailable


class Catalog(Protocol):
    """The catalog's recordings."""

    async def get(self, recording_id: UUID, application_id: UUID | None) -> Recording:
        """Return a recording; another application's is not found."""


class RemoteSteering:
    """Sends everything that concerns a live recording to its owner."""

    def __init__(self, catalog: Catalog) -> None:
        """Look recordings up in `catalog`."""
        self._catalog = catalog

    async def stop(self, recording_id: UUID, application_id: UUID | None) -> Recording:
        """Return a recording that has ended.

        Raises:
            Elsewhere: It is live.
            NotFound: RECORDING_NOT_FOUND.
        """
        recording = await self._catalog.get(recording_id, application_id)
        if recording.state.live:
            raise elsewhere(recording)
        return recording

    async def pause(self, recording_id: UUID, application_id: UUID | None, mode: PauseMode) -> Recording:  # noqa: ARG002
        """Refuse, or name the owner, as `stop`; a recording that has ended is RECORDING_NOT_LIVE."""
        return await self._live(recording_id, application_id)

    async def unpause(self, recording_id: UUID, application_id: UUID | None) -> Recording:
        """As `pause`."""
        return await self._live(recording_id, application_id)

    async def _live(self, recording_id: UUID, application_id: UUID | None) -> Recording:
        recording = await self.stop(recording_id, application_id)
        raise Conflict(
            Reason.RECORDING_NOT_LIVE,
            f"recording {recording_id} is {recording.state.value}: it takes no more audio",
            details={"state": recording.state.value},
        )


class RemoteConferences:
    """Refuses to start and stop recordings of conferences: only the node that has a conference knows of it."""

    async def start_recording(
        self,
        conversation_id: str,
        application_id: UUID | None,  # noqa: ARG002 - the signature of those that can
        options: RecordOptions | None,  # noqa: ARG002
        /,
    ) -> Recording:
        """Refuse: OWNER_AWAY."""
        raise _ask_there(conversation_id)

    async def stop_recording(self, conversation_id: str, application_id: UUID | None, /) -> Recording:  # noqa: ARG002
        """Refuse: OWNER_AWAY."""
        raise _ask_there(conversation_id)


def _ask_there(conversation_id: str) -> Unavailable:
    message = f"this node does not record: ask the node that has conference {conversation_id}, of role all or ingest"
    return Unavailable(Reason.OWNER_AWAY, message, retry_after_s=2.0)

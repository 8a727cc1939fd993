"""Steering recordings from a node that has none."""

from typing import Protocol
from uuid import UUID

from recorder_service.domain.options import RecordOptions
from recorder_service.domain.owner import conference_elsewhere, conference_not_found, elsewhere
from recorder_service.domain.recording import PauseMode, Recording
from recorder_service.errors import Conflict, Reason, RecorderError


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


class Names(Protocol):
    """The names of conferences that nodes have."""

    async def node_of_conversation(self, conversation_id: str, application_id: UUID | None) -> str | None:
        """Return the node that has a conference; another application's is not found."""


class RemoteConferences:
    """Sends whoever starts and stops recordings of conferences to the node that has them."""

    def __init__(self, names: Names) -> None:
        """Look conferences up in `names`."""
        self._names = names

    async def start_recording(
        self,
        conversation_id: str,
        application_id: UUID | None,
        options: RecordOptions | None,  # noqa: ARG002 - the signature of those that can
        /,
    ) -> Recording:
        """Refuse, or name the owner.

        Raises:
            Elsewhere: A node has the conference.
            NotFound: CONFERENCE_NOT_FOUND.
        """
        raise await self._refusal(conversation_id, application_id)

    async def stop_recording(self, conversation_id: str, application_id: UUID | None, /) -> Recording:
        """As `start_recording`."""
        raise await self._refusal(conversation_id, application_id)

    async def _refusal(self, conversation_id: str, application_id: UUID | None) -> RecorderError:
        node_id = await self._names.node_of_conversation(conversation_id, application_id)
        return conference_not_found(conversation_id) if node_id is None else conference_elsewhere(node_id)

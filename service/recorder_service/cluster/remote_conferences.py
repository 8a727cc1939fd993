"""Recordings of conferences, asked for at a node that has no conferences."""

from typing import NoReturn
from uuid import UUID

from recorder_service.domain.options import RecordOptions
from recorder_service.errors import NotFound, Reason


class RemoteConferences:
    """Refuses, and says whom to ask: only the node where a conference's streams are knows of it."""

    async def start_recording(
        self,
        conversation_id: str,
        application_id: UUID | None,  # noqa: ARG002
        options: RecordOptions | None,  # noqa: ARG002
    ) -> NoReturn:
        """Refuse.

        Raises:
            NotFound: CONFERENCE_NOT_FOUND.
        """
        raise _not_here(conversation_id)

    async def stop_recording(self, conversation_id: str, application_id: UUID | None) -> NoReturn:  # noqa: ARG002
        """As `start_recording`."""
        raise _not_here(conversation_id)


def _not_here(conversation_id: str) -> NotFound:
    return NotFound(
        Reason.CONFERENCE_NOT_FOUND,
        f"this node has no conferences, and none named {conversation_id}: ask the node that takes its streams",
        details={"conversation_id": conversation_id},
    )

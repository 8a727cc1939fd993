"""The node that has a recording, until it is finished."""

from recorder_service.domain.recording import Recording, RecordingState
from recorder_service.errors import Elsewhere, NotFound, Reason


def check_owner(recording: Recording, node_id: str) -> None:
    """Let a node go on with a recording that it has, or that nobody has any more.

    Raises:
        Elsewhere: Another node has it.
    """
    unfinished = recording.state.live or recording.state is RecordingState.FINISHING
    if unfinished and recording.node_id != node_id:
        raise elsewhere(recording)


def elsewhere(recording: Recording) -> Elsewhere:
    """Make the word that a recording which is not finished yet is another node's."""
    verb = "finishes" if recording.state is RecordingState.FINISHING else "records"
    return Elsewhere(
        recording.node_id,
        f"the node that {verb} recording {recording.recording_id} cannot be reached now: try again; it goes on, or is "
        "finished by itself, when that node is back",
    )


def conference_elsewhere(node_id: str) -> Elsewhere:
    """Make the word that a conference is another node's."""
    return Elsewhere(
        node_id,
        "the node that has this conference cannot be reached now: try again; the conference goes on when that node is "
        "back, and its name is free when it stays away",
    )


def conference_not_found(conversation_id: str) -> NotFound:
    """Make the refusal of a conference that no node has."""
    message = f"there is no conference {conversation_id} with anybody in it; check conversation_id"
    return NotFound(Reason.CONFERENCE_NOT_FOUND, message, details={"conversation_id": conversation_id})

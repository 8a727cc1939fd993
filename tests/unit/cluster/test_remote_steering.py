"""Steering on a node that has no recordings."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from tests.contract.catalog.values import a_recording

from recorder_service.cluster.remote_steering import RemoteConferences, RemoteSteering
from recorder_service.domain.recording import PauseMode, Recording, RecordingState
from recorder_service.errors import Conflict, Elsewhere, NotFound, Reason

RECORDING = a_recording(uuid4(), node_id="owner")


class Catalog:
    """Holds one recording."""

    def __init__(self, state: RecordingState) -> None:
        self._recording = replace(RECORDING, state=state)

    async def get(self, recording_id: UUID, application_id: UUID | None) -> Recording:
        """Return it."""
        return self._recording


@pytest.mark.parametrize("state", [RecordingState.RECORDING, RecordingState.PAUSED])
async def test_live_recording_is_its_owners(state: RecordingState) -> None:
    """Whatever is asked for names the owner."""
    steering = RemoteSteering(Catalog(state))
    for work in (
        steering.stop(RECORDING.recording_id, None),
        steering.pause(RECORDING.recording_id, None, PauseMode.CUT),
        steering.unpause(RECORDING.recording_id, None),
    ):
        with pytest.raises(Elsewhere) as refused:
            await work
        assert refused.value.node_id == "owner"


async def test_recording_that_has_ended_is_returned_and_cannot_be_paused() -> None:
    """As on the node that had it."""
    steering = RemoteSteering(Catalog(RecordingState.AVAILABLE))
    assert (await steering.stop(RECORDING.recording_id, None)).state is RecordingState.AVAILABLE
    with pytest.raises(Conflict) as refused:
        await steering.pause(RECORDING.recording_id, None, PauseMode.CUT)
    assert refused.value.reason is Reason.RECORDING_NOT_LIVE


class Names:
    """Knows one conference."""

    async def node_of_conversation(self, conversation_id: str, application_id: UUID | None) -> str | None:
        """Say who has it."""
        return "owner" if conversation_id == "CON-1" else None


async def test_conference_is_its_owners_and_one_that_nobody_has_is_not_found() -> None:
    """The same for Start and Stop."""
    conferences = RemoteConferences(Names())
    for work in (conferences.start_recording("CON-1", None, None), conferences.stop_recording("CON-1", None)):
        with pytest.raises(Elsewhere) as refused:
            await work
        assert refused.value.node_id == "owner"
    for work in (conferences.start_recording("CON-2", None, None), conferences.stop_recording("CON-2", None)):
        with pytest.raises(NotFound):
            await work

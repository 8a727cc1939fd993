"""A node's recordings on a real catalog and journal: starts whose answer was lost, and what damage took."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from tests.robustness.resume_node import Ground, Line, Node

from recorder_service.catalog.recordings import Recordings
from recorder_service.domain.event import Event
from recorder_service.domain.recording import FrameInterval, Recording, RecordingState, StopReason
from recorder_service.errors import Conflict, Reason, Unavailable


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk as it arrives."""

    leg_id: str
    start_frame: int
    payload: bytes


@pytest.fixture
def ground() -> Iterator[Ground]:
    """Loop, catalog and store."""
    ground = Ground()
    yield ground
    ground.close()


@pytest.fixture
def node(ground: Ground) -> Iterator[Node]:
    """A node that serves."""
    node = Node(ground)
    yield node
    node.close()


def test_start_whose_commit_was_never_answered_can_be_sent_again(
    ground: Ground, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The catalog has it, the node does not: the same start goes on with what the catalog has."""
    real = Recordings.begin

    async def answer_lost(self: Recordings, recording: Recording, *, event_id: uuid.UUID | None = None) -> Event:
        await real(self, recording, event_id=event_id)
        raise Unavailable(Reason.CATALOG_FAILED, "the connection was lost")

    wanted = ground.recording()
    with monkeypatch.context() as lost:
        lost.setattr(Recordings, "begin", answer_lost)
        with pytest.raises(Unavailable):
            ground.run(node.recordings.start(wanted, ground.application))
    live = ground.run(node.recordings.start(wanted, ground.application))
    assert live.next_sequence == 2
    assert live.recording.state is RecordingState.RECORDING
    _end(ground, node, wanted.recording_id)
    with pytest.raises(Conflict) as ended:
        ground.run(node.recordings.start(wanted, ground.application))
    assert ended.value.reason is Reason.RECORDING_NOT_LIVE


def test_recording_that_damage_took_whole_is_marked(ground: Ground, node: Node) -> None:
    """Nobody can say whether there was audio: the doubt stays on record, and its client goes on where it stands."""
    lost, other = ground.recording(), ground.recording()
    for wanted in (lost, other):
        ground.run(node.recordings.start(wanted, ground.application))
    _destroy(node, lost.recording_id)
    node.restart()
    live = node.recordings.find(lost.recording_id, None)
    assert live is not None
    chunk = Chunk("caller", 8000, bytes(160))

    async def go_on() -> None:
        live.attach(Line(), 0.05)
        live.receive_audio(50, [chunk])

    ground.run(go_on())
    assert live.next_sequence == 51
    recording = _end(ground, node, lost.recording_id)
    assert (recording.state, recording.damage) == (RecordingState.AVAILABLE, (FrameInterval(0, 16_000),))
    assert _end(ground, node, other.recording_id).damage == ()


def test_recording_of_which_the_journal_never_heard_is_empty(ground: Ground, node: Node) -> None:
    """The node died between the catalog's word of it and the journal's: nothing was acknowledged, nothing is lost."""
    wanted = replace(ground.recording(), node_id=node._name)
    ground.run(ground.catalog.recordings.begin(wanted))
    node.restart()
    recording = _end(ground, node, wanted.recording_id)
    assert (recording.state, recording.damage) == (RecordingState.EMPTY, ())


def _destroy(node: Node, recording_id: uuid.UUID) -> None:
    """Flip a bit in whatever the journal on the disk has of a recording."""
    hits = 0
    for segment in node._journal_directory.iterdir():
        data = segment.read_bytes()
        if (at := data.find(recording_id.bytes)) < 0:
            continue
        hits += 1
        with segment.open("r+b") as file:
            file.seek(at)
            file.write(bytes([data[at] ^ 1]))
    assert hits == 1


def _end(ground: Ground, node: Node, recording_id: uuid.UUID) -> Recording:
    async def end() -> Recording:
        live = node.recordings.find(recording_id, None)
        assert live is not None
        await live.end(StopReason.INTERRUPTED)
        return await ground.catalog.recordings.get(recording_id, None)

    return ground.run(end())

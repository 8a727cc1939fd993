"""What a stream says of its legs when the server has forgotten them, and how its backlog goes to a new stream."""

from recorder.backlog import Backlog
from recorder.membership import Membership
from recorder.packing import Packer
from recorder.v1.media_pb2 import Audio, AudioChunk
from recorder.v1.recorder_service_pb2 import JoinLeg, LeaveLeg, MuteLeg, RecordConferenceRequest
from recorder.v1.recording_pb2 import AUDIO_ENCODING_LINEAR16, AUDIO_ENCODING_MULAW, Leg

A = Leg(leg_id="a", encoding=AUDIO_ENCODING_MULAW, sample_rate_hz=8000)
B = Leg(leg_id="b", encoding=AUDIO_ENCODING_LINEAR16, sample_rate_hz=44_100)


def audio(leg_id: str, frame: int) -> RecordConferenceRequest:
    return RecordConferenceRequest(audio=Audio(chunks=[AudioChunk(leg_id=leg_id, start_frame=frame, payload=b"12")]))


def test_legs_return_as_they_are_where_the_audio_stands() -> None:
    """Who joined and was muted since the opening counts, and who left does not; positions are in each leg's rate."""
    members = Membership([JoinLeg(leg=A, end_on_exit=True)])
    members.note(RecordConferenceRequest(join_leg=JoinLeg(leg=B, frame=5)))
    members.note(RecordConferenceRequest(mute_leg=MuteLeg(leg_id="b", muted=True)))
    assert members.returning(32_000) == [
        JoinLeg(leg=A, end_on_exit=True, frame=16_000),
        JoinLeg(leg=B, muted=True, frame=88_200),
    ]
    members.note(RecordConferenceRequest(leave_leg=LeaveLeg(leg_id="a")))
    members.note(RecordConferenceRequest(mute_leg=MuteLeg(leg_id="b", muted=False)))
    assert members.returning(160) == [JoinLeg(leg=B, frame=441)]


def test_what_is_not_acknowledged_is_numbered_anew() -> None:
    """After the opening, in its order; what follows goes on from there."""
    backlog: Backlog[RecordConferenceRequest] = Backlog(1000)
    for frame in range(5):
        backlog.add(audio("a", frame))
    backlog.acknowledge(4)
    backlog.renumber()
    assert [(request.sequence, request.audio.chunks[0].start_frame) for request in backlog.waiting()] == [
        (2, 3),
        (3, 4),
    ]
    backlog.add(audio("a", 5))
    assert (backlog.first_sequence, backlog.next_sequence) == (2, 5)
    backlog.acknowledge(4)
    assert not list(backlog.waiting())


def test_furthest_audio_is_told_at_the_rate_of_recordings() -> None:
    """Of all legs, each by its own rate."""
    packer = Packer([A, B], 100)
    packer.add("a", bytes(800))
    packer.add("b", bytes(882), 44_100)
    assert packer.furthest_frame == 16_160
    assert packer.media_frame("a", 400) == 800

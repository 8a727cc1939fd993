"""Who may come into a conference, what comes of a stream that is told twice or lost, and which recordings are made."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import uuid4

import pytest
from tests.unit.sessions.conference_stage import Stage
from tests.unit.sessions.stage import Heard, Piece

from recorder_service.domain.application import Application
from recorder_service.domain.options import EncoderOptions, FileFormat, RecordOptions
from recorder_service.domain.recording import Recording, StopReason
from recorder_service.errors import BadInput, NotFound, Overloaded, Reason
from recorder_service.sessions.conference_values import JoinLeg, JoinStream, RecordPlan, Return
from recorder_service.sessions.live_recording import LiveRecording
from recorder_service.sessions.notices import Ended, Started, Stopped

WAV = RecordOptions(format=FileFormat.WAV)


@pytest.fixture(scope="module")
def workers() -> Iterator[ThreadPoolExecutor]:
    """Threads that render."""
    with ThreadPoolExecutor(2) as workers:
        yield workers


@pytest.fixture
async def stage(workers: ThreadPoolExecutor) -> AsyncIterator[Stage]:
    """A node without conferences."""
    stage = Stage(workers, 1)
    yield stage
    await stage.background.close()


def leg(name: str, *, start_on_enter: bool = True) -> JoinLeg:
    return JoinLeg(name, "LINEAR16", 16_000, start_on_enter=start_on_enter)


def wanted(*legs: JoinLeg, on_demand: bool = False) -> JoinStream:
    return JoinStream(uuid4(), "room", "", RecordPlan(WAV, EncoderOptions(), on_demand=on_demand), legs, 0)


async def test_same_stream_asked_for_twice_is_one(stage: Stage) -> None:
    """An answer that got lost leads to no second leg and no second recording."""
    asked = wanted(leg("a"))
    first, second = await asyncio.gather(*(stage.conferences.join(asked, stage.application) for _ in range(2)))
    assert first is second
    assert (len(stage.lives), list(first.conference.members), first.next_sequence) == (1, ["a"], 2)


async def test_streams_that_come_at_once_make_one_conference_and_one_recording(stage: Stage) -> None:
    """Whoever is first begins it; the others wait for that."""
    asked = [wanted(leg(f"leg{number}")) for number in range(8)]
    streams = await asyncio.gather(*(stage.conferences.join(one, stage.application) for one in asked))
    assert len(stage.conferences) == len(stage.lives) == 1
    assert {stream.conference for stream in streams} == {streams[0].conference}
    assert sorted(streams[0].conference.members) == [f"leg{number}" for number in range(8)]
    assert len({stream.number for stream in streams}) == 8


async def test_conference_whose_recording_cannot_begin_is_not_there(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream is refused, and may come again."""
    real = stage.start

    async def full(recording: Recording, application: Application) -> LiveRecording:
        raise Overloaded(Reason.TOO_MANY_RECORDINGS, "full", retry_after_s=1)

    monkeypatch.setattr(stage, "start", full)
    asked = wanted(leg("a"))
    with pytest.raises(Overloaded):
        await stage.conferences.join(asked, stage.application)
    assert len(stage.conferences) == 0
    monkeypatch.setattr(stage, "start", real)
    assert list((await stage.conferences.join(asked, stage.application)).conference.members) == ["a"]


async def test_leg_whose_recording_cannot_begin_may_join_again(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request is refused and still due; the guest who waits stays."""
    stream = await stage.conferences.join(wanted(leg("guest", start_on_enter=False)), stage.application)
    real = stage.start

    async def full(recording: Recording, application: Application) -> LiveRecording:
        raise Overloaded(Reason.TOO_MANY_RECORDINGS, "full", retry_after_s=1)

    monkeypatch.setattr(stage, "start", full)
    with pytest.raises(Overloaded):
        await stream.join(2, leg("chair"))
    assert (stream.next_sequence, list(stream.conference.members)) == (2, ["guest"])
    monkeypatch.setattr(stage, "start", real)
    await stream.join(2, leg("chair"))
    assert (stream.next_sequence, list(stream.conference.members)) == (3, ["guest", "chair"])


async def test_stream_that_nobody_resumes_leaves_and_the_others_go_on(stage: Stage) -> None:
    """Its leg is gone, and its id is not known any more."""
    stays = await stage.conferences.join(wanted(leg("a")), stage.application)
    lost = await stage.conferences.join(wanted(leg("b")), stage.application)
    stays.attach(Heard(), 0.05)
    outlet = Heard()
    lost.attach(outlet, 0.05)
    lost.detach(outlet)
    assert stage.lives[0].roster.sources[lost.number].waiting
    lost.feed.on_lost()
    assert await stage.background.wait(5)
    assert list(stays.conference.members) == ["a"]
    with pytest.raises(NotFound) as gone:
        await stage.conferences.resume(lost.stream_id, None)
    assert gone.value.reason is Reason.STREAM_NOT_FOUND
    assert await stage.conferences.resume(stays.stream_id, stage.application.application_id) is stays


async def test_last_stream_that_is_lost_ends_the_recording_as_interrupted(stage: Stage) -> None:
    """As a call that lost its line does."""
    stream = await stage.conferences.join(wanted(leg("a")), stage.application)
    stream.receive_audio(2, [Piece("a", 0, bytes(32_000))])
    stream.feed.on_lost()
    await stage.background.wait(5)
    recording = await stage.ended()
    assert recording.stop_reason is StopReason.INTERRUPTED
    assert recording.legs[0].stays is not None
    assert recording.legs[0].stays[0].left_frame == 16_000
    assert len(stage.conferences) == 0


async def test_requests_after_a_stop_are_acknowledged_after_it(stage: Stage) -> None:
    """The conference goes on without a recording, and everything it is sent is let go."""
    stream = await stage.conferences.join(wanted(leg("a")), stage.application)
    outlet = Heard()
    stream.attach(outlet, 0.05)
    stream.receive_audio(2, [Piece("a", 0, bytes(3200))])
    stream.stop(3, None)
    stream.receive_audio(4, [Piece("a", 1600, bytes(3200))])
    assert stream.acks.durable() == 2
    await stage.ended()
    stream.receive_audio(5, [Piece("a", 3200, bytes(3200))])
    assert stream.acks.durable() == 5
    assert [type(notice) for notice in outlet.notices if isinstance(notice, Stopped | Ended)] == [Stopped]
    assert stage.files[0].frames == 1600
    with pytest.raises(BadInput):
        stream.receive_audio(6, [Piece("b", 0, bytes(2))])


async def test_recordings_on_demand_begin_with_who_is_there(stage: Stage) -> None:
    """Two in one conference, each with its own legs; the second counts from its own begin."""
    stream = await stage.conferences.join(wanted(leg("a"), leg("b"), on_demand=True), stage.application)
    outlet = Heard()
    stream.attach(outlet, 0.05)
    here = stream.conference.conversation_id
    first = await stage.conferences.start_recording(here, None, None)
    assert await stage.conferences.start_recording(here, None, None) == first
    assert (await stage.conferences.stop_recording(here, None)).stop_reason is StopReason.REQUESTED
    await stream.leave(2, "b", None)
    stage.now_s = 10.0
    second = await stage.conferences.start_recording(here, None, RecordOptions(format=FileFormat.WAV, time_out_s=60))
    assert (first.recording_id, first.options.time_out_s) != (second.recording_id, second.options.time_out_s)
    stream.receive_audio(3, [Piece("a", 10 * 16_000 - 800, bytes(3200))])
    await stream.close(4)
    recording = await stage.ended()
    assert [(one.leg_id, one.frames) for one in recording.legs] == [("a", 800)]
    assert stage.files[1].frames == 800
    started = [notice.recording.recording_id for notice in outlet.notices if isinstance(notice, Started)]
    assert started == [first.recording_id, second.recording_id]
    with pytest.raises(NotFound):
        await stage.conferences.start_recording(here, None, None)


async def test_conference_never_blocks(stage: Stage) -> None:
    """Options that end on silence or a key are refused."""
    stream = await stage.conferences.join(wanted(leg("a"), on_demand=True), stage.application)
    with pytest.raises(BadInput) as refused:
        await stage.conferences.start_recording(
            stream.conference.conversation_id, None, RecordOptions(end_on_silence_s=5)
        )
    assert refused.value.reason is Reason.INVALID_OPTION


async def test_leg_comes_back_in_the_same_format_or_not_at_all(stage: Stage) -> None:
    """Its channel and its counts are those of one leg."""
    stream = await stage.conferences.join(wanted(leg("a"), leg("b")), stage.application)
    await stream.leave(2, "b", None)
    with pytest.raises(BadInput) as refused:
        await stream.join(3, replace(leg("b"), sample_rate_hz=8000))
    assert refused.value.reason is Reason.INVALID_FIELD
    await stream.join(3, leg("b"))
    assert list(stream.conference.members) == ["a", "b"]


async def test_stream_that_waited_lies_where_it_arrived(stage: Stage) -> None:
    """Its position 0 is the instant of its arrival, however long the others' coming in took."""
    await stage.conferences.join(replace(wanted(leg("a")), origin_frame=None), stage.application)
    stage.now_s = 10.0
    asked = replace(wanted(leg("b")), origin_frame=None, arrived_s=time.monotonic() - 2)
    late = await stage.conferences.join(asked, stage.application)
    assert 7.5 * 16_000 < late.origin_frame <= 8 * 16_000


async def test_streams_that_return_find_the_timeline_that_they_left(stage: Stage) -> None:
    """The first one makes the conference again; nothing of it begins a recording that has ended already."""
    back = Return(origin_frame=1600, position_frame=160_000, recorded=True)
    first = replace(wanted(leg("a")), origin_frame=None, returned=back)
    stream = await stage.conferences.join(first, stage.application)
    assert stream.origin_frame == 1600
    assert stream.conference.clock.now_frame() == 161_600
    assert stream.conference.live is None
    stage.now_s = 1.0
    second = replace(wanted(leg("b")), origin_frame=None, returned=Return(0, 320_000, recorded=False))
    # Its clock and the first one's have drifted apart: where its audio stands is now.
    assert (await stage.conferences.join(second, stage.application)).origin_frame == 177_600 - 320_000
    third = replace(wanted(leg("c")), origin_frame=320, returned=back)
    assert (await stage.conferences.join(third, stage.application)).origin_frame == 320


async def test_stream_of_a_conference_that_ended_is_told_so(stage: Stage) -> None:
    """Its own application only, and not for ever."""
    stream = await stage.conferences.join(wanted(leg("a")), stage.application)
    await stream.close(2)
    with pytest.raises(NotFound) as ended:
        await stage.conferences.resume(stream.stream_id, stage.application.application_id)
    assert ended.value.reason is Reason.CONFERENCE_NOT_FOUND
    with pytest.raises(NotFound) as foreign:
        await stage.conferences.resume(stream.stream_id, uuid4())
    assert foreign.value.reason is Reason.STREAM_NOT_FOUND

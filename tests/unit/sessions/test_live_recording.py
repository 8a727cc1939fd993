"""A live recording and its stream: what is refused, ignored, told, and when it ends."""

import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.unit.sessions.recordings import a_recording
from tests.unit.sessions.stage import Actor, Heard, Piece, acting

from recorder_service.domain.event import EventType, KeyPress
from recorder_service.domain.options import FileFormat, RecordOptions
from recorder_service.domain.recording import PauseInterval, PauseMode, StopReason
from recorder_service.errors import BadInput, Conflict, Reason
from recorder_service.sessions.notices import Completed, Stopped

SECOND = Piece("callee", 0, bytes(32_000))
WAV = RecordOptions(format=FileFormat.WAV, split=True)


@pytest.fixture(scope="module")
def workers() -> Iterator[ThreadPoolExecutor]:
    """Threads that render."""
    with ThreadPoolExecutor(2) as workers:
        yield workers


@pytest.fixture
async def actor(tmp_path: Path, workers: ThreadPoolExecutor) -> AsyncIterator[Actor]:
    """A recording that has begun, without a stream."""
    async with acting(tmp_path, a_recording(), workers) as actor:
        actor.live.begin()
        yield actor


async def _ended(actor: Actor) -> None:
    """End it, so that nothing is left behind."""
    actor.live.end(StopReason.REQUESTED)
    await actor.outcome()


async def test_request_seen_before_is_ignored_and_a_jump_refused(actor: Actor) -> None:
    """Audio, keys and control alike."""
    live = actor.live
    live.receive_audio(2, [SECOND])
    live.receive_audio(2, [Piece("callee", 16_000, bytes(32_000))])
    live.receive_key(1, KeyPress("caller", "1", 0))
    live.stop(StopReason.HANGUP, None, 2)
    assert await live.pause(PauseMode.CUT, sequence=2) is live.recording
    assert live.next_sequence == 3
    assert live.ending is None
    asks: tuple[Callable[[], None], ...] = (
        lambda: live.receive_audio(4, [SECOND]),
        lambda: live.receive_key(4, KeyPress("caller", "1", 0)),
        lambda: live.stop(StopReason.HANGUP, None, 4),
    )
    for ask in asks:
        with pytest.raises(Conflict) as jumped:
            ask()
        assert jumped.value.reason is Reason.SEQUENCE_GAP
    with pytest.raises(Conflict):
        await live.pause(PauseMode.CUT, sequence=4)
    live.end(StopReason.REQUESTED)
    assert (await actor.outcome()).frames == 16_000


async def test_zero_is_no_number_of_any_request_of_a_stream(actor: Actor) -> None:
    """A pause numbered 0 is not one that an RPC asked for."""
    live = actor.live
    with pytest.raises(BadInput):
        await live.pause(PauseMode.CUT, sequence=0)
    with pytest.raises(BadInput):
        await live.resume(sequence=0)
    with pytest.raises(BadInput):
        live.stop(StopReason.HANGUP, None, 0)
    assert live.recording.pauses == ()
    await _ended(actor)


async def test_message_with_a_bad_chunk_leaves_nothing(actor: Actor) -> None:
    """Its number stays due."""
    with pytest.raises(BadInput):
        actor.live.receive_audio(2, [SECOND, Piece("nobody", 0, b"")])
    assert actor.live.next_sequence == 2
    actor.live.end(StopReason.HANGUP)
    assert (await actor.outcome()).data == b""


async def test_every_pause_is_told_even_where_an_empty_one_was(actor: Actor) -> None:
    """Two pauses that begin at the same frame are two facts, and the last state told is the true one."""
    live = actor.live
    for sequence in (2, 4):
        await live.pause(PauseMode.CUT, 16_000, sequence)
        await live.resume(16_000, sequence + 1)
    await live.pause(PauseMode.CUT, 16_000, 6)
    told = [event_type for event_type, _ in actor.catalog.told]
    assert told == [EventType.RECORDING_PAUSED, EventType.RECORDING_RESUMED] * 2 + [EventType.RECORDING_PAUSED]
    assert actor.catalog.states[-1] is live.recording.state
    assert len(set(actor.catalog.told)) == 5
    await _ended(actor)


async def test_pause_of_a_paused_recording_and_its_end_change_nothing(actor: Actor) -> None:
    """But their numbers are used up."""
    live = actor.live
    await live.resume(sequence=2)
    await live.pause(PauseMode.SILENCE, 8000, 3)
    await live.pause(PauseMode.CUT, 9000, 4)
    assert live.recording.pauses == (PauseInterval(8000, None, PauseMode.SILENCE),)
    assert live.next_sequence == 5
    await _ended(actor)


async def test_pause_never_begins_before_what_was_received(actor: Actor) -> None:
    """What is acknowledged stays."""
    actor.live.receive_audio(2, [SECOND])
    await actor.live.pause(PauseMode.CUT, 100)
    assert actor.live.recording.pauses[0].start_frame == 16_000
    await _ended(actor)


async def test_steering_an_ended_recording_is_refused_but_its_stream_may_still_talk(actor: Actor) -> None:
    """The sender cannot know yet."""
    live = actor.live
    live.receive_audio(2, [SECOND])
    live.end(StopReason.REQUESTED)
    with pytest.raises(Conflict) as refused:
        await live.pause(PauseMode.SILENCE)
    assert refused.value.reason is Reason.RECORDING_NOT_LIVE
    live.receive_audio(3, [Piece("callee", 16_000, bytes(320))])
    await live.pause(PauseMode.SILENCE, sequence=4)
    live.receive_key(5, KeyPress("caller", "1", 0))
    live.stop(StopReason.HANGUP, None, 6)
    assert live.next_sequence == 7
    outcome = await actor.outcome()
    assert (outcome.frames, outcome.stop_reason) == (16_000, StopReason.REQUESTED)


async def test_stream_hears_where_and_why_it_ended_and_then_the_outcome(actor: Actor) -> None:
    """In this order, as the last things."""
    heard = Heard()
    actor.live.attach(heard, 60)
    actor.live.receive_audio(2, [SECOND])
    actor.live.stop(StopReason.HANGUP, 20_000, 3)
    outcome = await actor.outcome()
    assert heard.notices[-2:] == [Stopped(StopReason.HANGUP, 20_000), Completed(actor.live.recording)]
    assert heard.errors == []
    assert outcome.frames == 20_000


async def test_second_stream_ends_the_first_one(actor: Actor) -> None:
    """With STREAM_REPLACED; the first one's going away then changes nothing."""
    first, second = Heard(), Heard()
    actor.live.attach(first, 60)
    actor.live.attach(second, 60)
    assert [error.reason for error in first.errors] == [Reason.STREAM_REPLACED]
    actor.live.detach(first)
    assert actor.live.busy
    await _ended(actor)
    assert isinstance(second.notices[-1], Completed)


@pytest.mark.parametrize(("digit", "ends"), [("#", True), ("*", False)])
async def test_end_key_ends_it_where_it_went_down(
    digit: str, ends: bool, tmp_path: Path, workers: ThreadPoolExecutor
) -> None:
    """Other keys do not."""
    options = RecordOptions(format=FileFormat.WAV, split=True, end_on_key="#")
    async with acting(tmp_path, a_recording(options=options), workers) as actor:
        actor.live.begin()
        actor.live.receive_audio(2, [SECOND])
        actor.live.receive_key(3, KeyPress("caller", digit, 8000))
        assert (actor.live.ending is not None) is ends
        if not ends:
            actor.live.end(StopReason.HANGUP)
        outcome = await actor.outcome()
    assert outcome.stop_reason is (StopReason.KEY if ends else StopReason.HANGUP)
    assert outcome.frames == (8000 if ends else 16_000)


async def test_only_the_first_end_counts(actor: Actor) -> None:
    """Why and where."""
    actor.live.receive_audio(2, [SECOND])
    first = actor.live.end(StopReason.REQUESTED, 4000)
    assert actor.live.end(StopReason.HANGUP, 16_000) is first
    outcome = await actor.outcome()
    assert (outcome.frames, outcome.stop_reason) == (4000, StopReason.REQUESTED)


async def test_recording_ends_although_the_disk_takes_longer_than_anyone_waits(
    actor: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end is asked for again until it is durable; the recording does not wait for a restart."""
    real, slowly = os.fdatasync, iter((0.3,))

    def slow(descriptor: int) -> None:
        time.sleep(next(slowly, 0.0))
        real(descriptor)

    monkeypatch.setattr("recorder_service.sessions.ending._DURABLE_TIMEOUT_S", 0.05)
    monkeypatch.setattr("recorder_service.journal.segments.os.fdatasync", slow)
    actor.live.receive_audio(2, [SECOND])
    actor.live.end(StopReason.HANGUP)
    assert (await actor.outcome()).stop_reason is StopReason.HANGUP
    assert next(slowly, None) is None

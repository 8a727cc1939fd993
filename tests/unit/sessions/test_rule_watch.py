"""The clock acting on stop rules while nothing arrives."""

import asyncio

from tests.unit.sessions.test_stop_rules import Gate

from recorder_service.domain.options import RecordOptions
from recorder_service.sessions.media_clock import MediaClock
from recorder_service.sessions.rule_watch import RuleWatch
from recorder_service.sessions.stop_rules import GRACE_FRAMES, StopRules


def _watch(rules: StopRules, clock: MediaClock, told: list[str]) -> RuleWatch:
    return RuleWatch(
        rules, clock, on_limit=lambda: told.append("limit"), on_silence=lambda frame: told.append(f"silence:{frame}")
    )


async def test_limit_acts_once_when_its_time_and_the_grace_have_passed() -> None:
    """Not before: audio may still be under way."""
    rules = StopRules(RecordOptions(time_out_s=3), max_recording_s=9, silence=Gate(deadline_frame=None))
    told: list[str] = []
    clock = MediaClock(48_000 + GRACE_FRAMES - 3200)
    watch = _watch(rules, clock, told)
    watch.start()
    await asyncio.sleep(0.1)
    assert told == []
    await asyncio.sleep(0.3)
    assert told == ["limit"]


async def test_silence_is_asked_for_again_until_it_is_settled() -> None:
    """With the frame at which it is due."""
    told: list[str] = []
    rules = StopRules(RecordOptions(end_on_silence_s=3), max_recording_s=9, silence=Gate(None, 48_000))
    watch = _watch(rules, MediaClock(48_000 + GRACE_FRAMES), told)
    watch.start()
    await asyncio.sleep(0.3)
    watch.stop()
    assert len(told) >= 2
    assert set(told) == {"silence:48000"}


async def test_silence_of_a_pause_does_not_count() -> None:
    """Nobody is asked to speak."""
    told: list[str] = []
    rules = StopRules(RecordOptions(end_on_silence_s=3), max_recording_s=9, silence=Gate(None, 48_000))
    watch = _watch(rules, MediaClock(100_000), told)
    watch.silence_counts = False
    watch.start()
    await asyncio.sleep(0.2)
    watch.stop()
    assert told == []


async def test_stopped_watch_tells_nothing_more() -> None:
    """And stopping it twice is harmless."""
    told: list[str] = []
    watch = _watch(
        StopRules(RecordOptions(time_out_s=3), max_recording_s=9, silence=Gate(deadline_frame=None)),
        MediaClock(100_000),
        told,
    )
    watch.start()
    watch.stop()
    watch.stop()
    await asyncio.sleep(0.1)
    assert told == []

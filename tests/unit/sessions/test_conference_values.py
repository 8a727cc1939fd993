"""What is asked for of a conference, and its clock."""

import time
from dataclasses import replace
from uuid import uuid4

from recorder_service.audio.formats import Encoding, LegFormat
from recorder_service.domain.options import EncoderOptions, RecordOptions
from recorder_service.sessions.conference_values import ConferenceClock, JoinLeg, JoinStream, RecordPlan, Return


def test_clock_counts_from_its_begin() -> None:
    """In frames at 16 kHz, from the frame it was started at."""
    now_s = 100.0
    clock = ConferenceClock(8000, lambda: now_s)
    assert clock.now_frame() == 8000
    now_s = 102.5
    assert clock.now_frame() == 48_000


def test_leg_knows_its_format() -> None:
    """By the contract's name of the encoding."""
    assert JoinLeg("a", "ALAW", 8000).format == LegFormat(Encoding.ALAW, 8000)


def test_stream_that_returns_makes_its_conference_at_the_time_where_it_was() -> None:
    """Where its position 0 lay, by what it was told or by its own word, and where its audio stands."""
    plan, back = RecordPlan(RecordOptions(), EncoderOptions()), Return(16_000, 48_000, recorded=False)
    asked = JoinStream(uuid4(), "room", "", plan)
    assert (asked.conference_frame, asked.position_frame, asked.waited_frames()) == (0, 0, 0)
    assert replace(asked, returned=back).conference_frame == 64_000
    assert replace(asked, returned=back, origin_frame=8000).conference_frame == 56_000


def test_wait_of_a_stream_is_counted_from_its_arrival() -> None:
    """By the monotonic clock."""
    plan = RecordPlan(RecordOptions(), EncoderOptions())
    asked = JoinStream(uuid4(), "room", "", plan, arrived_s=time.monotonic() - 2)
    assert 32_000 <= asked.waited_frames() < 320_000

"""What is asked for of a conference, and its clock."""

from recorder_service.audio.formats import Encoding, LegFormat
from recorder_service.sessions.conference_values import ConferenceClock, JoinLeg


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

"""Which stretches count as lost to damage."""

from recorder_service.domain.recording import FrameInterval
from recorder_service.sessions.lost_stretches import PATIENCE_FRAMES, LostStretches


def test_hole_reaches_from_the_last_audio_to_the_next() -> None:
    """One leg: where it was heard last to where it is heard again."""
    lost = LostStretches()
    lost.begin({"a": 320})
    lost.heard("a", 960)
    assert not lost.open
    assert lost.at_end(1280) == (FrameInterval(320, 960),)


def test_hole_without_audio_in_it_is_no_stretch() -> None:
    """What was lost was a key press, say: audio goes on where it ended."""
    lost = LostStretches()
    lost.begin({"a": 320})
    lost.heard("a", 320)
    assert lost.at_end(640) == ()


def test_each_leg_has_its_own_stretch() -> None:
    """A lost chunk of one leg is told although the other leg goes on; stretches that touch are one."""
    lost = LostStretches()
    lost.begin({"a": 640, "b": 320})
    lost.heard("a", 640)
    lost.heard("b", 640)
    lost.begin({"a": 960, "b": 960})
    lost.heard("b", 1600)
    lost.heard("a", 960)
    assert lost.at_end(2000) == (FrameInterval(320, 640), FrameInterval(960, 1600))


def test_leg_that_stays_away_is_lost_as_long_as_the_others() -> None:
    """A leg that is not heard again has sent nothing, as far as anybody knows."""
    lost = LostStretches()
    lost.begin({"a": 320, "b": 320})
    lost.heard("a", 960)
    lost.heard("a", 960 + PATIENCE_FRAMES + 1)
    assert not lost.open
    assert lost.at_end(1 << 30) == (FrameInterval(320, 960),)


def test_leg_that_was_silent_before_the_hole_has_lost_nothing() -> None:
    """A leg far behind the others counts from where they are."""
    lost = LostStretches()
    furthest = 2 * PATIENCE_FRAMES
    lost.begin({"a": furthest, "b": 0})
    lost.heard("a", furthest + 320)
    lost.heard("b", furthest + 320)
    assert lost.at_end(1 << 30) == (FrameInterval(furthest, furthest + 320),)


def test_hole_at_the_end_reaches_to_it() -> None:
    """Nobody was heard again: up to the end of the recording, or an empty stretch where that is unknown."""
    lost = LostStretches()
    lost.begin({"a": 320})
    assert lost.at_end(640) == (FrameInterval(320, 640),)
    tail = LostStretches()
    tail.begin({"a": 320})
    assert tail.at_end(320) == (FrameInterval(320, 320),)


def test_recording_without_hole_has_lost_nothing() -> None:
    """The usual case."""
    assert LostStretches().at_end(640) == ()

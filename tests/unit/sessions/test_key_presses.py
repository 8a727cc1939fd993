"""One press of a key, however often it is told."""

from recorder_service.domain.event import KeyPress
from recorder_service.sessions.key_presses import KeyPresses


def _count(*presses: KeyPress) -> int:
    keys = KeyPresses()
    return sum(keys.is_new(press) for press in presses)


def test_repeat_with_the_same_timestamp_counts_once() -> None:
    """RFC 4733 sends the end of an event three times."""
    press = KeyPress("caller", "5", 16_000, 100)
    assert _count(press, press, press) == 1


def test_repeat_stamped_within_the_press_counts_once() -> None:
    """100 ms are 1600 frames; the press covers them without the last."""
    first = KeyPress("caller", "5", 16_000, 100)
    assert _count(first, KeyPress("caller", "5", 17_599, 100)) == 1
    assert _count(first, KeyPress("caller", "5", 17_600, 100)) == 2


def test_repeat_of_a_press_of_unknown_length_counts_once_for_40_ms() -> None:
    """640 frames: shorter than anybody can press the same key twice."""
    first = KeyPress("caller", "5", 0)
    assert _count(first, KeyPress("caller", "5", 639)) == 1
    assert _count(first, KeyPress("caller", "5", 640)) == 2


def test_same_key_again_later_is_a_new_press() -> None:
    """A pin of four equal digits."""
    assert _count(*(KeyPress("caller", "1", at * 8000, 80) for at in range(4))) == 4


def test_another_key_is_a_new_press_at_once() -> None:
    """Even within the length that was told of the one before."""
    assert _count(KeyPress("caller", "1", 0, 500), KeyPress("caller", "2", 100, 80)) == 2


def test_legs_do_not_know_of_each_other() -> None:
    """The same key at the same instant on two legs is two presses."""
    assert _count(KeyPress("caller", "1", 0, 80), KeyPress("callee", "1", 0, 80)) == 2


def test_press_before_the_last_one_is_an_old_repeat() -> None:
    """It came late: the last press of the leg is known already."""
    assert _count(KeyPress("a", "1", 0, 80), KeyPress("a", "2", 8000, 80), KeyPress("a", "1", 0, 80)) == 2


def test_press_of_no_length_is_still_one_press() -> None:
    """A duration of 0 covers one frame."""
    press = KeyPress("a", "1", 100, 0)
    assert _count(press, press) == 1

"""Key presses: telling a repeat from a new press."""

from recorder_service.audio.formats import RECORDING_RATE_HZ
from recorder_service.domain.event import KeyPress

DIGITS = "0123456789*#ABCD"
# A press whose length is unknown is taken to last this long: shorter than anybody can press the same key twice.
_UNKNOWN_FRAMES = RECORDING_RATE_HZ // 25


class KeyPresses:
    """Remembers the last press of each leg.

    A sender repeats a press (RFC 4733, section 2.5.1.4 sends the end three times) with the timestamp of its begin;
    some stamp the repeats within the press. Both count once.
    """

    def __init__(self) -> None:
        """Start without presses."""
        self._last: dict[str, KeyPress] = {}

    def is_new(self, press: KeyPress) -> bool:
        """Say whether this press has not been seen, and remember it."""
        last = self._last.get(press.leg_id)
        if last is not None and last.digit == press.digit and last.frame <= press.frame < _end_frame(last):
            return False
        if last is not None and press.frame < last.frame:
            return False
        self._last[press.leg_id] = press
        return True


def _end_frame(press: KeyPress) -> int:
    if press.duration_ms is None:
        return press.frame + _UNKNOWN_FRAMES
    return press.frame + max(1, press.duration_ms * RECORDING_RATE_HZ // 1000)

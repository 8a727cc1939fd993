"""Moving a leg by a few frames: how a sender's clock that runs fast or slow is corrected."""

from dataclasses import dataclass

from recorder_service.audio.formats import RECORDING_RATE_HZ

CELL_FRAMES = RECORDING_RATE_HZ // 10
"""Slips lie in the middle of cells of this many recording frames, one a cell: a cell never crosses a block's border."""
REACH_FRAMES = CELL_FRAMES // 4
"""How far, in recording frames, a slip is felt on either side."""


@dataclass(frozen=True, slots=True)
class Slip:
    """A slip of one leg, in leg frames of the recording.

    Attributes:
        frame: Where everything from here on is moved: one past the last frame that stays.
        by_frames: How far: positive leaves a hole of that length, negative takes that many frames out.
    """

    frame: int
    by_frames: int

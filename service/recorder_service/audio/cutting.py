"""Stretches that are left out of the file, so that it is shorter than the call."""

from operator import itemgetter

import numpy as np

from recorder_service.audio.samples import Pcm


class Cutter:
    """Removes stretches from audio that passes by in order. All positions are recording frames."""

    def __init__(self) -> None:
        self.cut_frames = 0
        # Start and end (None: still open) of the cuts that audio to come may meet, as told; they may overlap.
        self._cuts: list[tuple[int, int | None]] = []

    def begin(self, frame: int) -> None:
        """Leave out everything from `frame` on until `end`; while a cut is open, this changes nothing."""
        if not self._cuts or self._cuts[-1][1] is not None:
            self._cuts.append((frame, None))

    def end(self, frame: int) -> None:
        """End the open cut before `frame`; without an open cut this changes nothing."""
        if self._cuts and self._cuts[-1][1] is None:
            start_frame, _ = self._cuts.pop()
            if frame > start_frame:
                self._cuts.append((start_frame, frame))

    def keep(self, start_frame: int, pcm: Pcm) -> Pcm:
        """Give what stays of the next audio (int16, shape (channels, frames)), of which nothing may come again."""
        end_frame = start_frame + pcm.shape[1]
        kept = []
        position = start_frame
        for cut_start, cut_end in sorted(self._cuts, key=itemgetter(0)):
            if cut_start >= end_frame:
                break
            kept.append(pcm[:, position - start_frame : max(position, cut_start) - start_frame])
            position = max(position, end_frame if cut_end is None else min(cut_end, end_frame))
        self._cuts = [cut for cut in self._cuts if cut[1] is None or cut[1] > end_frame]
        if not kept:
            return pcm
        kept.append(pcm[:, position - start_frame :])
        remaining = np.concatenate(kept, axis=1)
        self.cut_frames += pcm.shape[1] - remaining.shape[1]
        return remaining

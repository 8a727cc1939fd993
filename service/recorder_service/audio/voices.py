"""One leg on the worker's side: its chunks put together, decoded and resampled, and handed out stretch by stretch."""

from collections import deque
from collections.abc import Sequence

import numpy as np

from recorder_service.audio.chunks import PlacedChunk, fill, payload_of, runs
from recorder_service.audio.formats import LegFormat, Payload
from recorder_service.audio.resampling import LegResampler
from recorder_service.audio.samples import Pcm, decode
from recorder_service.audio.slips import REACH_FRAMES, Slip
from recorder_service.audio.smoothing import smooth


class PieceQueue:
    """Pieces of 16 kHz audio at their places, in order and without overlap; what lies between them is silence."""

    def __init__(self) -> None:
        self._pieces: deque[tuple[int, Pcm]] = deque()

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def add(self, start_frame: int, pcm: Pcm) -> None:
        """Append a piece (int16, shape (frames,)) that starts where the last one ends or later."""
        self._pieces.append((start_frame, pcm))

    def take(self, start_frame: int, end_frame: int) -> Pcm | None:
        """Give the audio from `start_frame` to `end_frame` and forget everything before `end_frame`.

        Returns:
            pcm: int16, shape (end_frame - start_frame,), which may share memory with a piece; None where there is no
            piece at all.
        """
        found = []
        while self._pieces and self._pieces[0][0] < end_frame:
            piece_frame, pcm = self._pieces.popleft()
            if piece_frame + len(pcm) > end_frame:
                # A copy: a view of the last milliseconds would keep the whole second before them.
                self._pieces.appendleft((end_frame, pcm[end_frame - piece_frame :].copy()))
                pcm = pcm[: end_frame - piece_frame]
            if piece_frame < start_frame:
                pcm, piece_frame = pcm[start_frame - piece_frame :], start_frame
            if len(pcm):
                found.append((piece_frame, pcm))
        if not found:
            return None
        if len(found[0][1]) == end_frame - start_frame:
            return found[0][1]
        stretch = np.zeros(end_frame - start_frame, dtype=np.int16)
        for piece_frame, pcm in found:
            stretch[piece_frame - start_frame : piece_frame - start_frame + len(pcm)] = pcm
        return stretch


class Voice:
    """A leg from its chunks to 16 kHz audio.

    Attributes:
        channels: Channels of the file that the leg is mixed into.
    """

    def __init__(self, leg_format: LegFormat, channels: Sequence[int]) -> None:
        self.channels = channels
        self._format = leg_format
        self._resampler: LegResampler | None = None
        self._pieces = PieceQueue()
        self._slips: list[Slip] = []
        # What slips to come took out, by their frames.
        self._taken_out: dict[int, Pcm] = {}

    @property
    def ready_frame(self) -> int | None:
        """Recording frame up to which `take` knows the leg; None as long as the leg never had any audio."""
        return None if self._resampler is None else self._resampler.ready_frame

    def slip(self, slip: Slip) -> None:
        """Note a slip that lies in a stretch to come."""
        self._slips.append(slip)

    def take_out(self, frame: int, payload: Payload) -> None:
        """Note what a slip at a leg frame took out."""
        if any(slip.frame == frame for slip in self._slips):
            self._taken_out[frame] = decode(payload, self._format)

    def hear(self, start_frame: int, frames: int, chunks: Sequence[PlacedChunk]) -> None:
        """Take the chunks of the next stretch of the recording (recording frames); often there are none."""
        if chunks:
            if self._resampler is None:
                self._resampler = LegResampler(self._format)
            pcm = assemble(chunks, self._format, self._format.leg_frame_ceil(frames))
            if self._slips:
                pcm = self._smoothed(self._format.leg_frame(start_frame), pcm)
            pieces = self._resampler.sound(start_frame, frames, pcm)
        elif self._resampler is not None:
            pieces = self._resampler.silence(start_frame, frames)
        else:
            return
        for piece_frame, piece in pieces:
            self._pieces.add(piece_frame, piece)

    def _smoothed(self, start_frame: int, pcm: Pcm) -> Pcm:
        """Smooth the slips of a stretch that starts at a leg frame, and forget them and those before it."""
        end_frame = start_frame + len(pcm)
        reach_frames = self._format.leg_frame(REACH_FRAMES)
        for slip in self._slips:
            taken_out = self._taken_out.pop(slip.frame, None) if slip.frame < end_frame else None
            if start_frame <= slip.frame < end_frame:
                pcm = smooth(pcm, slip.frame - start_frame, slip.by_frames, reach_frames, taken_out)
        self._slips = [slip for slip in self._slips if slip.frame >= end_frame]
        return pcm

    def finish(self) -> None:
        """Make everything that was heard available to `take`."""
        if self._resampler is not None:
            for piece_frame, piece in self._resampler.finish():
                self._pieces.add(piece_frame, piece)

    def take(self, start_frame: int, end_frame: int) -> Pcm | None:
        """Give a stretch of the leg's audio, see `PieceQueue.take`."""
        return self._pieces.take(start_frame, end_frame)


def assemble(chunks: Sequence[PlacedChunk], leg_format: LegFormat, frames: int) -> Pcm:
    """Decode the chunks of one block at their places; the gaps are zeros.

    Args:
        chunks: In order, without overlap, at least one.
        leg_format: How they are encoded.
        frames: The block's length in leg frames.

    Returns:
        pcm: int16, shape (frames,), the leg's rate; read-only where it shares the payload's memory.
    """
    # One decoding a run of chunks, not one a chunk: a call costs more than the 20 ms it decodes.
    if fill(chunks, leg_format, frames):
        return decode(b"".join(map(payload_of, chunks)), leg_format)
    pcm = np.zeros(frames, dtype=np.int16)
    for offset, payloads in runs(chunks, leg_format.bytes_per_frame):
        run = decode(b"".join(payloads), leg_format)
        pcm[offset : offset + len(run)] = run
    return pcm

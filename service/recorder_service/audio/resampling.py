"""From a leg's sample rate to the recording's, so that output frame n is the instant of recording frame n.

soxr's filters are symmetric and its delay is taken off, so nothing shifts. Its results do not depend on how the input
is cut into calls. Measured per hour of one leg on a busy two-core machine, conversions included: 0.35 CPU-s at 8 kHz,
0.7 at 32 kHz, 0.9 to 1.1 at the others.
"""

import numpy as np
import soxr
from numpy.typing import NDArray

from recorder_service.audio.formats import ALIGNED_FRAMES, RECORDING_RATE_HZ, LegFormat
from recorder_service.audio.samples import Pcm

CONTEXT_FRAMES = 2 * ALIGNED_FRAMES
"""Recording frames on either side of an instant that the filters reach, rounded up (the widest reaches 158)."""

_INT16 = np.iinfo(np.int16)


def _quality(sample_rate_hz: int) -> str:
    """Choose the cheapest setting whose error against ideal tones stays below -60 dB up to 0.9 of the band.

    "MQ" (16 bit) reaches -106 dB where the ratio is simple, but -43 dB at 44.1 kHz, where soxr interpolates its
    filter; "HQ" reaches -61 dB there. "LQ" passes only 0.7 of the band.
    """
    return "HQ" if sample_rate_hz == 44_100 else "MQ"


class Resampler:
    """One continuous signal, from `sample_rate_hz` to 16 kHz.

    A signal that has 16 kHz already passes through bit for bit, without a copy. Others need some 100 KB while they run.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._stream: soxr.ResampleStream | None = None
        # soxr keeps buffers of several times what it was ever given at once: of 100 ms 100 KB, of a second 300.
        self._piece_frames = sample_rate_hz // 10
        if sample_rate_hz != RECORDING_RATE_HZ:
            # float32 in and out: with int16 soxr adds dither noise, and a third of the samples is not the nearest one.
            self._stream = soxr.ResampleStream(
                sample_rate_hz, RECORDING_RATE_HZ, 1, dtype="float32", quality=_quality(sample_rate_hz)
            )

    def process(self, pcm: Pcm, *, last: bool = False) -> Pcm:
        """Resample the next piece.

        Args:
            pcm: int16, shape (frames,), the leg's rate; may be empty.
            last: Give everything held back too; the resampler must not be used afterwards.

        Returns:
            pcm: int16, shape (frames,), 16 kHz. Up to 120 ms are held back until more input comes; over all calls
            it is the input's length times the ratio of the rates, rounded.
        """
        if self._stream is None:
            return pcm
        resampled = self._resampled(self._stream, pcm.astype(np.float32), last=last)
        np.rint(resampled, out=resampled)
        np.clip(resampled, _INT16.min, _INT16.max, out=resampled)
        return resampled.astype(np.int16)

    def _resampled(
        self, stream: soxr.ResampleStream, samples: NDArray[np.float32], *, last: bool
    ) -> NDArray[np.float32]:
        most, pieces = self._piece_frames, []
        while len(samples) > most:
            pieces.append(stream.resample_chunk(samples[:most]))
            samples = samples[most:]
        resampled: NDArray[np.float32] = stream.resample_chunk(samples, last)
        return np.concatenate((*pieces, resampled)) if pieces else resampled


class LegResampler:
    """The audio of one leg on the recording's timeline, where silence costs nothing.

    A resampler runs only from a little before a block with audio to a little after it. It starts and ends in silence,
    and the silence is as long as the filter's reach, so that the ringing before and after a sudden sound is complete
    and the result is what one endless resampler would give.

    Attributes:
        ready_frame: Recording frame up to which the leg's sound is known; where no piece was given, it is silence.
    """

    def __init__(self, leg_format: LegFormat) -> None:
        self.ready_frame = 0
        self._format = leg_format
        self._context_frames = 0 if leg_format.sample_rate_hz == RECORDING_RATE_HZ else CONTEXT_FRAMES
        self._resampler: Resampler | None = None
        self._silent_frames = 0

    def sound(self, start_frame: int, frames: int, pcm: Pcm) -> list[tuple[int, Pcm]]:
        """Go on with a block that has audio.

        Args:
            start_frame: The block's first recording frame, where the block before ended.
            frames: The block's length in recording frames.
            pcm: int16, shape (leg frames of the block, rounded up,), the leg's rate.

        Returns:
            Pieces of 16 kHz audio, each with its first recording frame, in order.
        """
        self._silent_frames = 0
        if self._context_frames == 0:
            self.ready_frame = start_frame + frames
            return [(start_frame, pcm)]
        pieces = []
        if self._resampler is None:
            self._resampler = Resampler(self._format.sample_rate_hz)
            lead_frames = min(self._context_frames, start_frame)
            self.ready_frame = start_frame - lead_frames
            pieces += self._run(self._zeros(lead_frames))
        return pieces + self._run(pcm)

    def silence(self, start_frame: int, frames: int) -> list[tuple[int, Pcm]]:
        """Go on with a block in which the leg sent nothing; what the filter still holds comes out."""
        end_frame = start_frame + frames
        pieces = []
        if self._resampler is not None:
            tail_frames = max(0, self._context_frames - self._silent_frames)
            if frames < tail_frames + self._context_frames:
                # Too short a block for the end of one run and, right after it, the start of another.
                self._silent_frames += frames
                return self._run(self._zeros(frames))
            pieces = self._run(self._zeros(tail_frames), last=True)
            self._resampler = None
        # A sound that begins right after this block may ring before it.
        self.ready_frame = max(self.ready_frame, end_frame - self._context_frames)
        return pieces

    def finish(self) -> list[tuple[int, Pcm]]:
        """Give what is held back; the last piece may end beyond the last block."""
        if self._resampler is None:
            return []
        pieces = self._run(self._zeros(0), last=True)
        self._resampler = None
        return pieces

    def _run(self, pcm: Pcm, *, last: bool = False) -> list[tuple[int, Pcm]]:
        assert self._resampler is not None  # noqa: S101 - for the type checker: callers looked
        resampled = self._resampler.process(pcm, last=last)
        piece_frame = self.ready_frame
        self.ready_frame += len(resampled)
        return [(piece_frame, resampled)] if len(resampled) else []

    def _zeros(self, frames: int) -> Pcm:
        return np.zeros(self._format.leg_frame_ceil(frames), dtype=np.int16)

"""The worker's side of the audio: blocks in, samples for the encoder out.

Everything numeric of a recording lives here and is touched by one thread at a time. The output depends on the order
of calls only: a session hands blocks, cuts and tones over in one queue, in the order in which they came up, and
replaying that order gives the same samples bit for bit.

The output lags behind the blocks by 30 ms: the limiter looks ahead by `mixing.REACH_FRAMES`, and
`resampling.CONTEXT_FRAMES` are held back because a leg that is resampled may begin with the next block and ring before
it. Legs that do not have 16 kHz hold back up to 120 ms in their resamplers. `finish` gives the rest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from recorder_service.audio.cutting import Cutter
from recorder_service.audio.formats import ALIGNED_FRAMES, LegFormat, Payload
from recorder_service.audio.mixing import Mixer
from recorder_service.audio.resampling import CONTEXT_FRAMES
from recorder_service.audio.samples import Pcm
from recorder_service.audio.slips import Slip
from recorder_service.audio.timeline import Block
from recorder_service.audio.voices import PieceQueue, Voice

MAX_SILENCE_SAMPLES = 160_000
"""Samples in one piece of a long silence: 10 s of one channel, or less of more channels."""


class ActivityObserver(Protocol):
    """Hears every leg at 16 kHz, before cuts and tones, and may say where the recording stops.

    Media time is walked through in stretches without hole or overlap, from frame 0. For each stretch, either `observe`
    is called once for every leg that has audio in it and then `close_to` for its end, or `observe_nothing` once. Then
    `stop_frame` is read.
    """

    @property
    def stop_frame(self) -> int | None:
        """Recording frame at which the recording stops, None to go on; not before the stretch heard last."""

    def observe(self, leg_id: str, start_frame: int, pcm: Pcm) -> None:
        """Hear one leg in a stretch: int16, shape (frames,), 16 kHz; not to be changed or kept."""

    def close_to(self, frame: int) -> None:
        """Learn that every leg was heard up to a recording frame."""

    def observe_nothing(self, start_frame: int, frames: int) -> None:
        """Learn that no leg sent anything in a stretch, which may be 10 s long."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """The next samples of the file.

    Attributes:
        output_frame: Position in the file of the first of them: how many frames came before.
        end_frame: Recording frame up to which the call is in the file; cuts make it run ahead of the file.
        pcm: int16, shape (channels, frames), 16 kHz; at least one frame.
    """

    output_frame: int
    end_frame: int
    pcm: Pcm


class Renderer:
    """Turns the blocks of one timeline into the samples of one file.

    `render` and `finish` give iterators, so that a long silence never lies in memory as a whole. An iterator must be
    used up before the next call.
    """

    def __init__(
        self, channels: int, *, observer: ActivityObserver | None = None, limit_frame: int | None = None
    ) -> None:
        """Start at frame 0 without legs.

        Args:
            channels: Channels of the file.
            observer: Hears the legs and may stop the recording.
            limit_frame: Recording frame at which the recording stops at the latest.
        """
        self._channels = channels
        self._observer = observer
        self._limit_frame = limit_frame
        self._voices: dict[str, Voice] = {}
        self._tones: list[tuple[PieceQueue, Sequence[int]]] = []
        self._mixer = Mixer(channels)
        self._cutter = Cutter()
        self._block_frame = 0
        self._mixed_frame = 0
        self._given_frame = 0
        self._output_frame = 0
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether the last frame was given, because of `finish`, the observer or the limit."""
        return self._ended

    @property
    def end_frame(self) -> int:
        """Recording frame up to which everything was given; where the recording stopped, once it `ended`."""
        return self._given_frame

    @property
    def output_frames(self) -> int:
        """Frames given so far: `end_frame` without the cuts."""
        return self._output_frame

    def add_leg(self, leg_id: str, leg_format: LegFormat, channels: Sequence[int]) -> None:
        """Name a leg before its first block; until a block holds audio of it, this changes nothing in the output.

        Raises:
            ValueError: If the leg is there already or the file lacks one of the channels.
        """
        if leg_id in self._voices:
            raise ValueError(f"leg {leg_id!r} was added before")
        self._check_channels(channels)
        self._voices[leg_id] = Voice(leg_format, tuple(channels))

    def slip(self, leg_id: str, slip: Slip) -> None:
        """Smooth a slip of a leg when the block that holds it comes."""
        self._voices[leg_id].slip(slip)

    def take_out(self, leg_id: str, frame: int, payload: Payload) -> None:
        """Note what a slip at a leg frame took out of a leg."""
        self._voices[leg_id].take_out(frame, payload)

    def add_tone(self, start_frame: int, pcm: Pcm, channels: Sequence[int]) -> int:
        """Mix a tone (int16, shape (frames,), 16 kHz) into the recording; the observer does not hear it.

        Returns:
            The recording frame at which it starts: `start_frame`, but not before what is mixed already.

        Raises:
            ValueError: If the file lacks one of the channels.
        """
        self._check_channels(channels)
        start_frame = max(start_frame, self._mixed_frame)
        tone = PieceQueue()
        tone.add(start_frame, pcm)
        self._tones.append((tone, tuple(channels)))
        return start_frame

    def begin_cut(self, frame: int) -> int:
        """Leave out everything from a recording frame on, until `end_cut`.

        A cut takes effect at the end of the last rendered block at the earliest: what came before may be in the file.
        A session that cuts at the furthest frame of its timeline is always beyond that. While a cut is open, a second
        one changes nothing.

        Returns:
            The recording frame at which the cut takes effect.
        """
        frame = max(frame, self._block_frame)
        self._cutter.begin(frame)
        return frame

    def end_cut(self, frame: int) -> int:
        """Keep everything from a recording frame on again; the same rules as for `begin_cut` hold."""
        frame = max(frame, self._block_frame)
        self._cutter.end(frame)
        return frame

    def render(self, block: Block) -> Iterator[Rendered]:
        """Take the next block and give what is ready; after the end, nothing.

        Raises:
            ValueError: If the block does not follow the one before, or holds a leg that was never added.
        """
        if self._ended:
            return
        if block.start_frame != self._block_frame:
            raise ValueError(f"block starts at frame {block.start_frame}; expected {self._block_frame}")
        if unknown := block.chunks.keys() - self._voices.keys():
            raise ValueError(f"block holds unknown legs {sorted(unknown)}")
        for start_frame, frames in self._stretches(block):
            for leg_id, voice in self._voices.items():
                voice.hear(start_frame, frames, block.chunks.get(leg_id, ()))
            self._block_frame = start_frame + frames
            yield from self._give(self._ready_frame())
            if self.ended:
                return

    def finish(self, end_frame: int) -> Iterator[Rendered]:
        """Give everything up to this recording frame and end.

        An `end_frame` beyond the blocks is filled with silence. One before what was given already cannot be kept:
        the recording then ends there, as `end_frame` of the renderer says. After the end, nothing is given.
        """
        end_frame = max(end_frame, self._given_frame)
        if end_frame > self._block_frame:
            yield from self.render(Block(self._block_frame, end_frame - self._block_frame, {}))
        if self.ended:
            return
        for voice in self._voices.values():
            voice.finish()
        yield from self._give(end_frame, last=True)

    def _stretches(self, block: Block) -> Iterator[tuple[int, int]]:
        """Give the block as it is, or a long silence in pieces."""
        longest = block.frames
        if not block.chunks:
            longest = MAX_SILENCE_SAMPLES // self._channels // ALIGNED_FRAMES * ALIGNED_FRAMES
        for start_frame in range(block.start_frame, block.end_frame, longest):
            yield start_frame, min(longest, block.end_frame - start_frame)

    def _ready_frame(self) -> int:
        """Say up to where no block to come can change the sound."""
        frames = [voice.ready_frame for voice in self._voices.values()]
        return min([self._block_frame - CONTEXT_FRAMES, *(frame for frame in frames if frame is not None)])

    def _give(self, end_frame: int, *, last: bool = False) -> Iterator[Rendered]:
        """Mix up to `end_frame`, or to where the recording stops before, and give what the limiter lets go."""
        start_frame = self._mixed_frame
        mixed = np.zeros((self._channels, 0), dtype=np.int16)
        stop_frame = None
        if end_frame > start_frame:
            sounds = self._hear(start_frame, end_frame)
            stop_frame = self._stop_frame(start_frame, end_frame)
            self._mixed_frame = end_frame if stop_frame is None else stop_frame
            mixed = self._mix(start_frame, self._mixed_frame, sounds)
        if last or stop_frame is not None:
            self._ended = True
            mixed = np.concatenate((mixed, self._mixer.flush()), axis=1)
            mixed = mixed[:, : min(end_frame, self._mixed_frame) - self._given_frame]
        kept = self._cutter.keep(self._given_frame, mixed)
        self._given_frame += mixed.shape[1]
        if kept.shape[1]:
            rendered = Rendered(self._output_frame, self._given_frame, kept)
            self._output_frame += kept.shape[1]
            yield rendered

    def _hear(self, start_frame: int, end_frame: int) -> list[tuple[Pcm, Sequence[int]]]:
        """Collect the legs' audio and let the observer hear it."""
        sounds = []
        for leg_id, voice in self._voices.items():
            pcm = voice.take(start_frame, end_frame)
            if pcm is None:
                continue
            sounds.append((pcm, voice.channels))
            if self._observer is not None:
                self._observer.observe(leg_id, start_frame, pcm)
        if self._observer is not None:
            if sounds:
                self._observer.close_to(end_frame)
            else:
                self._observer.observe_nothing(start_frame, end_frame - start_frame)
        return sounds

    def _stop_frame(self, start_frame: int, end_frame: int) -> int | None:
        """Say where in this stretch the recording stops, None if it goes on."""
        observed = None if self._observer is None else self._observer.stop_frame
        frames = [frame for frame in (observed, self._limit_frame) if frame is not None and frame <= end_frame]
        return max(start_frame, min(frames)) if frames else None

    def _mix(self, start_frame: int, end_frame: int, sounds: list[tuple[Pcm, Sequence[int]]]) -> Pcm:
        frames = end_frame - start_frame
        sources = [(pcm[:frames], channels) for pcm, channels in sounds]
        for tone, channels in self._tones:
            pcm = tone.take(start_frame, end_frame)
            if pcm is not None:
                sources.append((pcm, channels))
        self._tones = [tone for tone in self._tones if tone[0]]
        return self._mixer.mix(frames, sources)

    def _check_channels(self, channels: Sequence[int]) -> None:
        if not all(0 <= channel < self._channels for channel in channels):
            raise ValueError(f"channels are {list(channels)}; this file has 0 to {self._channels - 1}")

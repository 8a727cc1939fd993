"""The way of one recording's audio: timeline -> renderer -> encoder -> spool.

The event loop places chunks and collects steps; a worker thread has them rendered, one batch at a time, in order. What
ends up in the file depends on the order of the steps only, never on when a worker had time: replaying the journal
gives the same bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from recorder_service.audio.finished import Finished
from recorder_service.audio.formats import Payload
from recorder_service.audio.plan import Host, Progress, Rendering, Take
from recorder_service.audio.slips import Slip
from recorder_service.audio.steps import CutBegin, CutEnd, Hold, PathLeg, SlipLeg, Step, TakeOut
from recorder_service.audio.timeline import Block, Timeline
from recorder_service.audio.tracks import LegStatistics, Track


class SpooledFile(Protocol):
    """A finished file on the node's own disk."""

    @property
    def path(self) -> Path:
        """Where it is."""

    @property
    def size_bytes(self) -> int:
        """Its size."""

    @property
    def sha256(self) -> str:
        """Its hash, lower-case hex."""

    @property
    def frames(self) -> int:
        """Length of the decoded audio at 16 kHz."""

    def discard(self) -> None:
        """Remove it: it is stored."""


class Spool(Protocol):
    """The file under construction."""

    def append(self, data: bytes) -> None:
        """Add bytes at the end."""

    def seal(self, finished: Finished, frames: int) -> SpooledFile:
        """Add what is missing and make the file durable. Blocks."""

    def discard(self) -> None:
        """Remove the file: it is of no use."""


# Later than any call: with it as the clock no position is too far ahead.
_ALWAYS_FRAME = 1 << 62


class AudioPath:
    """Joins the parts for one recording.

    `run` and `complete` belong to a worker, everything else to the event loop.

    Attributes:
        spool: The file under construction.
        tracks: The audio of each leg that no block holds yet, by leg.
        put: Keeps a payload of a track that was checked, see `Timeline.put`; `collect` has to follow.
        check: Refuses a chunk that `place` would refuse, before anything is written down, see `Timeline.check`.
    """

    def __init__(
        self,
        *,
        timeline: Timeline,
        rendering: Rendering,
        spool: Spool,
        legs: Sequence[PathLeg],
        on_encoded: Callable[[float], None] = lambda _spent_s: None,
    ) -> None:
        """Start at frame 0; nothing is written before the first `run`.

        Args:
            timeline: Where chunks are placed.
            rendering: What becomes of its blocks.
            spool: Where the file is built.
            legs: Those that are there from the beginning.
            on_encoded: Called by the worker with the time spent in the encoder, s.
        """
        self._legs: dict[str, PathLeg] = {}
        self.spool = spool
        self._timeline = timeline
        self._rendering = rendering
        self._progress = rendering.progress
        self._on_encoded = on_encoded
        self._steps: list[Step] = []
        # The timeline's own, without a call in between: they are asked for every chunk.
        self.tracks: Mapping[str, Track] = timeline.tracks
        self.put = timeline.put
        self.check = timeline.check
        for leg in legs:
            self._legs[leg.leg_id] = leg
            self._steps.append(leg)
            timeline.add_leg(leg.leg_id, leg.format, joined_frame=0)

    @property
    def legs(self) -> Mapping[str, PathLeg]:
        """All legs so far, in the order in which they came."""
        return self._legs

    @property
    def furthest_frame(self) -> int:
        """One past the last recording frame that audio was placed at."""
        return self._timeline.furthest_audio_frame

    @property
    def leg_ends(self) -> dict[str, int]:
        """Where the audio of each leg ends, in recording frames; 0 where there is none."""
        found = self.statistics
        return {leg_id: leg.format.recording_frame(found[leg_id].end_frame) for leg_id, leg in self.legs.items()}

    @property
    def closed_frame(self) -> int:
        """Recording frame before which nothing can change any more."""
        return self._timeline.closed_frame

    @property
    def waiting_steps(self) -> int:
        """Steps that no worker has taken yet."""
        return len(self._steps)

    @property
    def waiting_frames(self) -> int:
        """How much audio there is in them, in recording frames."""
        return sum(step.frames for step in self._steps if isinstance(step, Block))

    @property
    def ended_frame(self) -> int | None:
        """Where the renderer ended by its own rules (silence, time-out) or by `complete`; None while it goes on."""
        return self._progress.end_frame if self._progress.ended else None

    @property
    def stop_frame(self) -> int | None:
        """Where silence ended the recording; None while it has not."""
        return self._progress.silent_frame

    @property
    def deadline_frame(self) -> int | None:
        """Where silence will end the recording if nobody speaks before; None without that rule."""
        return self._progress.silence_deadline_frame

    @property
    def statistics(self) -> dict[str, LegStatistics]:
        """What was received of each leg."""
        return self._timeline.statistics()

    def place(self, leg_id: str, start_frame: int, payload: Payload) -> None:
        """Keep a chunk that was checked."""
        # Range was checked against the clock, which a replay does not have: it must not be judged twice.
        self._timeline.place(leg_id, start_frame, payload, _ALWAYS_FRAME)
        self.collect()

    def add_leg(self, leg: PathLeg, joined_frame: int) -> None:
        """Let a leg in, at a recording frame."""
        self._legs[leg.leg_id] = leg
        self._steps.append(leg)
        self._timeline.add_leg(leg.leg_id, leg.format, joined_frame=joined_frame)
        self.collect()

    def end_leg(self, leg_id: str, left_frame: int) -> None:
        """Wait for a leg no more; nothing is missing of it from a recording frame on."""
        self._timeline.end_leg(leg_id, left_frame)
        self.collect()

    def hold_leg(self, leg_id: str, *, held: bool) -> None:
        """Wait for a leg however late it is, or no longer than for others."""
        self._timeline.hold_leg(leg_id, held=held)
        self.collect()

    def leg_end(self, leg_id: str) -> int:
        """Say where a leg's audio ends, in its own rate; 0 where there is none."""
        return self._timeline.end_frame(leg_id)

    def slip(self, leg_id: str, frame: int, by_frames: int) -> None:
        """Smooth the place at which a leg is moved, both in leg frames."""
        self._steps.append(SlipLeg(leg_id, Slip(frame, by_frames)))

    def take_out(self, leg_id: str, frame: int, payload: Payload) -> None:
        """Note what a slip at a leg frame left no room for."""
        self._steps.append(TakeOut(leg_id, frame, payload))

    def advance(self, frame: int) -> None:
        """Note that media time reached a recording frame and will not wait for audio before it."""
        self._timeline.advance(frame)
        self.collect()

    def begin_cut(self, frame: int) -> None:
        """Leave out everything from a recording frame on."""
        self._steps.append(CutBegin(frame))

    def end_cut(self, frame: int) -> None:
        """Keep everything from a recording frame on again."""
        self._steps.append(CutEnd(frame))

    def hold_silence(self, frame: int) -> None:
        """Count silence from a recording frame on at the earliest."""
        if self.deadline_frame is not None:
            self._steps.append(Hold(frame))

    def closing_frame(self, frame: int) -> int:
        """Return to what `advance` has to be told so that everything before a recording frame is rendered."""
        return self._timeline.closing_frame(frame)

    def finish(self, end_frame: int) -> None:
        """Close the timeline: at `end_frame`, but not before what is closed already."""
        self._steps += self._timeline.finish(end_frame)

    def take_steps(self, most: int | None = None) -> list[Step]:
        """Detach the steps for the next `run`, all of them or so many."""
        if most is None:
            steps, self._steps = self._steps, []
        else:
            steps, self._steps = self._steps[:most], self._steps[most:]
        return steps

    @property
    def host(self) -> Host | None:
        """What renders this recording and others; None where nothing is shared."""
        return self._rendering.host

    def run(self, steps: Sequence[Step]) -> None:
        """Render, encode and write; blocks for some milliseconds a second of audio.

        Raises:
            OSError: The spool cannot be written.
        """
        self._came_to(self._rendering.take(steps, self.spool.append))

    def complete(self, end_frame: int) -> Finished:
        """Render the steps that are left, up to the end, and return what the file still lacks.

        Raises:
            OSError: The spool cannot be written.
        """
        finished, progress = self._rendering.finish(self.take_steps(), end_frame, self.spool.append)
        self._came_to(progress)
        return finished

    def seal(self, finished: Finished) -> SpooledFile | None:
        """Make the file durable and return it; None, and no file, where no audio was received. Blocks.

        Raises:
            Overloaded: DISK_FULL; to be called again.
        """
        if not any(leg.frames for leg in self._timeline.statistics().values()):
            self.spool.discard()
            return None
        return self.spool.seal(finished, self._progress.output_frames)

    def release(self) -> None:
        """Give up encoder, resamplers and buffers: nothing but `legs` may be used any more."""
        self._rendering.release()
        del self._rendering, self._timeline, self.tracks, self.put, self.check

    def discard(self) -> None:
        """Give up a recording that does not begin, and its file."""
        self._rendering.release()
        self.spool.discard()

    def _came_to(self, progress: Progress) -> None:
        spent_s, self._progress = progress.encoder_s - self._progress.encoder_s, progress
        self._on_encoded(spent_s)

    def collect(self) -> None:
        """Take up the blocks that closed."""
        if self._timeline.closed_blocks:
            self._steps += self._timeline.take_blocks()


Batch = Sequence[tuple[AudioPath, Sequence[Step]]]
"""Steps that were taken from some paths."""


def run_batch(batch: Batch) -> list[Exception | None]:
    """Run the steps of some paths, see `AudioPath.run`; those of one host in one go. Blocks.

    Args:
        batch: All of one host, or of none.

    Returns:
        What each path's `run` would have raised.
    """
    host = batch[0][0].host
    if host is None:
        return [_fault(path, steps) for path, steps in batch]
    takes = [Take(path._rendering, steps, path.spool.append) for path, steps in batch]  # noqa: SLF001 - same module
    outcomes = host.take(takes)
    for (path, _), outcome in zip(batch, outcomes, strict=True):
        if not isinstance(outcome, Exception):
            path._came_to(outcome)  # noqa: SLF001 - same module
    return [outcome if isinstance(outcome, Exception) else None for outcome in outcomes]


def _fault(path: AudioPath, steps: Sequence[Step]) -> Exception | None:
    try:
        path.run(steps)
    except Exception as error:  # noqa: BLE001 - each path has its own
        return error
    return None

"""All that is numeric of one recording: steps in, the bytes of its file out.

What comes out depends on the steps and their order only. There is no I/O in here, so that it may be run anywhere: in
a thread of the service, or in a process of its own.
"""

import time
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from recorder_service.audio.finished import Finished
from recorder_service.audio.formats import RECORDING_RATE_HZ
from recorder_service.audio.mp3 import Mp3Encoder
from recorder_service.audio.plan import Host, Plan, Progress, Write
from recorder_service.audio.rendering import Rendered, Renderer
from recorder_service.audio.samples import Pcm
from recorder_service.audio.silence import SilenceGate
from recorder_service.audio.steps import CutBegin, CutEnd, Hold, PathLeg, SlipLeg, Step, TakeOut
from recorder_service.audio.timeline import Block
from recorder_service.audio.tones import BEEP_DURATION_MS, beep
from recorder_service.audio.wav import WavEncoder


class Encoder(Protocol):
    """Turns samples into the bytes of a file."""

    @property
    def header(self) -> bytes:
        """First bytes of the file, until the finished header takes their place."""

    def encode(self, pcm: Pcm) -> bytes:
        """Return the next bytes (int16, shape (channels, frames), 16 kHz)."""

    def finish(self) -> Finished:
        """Return the last bytes and the true header."""


class Rendition:
    """Renders and encodes one recording. Not for use by two threads at once.

    Attributes:
        host: None, it renders by itself.
    """

    host: Host | None = None

    def __init__(self, plan: Plan) -> None:
        """Start at frame 0, without legs.

        Raises:
            BadInput: INVALID_OPTION, no such file can be made.
        """
        beep_frames = BEEP_DURATION_MS * RECORDING_RATE_HZ // 1000 if plan.beeps else 0
        self._gate = None if plan.silence_s is None else SilenceGate(plan.silence_s, beep_frames)
        self._renderer = Renderer(plan.channels, observer=self._gate, limit_frame=plan.limit_frame)
        if plan.beeps:
            # The caller hears the beep: it belongs to the second channel, where what the caller hears goes.
            self._renderer.add_tone(0, np.array(beep(), dtype=np.int16), (min(1, plan.channels - 1),))
        self._encoder = _encoder(plan)
        self._encoder_s = 0.0
        self._begun = False

    @property
    def progress(self) -> Progress:
        """How far it has come."""
        gate, renderer = self._gate, self._renderer
        return Progress(
            end_frame=renderer.end_frame,
            output_frames=renderer.output_frames,
            ended=renderer.ended,
            silent_frame=None if gate is None else gate.stop_frame,
            silence_deadline_frame=None if gate is None else gate.deadline_frame,
            encoder_s=self._encoder_s,
        )

    def take(self, steps: Sequence[Step], write: Write) -> Progress:
        """Do the next steps and write what they make ready, piece by piece; blocks for milliseconds a second of audio.

        Raises:
            ValueError: A step does not follow those before.
        """
        if not self._begun:
            write(self._encoder.header)
            self._begun = True
        for step in steps:
            self._do(step, write)
        return self.progress

    def finish(self, steps: Sequence[Step], end_frame: int, write: Write) -> tuple[Finished, Progress]:
        """Do the last steps, write everything up to the end and return what the file still lacks."""
        self.take(steps, write)
        self._encode(self._renderer.finish(end_frame), write)
        began_s = time.perf_counter()
        finished = self._encoder.finish()
        self._encoder_s += time.perf_counter() - began_s
        return finished, self.progress

    def release(self) -> None:
        """Give up encoder, resamplers and buffers: nothing may be asked of it any more."""
        del self._encoder, self._renderer, self._gate

    def _do(self, step: Step, write: Write) -> None:
        renderer = self._renderer
        match step:
            case Block():
                self._encode(renderer.render(step), write)
            case CutBegin(frame):
                renderer.begin_cut(frame)
            case CutEnd(frame):
                renderer.end_cut(frame)
            case Hold(frame):
                if self._gate is not None:
                    self._gate.hold(frame)
            case PathLeg(leg_id, leg_format, channels):
                renderer.add_leg(leg_id, leg_format, channels)
            case SlipLeg(leg_id, slip):
                renderer.slip(leg_id, slip)
            case TakeOut(leg_id, frame, payload):
                renderer.take_out(leg_id, frame, payload)

    def _encode(self, rendered: Iterable[Rendered], write: Write) -> None:
        for piece in rendered:
            began_s = time.perf_counter()
            data = self._encoder.encode(piece.pcm)
            self._encoder_s += time.perf_counter() - began_s
            if data:
                write(data)


def _encoder(plan: Plan) -> Encoder:
    if plan.bitrate_kbps is None:
        return WavEncoder(plan.channels)
    return Mp3Encoder(plan.channels, plan.bitrate_kbps, plan.quality)

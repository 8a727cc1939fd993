"""Builds the audio path of a recording from what the catalog knows of it."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol
from uuid import UUID

from recorder_service.audio.formats import RECORDING_RATE_HZ, Encoding, LegFormat
from recorder_service.audio.plan import Plan, Rendering
from recorder_service.audio.steps import PathLeg
from recorder_service.audio.timeline import BLOCK_FRAMES, LATE_FRAMES, Timeline
from recorder_service.audio.tones import beep
from recorder_service.domain.options import FileFormat
from recorder_service.domain.recording import LegRole, RecordedLeg, Recording, RecordingKind
from recorder_service.sessions.audio_path import AudioPath, Spool, SpooledFile
from recorder_service.sessions.notices import Play
from recorder_service.sessions.stop_rules import StopRules, limit_frame_of

# A recording that waits for silence has to notice it soon: shorter blocks, less patience with a leg that sends nothing.
_ATTENTIVE_BLOCK_FRAMES = RECORDING_RATE_HZ // 5
_ATTENTIVE_LATE_FRAMES = RECORDING_RATE_HZ
# A sender whose line died without a word is found out within 20 s; until then the others' audio must not close the
# blocks that its own, sent again, belongs to.
_CONFERENCE_LATE_FRAMES = 25 * RECORDING_RATE_HZ


class Spools(Protocol):
    """Where files are built."""

    def create(self, recording_id: UUID) -> Spool:
        """Begin a file."""

    def sealed(self, recording_id: UUID) -> SpooledFile | None:
        """Return the file that a former run finished but did not get stored."""


@dataclass(frozen=True, slots=True)
class BuiltPath:
    """A path and the rules that end it."""

    path: AudioPath
    rules: StopRules


class PathFactory:
    """Builds paths; the same recording gives the same path, so that a replay gives the same file."""

    def __init__(
        self,
        spools: Spools,
        *,
        max_recording_s: int,
        render: Callable[[Plan], Rendering],
        on_encoded: Callable[[float], None] = lambda _spent_s: None,
    ) -> None:
        """Build into `spools`.

        Args:
            spools: Where files are built.
            max_recording_s: The service's longest recording.
            render: Begins the rendering of a recording; may block.
            on_encoded: Called with time spent in encoders, s.
        """
        self._render = render
        self._on_encoded = on_encoded
        self._spools = spools
        self._max_recording_s = max_recording_s

    def sealed(self, recording_id: UUID) -> SpooledFile | None:
        """Return the file that a former run finished but did not get stored, if there is one."""
        return self._spools.sealed(recording_id)

    def build(self, recording: Recording) -> BuiltPath:
        """Build the path. Opens a file and an encoder: call it in a thread.

        Raises:
            OSError: The spool cannot be written.
        """
        silence_s = recording.options.end_on_silence_s
        plan = _plan(recording, limit_frame_of(recording.options, self._max_recording_s))
        path = AudioPath(
            timeline=Timeline(
                block_frames=BLOCK_FRAMES if silence_s is None else _ATTENTIVE_BLOCK_FRAMES,
                late_frames=_late_frames(recording),
            ),
            rendering=self._render(plan),
            spool=self._spools.create(recording.recording_id),
            legs=_legs(recording),
            on_encoded=self._on_encoded,
        )
        return BuiltPath(path, StopRules(recording.options, max_recording_s=self._max_recording_s, silence=path))


def _plan(recording: Recording, limit_frame: int) -> Plan:
    options, encoder = recording.options, recording.encoder
    plan = Plan(options.channel_count, limit_frame, silence_s=options.end_on_silence_s, beeps=options.beep_start)
    if options.file_format is FileFormat.WAV:
        return plan
    if encoder.mp3_bitrate_kbps is None or encoder.mp3_quality is None:
        raise ValueError(f"recording {recording.recording_id} lacks its encoder settings")
    return replace(plan, bitrate_kbps=encoder.mp3_bitrate_kbps, quality=encoder.mp3_quality)


def _late_frames(recording: Recording) -> int:
    if recording.kind is RecordingKind.CONFERENCE:
        return _CONFERENCE_LATE_FRAMES
    return LATE_FRAMES if recording.options.end_on_silence_s is None else _ATTENTIVE_LATE_FRAMES


def _legs(recording: Recording) -> list[PathLeg]:
    """Give the legs that are there from the begin; those of a conference come and go as the journal says."""
    if recording.kind is RecordingKind.CONFERENCE:
        return []
    return [PathLeg(leg.leg_id, leg_format(leg), (leg.channel,)) for leg in recording.legs]


def leg_format(leg: RecordedLeg) -> LegFormat:
    """Return how a leg's payloads are encoded."""
    return LegFormat(Encoding[leg.encoding], leg.sample_rate_hz)


def leg_beep(leg_id: str, encoded: LegFormat, position: int) -> Play:
    """Return the beep for a leg's ear, at a position of its own."""
    return Play(leg_id, position, _beep(encoded))


# One a rate and encoding: a beep has 8 to 48 KB, and takes milliseconds to make.
@functools.cache
def _beep(encoded: LegFormat) -> bytes:
    return encoded.encode(beep(sample_rate_hz=encoded.sample_rate_hz))


def start_beep(recording: Recording) -> Play | None:
    """Return the beep for the caller's ear, if the recording begins with one."""
    if not recording.options.beep_start:
        return None
    caller = next(leg for leg in recording.legs if leg.role is LegRole.CALLER)
    return leg_beep(caller.leg_id, leg_format(caller), 0)

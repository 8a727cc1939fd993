"""What is known of a recording the moment it ends."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from recorder_service.audio.formats import RECORDING_RATE_HZ
from recorder_service.audio.tracks import LegStatistics
from recorder_service.domain.recording import (
    FrameInterval,
    PauseInterval,
    RecordedLeg,
    Recording,
    RecordingState,
    StopReason,
)


def ended_recording(
    recording: Recording,
    reason: StopReason,
    end_frame: int,
    *,
    legs: tuple[RecordedLeg, ...],
    pauses: tuple[PauseInterval, ...],
    damage: tuple[FrameInterval, ...],
) -> Recording:
    """Return the recording as FINISHING.

    Args:
        recording: As it ran.
        reason: What ended it.
        end_frame: Where, in recording frames.
        legs: The legs, with what was received of each.
        pauses: When audio was not kept.
        damage: What the journal lost.
    """
    ends = recording.start_time + timedelta(seconds=end_frame / RECORDING_RATE_HZ)
    return replace(
        recording,
        state=RecordingState.FINISHING,
        stop_reason=reason,
        # A sender faster than real time must not give a recording an end in the future.
        end_time=min(datetime.now(UTC), ends),
        pauses=pauses,
        damage=damage,
        legs=legs,
    )


def summed_up(legs: Sequence[RecordedLeg], heard: Mapping[str, LegStatistics]) -> tuple[RecordedLeg, ...]:
    """Return the legs of a call with what was received of each."""
    return tuple(_summed_up(leg, heard[leg.leg_id]) for leg in legs)


def _summed_up(leg: RecordedLeg, heard: LegStatistics) -> RecordedLeg:
    return replace(
        leg,
        frames=heard.frames,
        gap_frames=heard.gap_frames,
        late_frames=heard.late_frames,
        repeated_frames=heard.repeated_frames,
        first_frame=heard.first_frame,
        end_frame=heard.end_frame,
    )

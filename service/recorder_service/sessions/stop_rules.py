"""What ends a recording by itself: silence, a key, a time-out, the longest recording."""

from typing import Protocol

from recorder_service.audio.formats import RECORDING_RATE_HZ
from recorder_service.domain.options import RecordOptions
from recorder_service.domain.recording import StopReason

# How long the clock waits for audio that is still under way before it decides without it.
GRACE_FRAMES = RECORDING_RATE_HZ // 2


class Silence(Protocol):
    """Knows since when everybody has been silent, if that ends the recording."""

    @property
    def stop_frame(self) -> int | None:
        """Where silence ended the recording; None while it has not."""

    @property
    def deadline_frame(self) -> int | None:
        """Where silence will end the recording if nobody speaks before; None without that rule."""


def limit_frame_of(options: RecordOptions, max_recording_s: int) -> int:
    """Return the recording frame at which a recording ends at the latest: at its time-out or the service's longest."""
    time_out_s = max_recording_s if options.time_out_s is None else options.time_out_s
    return min(time_out_s, max_recording_s) * RECORDING_RATE_HZ


class StopRules:
    """The rules of one recording."""

    def __init__(self, options: RecordOptions, *, max_recording_s: int, silence: Silence) -> None:
        """Take the rules from the options.

        Args:
            options: Checked options.
            max_recording_s: The service's longest recording.
            silence: What is known of silence.
        """
        self._end_on_key = options.end_on_key
        self._silence = silence
        timed_out = options.time_out_s is not None and options.time_out_s <= max_recording_s
        self._limit_reason = StopReason.TIMEOUT if timed_out else StopReason.MAX_DURATION
        self.limit_frame = limit_frame_of(options, max_recording_s)

    @property
    def silence_deadline_frame(self) -> int | None:
        """Where silence will end the recording if nobody speaks before; None without that rule."""
        return self._silence.deadline_frame

    @property
    def next_frame(self) -> int:
        """The next recording frame at which a rule may act."""
        silence_frame = self.silence_deadline_frame
        return self.limit_frame if silence_frame is None else min(self.limit_frame, silence_frame)

    @property
    def limit_reason(self) -> StopReason:
        """Why a recording ends at `limit_frame`."""
        return self._limit_reason

    def ends_on(self, digit: str) -> bool:
        """Say whether this key ends the recording."""
        return digit == self._end_on_key

    def reason(self, ended_frame: int, asked: StopReason) -> StopReason:
        """Say what really ended a recording: a rule that acted at or before the asked end comes first.

        Args:
            ended_frame: Where the audio ended.
            asked: Why it was to end there.
        """
        silent_frame = self._silence.stop_frame
        if silent_frame is not None and silent_frame <= ended_frame:
            return StopReason.SILENCE
        return self._limit_reason if ended_frame >= self.limit_frame else asked

"""Playing WAV files into a call as its legs, at the speed of a real call or another."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from recorder.calls import Call
from recorder.wav import WavAudio

_RECORDING_RATE_HZ = 16_000
_KEY_MS = 100


@dataclass(frozen=True, slots=True)
class KeyPress:
    """A key of the caller's telephone, at a time since the call began."""

    at_ms: int
    digit: str


@dataclass(frozen=True, slots=True)
class Script:
    """What is played.

    Attributes:
        legs: Audio by leg id; the first is the caller's. Shorter legs fall silent before longer ones.
        keys: Key presses of the caller.
        message_ms: Media time sent at once.
        speed: 1 for a real call, 2 for twice as fast; None for as fast as the server takes it.
    """

    legs: Mapping[str, WavAudio]
    keys: Sequence[KeyPress] = ()
    message_ms: int = 100
    speed: float | None = 1.0

    @property
    def length_ms(self) -> int:
        """Length of the longest leg, rounded up."""
        return max(-(-audio.frames * 1000 // audio.sample_rate_hz) for audio in self.legs.values())

    @property
    def end_frame(self) -> int:
        """End of the longest leg in recording frames, rounded up."""
        return max(-(-audio.frames * _RECORDING_RATE_HZ // audio.sample_rate_hz) for audio in self.legs.values())


async def play(call: Call, script: Script, hang_up: asyncio.Event, on_progress: Callable[[int], None]) -> None:
    """Send the legs as they would come from a telephone line, then hang up.

    A chunk is sent when its last sample would have been spoken. Ends early when the recording was stopped, or when
    `hang_up` is set, which hangs up then and there.

    Args:
        call: The recording, entered.
        script: What to play.
        hang_up: Set it to hang up before the end.
        on_progress: Is given the milliseconds sent so far.

    Raises:
        RecorderError: If the call failed for good.
    """
    began_s = asyncio.get_running_loop().time()
    end_frame = script.end_frame
    for start_ms in range(0, script.length_ms, script.message_ms):
        end_ms = start_ms + script.message_ms
        if script.speed is not None:
            await _wait_until(began_s + end_ms / 1000 / script.speed, hang_up)
        if hang_up.is_set():
            end_frame = min(end_frame, start_ms * _RECORDING_RATE_HZ // 1000)
            break
        if call.stopped is not None:
            return
        await _send(call, script, start_ms, end_ms)
        on_progress(min(end_ms, script.length_ms))
    if call.stopped is None:
        await call.close(end_frame)


async def _send(call: Call, script: Script, start_ms: int, end_ms: int) -> None:
    caller = next(iter(script.legs))
    for key in script.keys:
        if start_ms <= key.at_ms < end_ms:
            frame = key.at_ms * script.legs[caller].sample_rate_hz // 1000
            await call.dtmf(caller, key.digit, frame, _KEY_MS)
    pieces = {leg_id: _between(audio, start_ms, end_ms) for leg_id, audio in script.legs.items()}
    await call.write({leg_id: piece for leg_id, piece in pieces.items() if piece})


def _between(audio: WavAudio, start_ms: int, end_ms: int) -> bytes:
    start, end = (time_ms * audio.sample_rate_hz // 1000 * audio.frame_bytes for time_ms in (start_ms, end_ms))
    return audio.payload[start:end]


async def _wait_until(time_s: float, hang_up: asyncio.Event) -> None:
    try:
        async with asyncio.timeout_at(time_s):
            await hang_up.wait()
    except TimeoutError:
        return

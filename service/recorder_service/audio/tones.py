"""Tones for the ear: the beep that says a recording has begun."""

import functools
import math
from array import array

from recorder_service.errors import BadInput, Reason

BEEP_FREQUENCY_HZ = 1400
BEEP_DURATION_MS = 500
BEEP_LEVEL_DBFS = -20.0
_EDGE_MS = 10
_FULL_SCALE = 32767


# Each rate has one beep, and nobody asks for others.
@functools.lru_cache(maxsize=8)
def beep(
    duration_ms: int = BEEP_DURATION_MS,
    frequency_hz: int = BEEP_FREQUENCY_HZ,
    level_dbfs: float = BEEP_LEVEL_DBFS,
    sample_rate_hz: int = 16_000,
) -> memoryview:
    """Return a sine with soft edges.

    The first and the last 10 ms (at most half the tone) rise and fall as a raised cosine: a sine cut off at once
    clicks, because the cut spreads its energy over the whole band. The tone is made at the rate asked for, so a leg
    of any rate hears the same pitch without resampling. It is made without NumPy, for which
    whoever plays it to a caller has no other use: that takes 1 to 6 ms, once a rate.

    Args:
        duration_ms: Length of the tone; the frames are rounded down.
        frequency_hz: Pitch; below half the sample rate.
        level_dbfs: Level of the tone's flat part, where 0 dBFS is a sine that just reaches full scale; at most 0.
        sample_rate_hz: Rate of the leg that will hear it.

    Returns:
        pcm: Signed 16 bit, `sample_rate_hz`; read-only. The same for the same arguments.

    Raises:
        BadInput: INVALID_OPTION for a negative duration, a pitch the rate cannot carry or a level above 0 dBFS.

    Source: the tone of recording warning in the United States was 1400 Hz (FCC Docket 6787; 47 CFR 64.501 as it stood
    until 2018). A sine at full scale as 0 dBFS: IEC 61606-1, AES17.
    """
    _check(duration_ms, frequency_hz, level_dbfs, sample_rate_hz)
    frames = duration_ms * sample_rate_hz // 1000
    amplitude = _FULL_SCALE * 10 ** (level_dbfs / 20)
    step = 2 * math.pi * frequency_hz / sample_rate_hz
    tone = [amplitude * math.sin(step * frame) for frame in range(frames)]
    edge = min(_EDGE_MS * sample_rate_hz // 1000, frames // 2)
    for frame in range(edge):
        rise = 0.5 - 0.5 * math.cos(math.pi * frame / edge)
        tone[frame] *= rise
        tone[-1 - frame] *= rise
    return memoryview(array("h", map(round, tone))).toreadonly()


def _check(duration_ms: int, frequency_hz: int, level_dbfs: float, sample_rate_hz: int) -> None:
    if duration_ms < 0:
        raise BadInput(
            Reason.INVALID_OPTION,
            f"duration_ms is {duration_ms}; give 0 or more",
            field="duration_ms",
            value=duration_ms,
        )
    if not 0 < frequency_hz < sample_rate_hz / 2:
        raise BadInput(
            Reason.INVALID_OPTION,
            f"frequency_hz is {frequency_hz}; at {sample_rate_hz} Hz give 1 to {(sample_rate_hz - 1) // 2}",
            field="frequency_hz",
            value=frequency_hz,
        )
    if level_dbfs > 0:
        raise BadInput(
            Reason.INVALID_OPTION, f"level_dbfs is {level_dbfs}; give 0 or less", field="level_dbfs", value=level_dbfs
        )

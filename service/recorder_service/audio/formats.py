"""What a leg sends: its encoding and sample rate, and how its frames relate to frames of the recording."""

import enum
import functools
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from recorder_service.errors import BadInput, Reason

Pcm = NDArray[np.int16]
"""Linear samples, int16. Shape and rate are said where it is used."""
Payload = bytes | memoryview
"""Encoded audio as it came; a memoryview has format `B`, so that its length is its size in bytes."""

RECORDING_RATE_HZ = 16_000
SAMPLE_RATES_HZ = (8_000, 16_000, 24_000, 32_000, 44_100, 48_000)
ALIGNED_FRAMES = 160
"""Recording frames that are a whole number of leg frames at every supported rate (441 at 44.1 kHz)."""

_T = TypeVar("_T", bound=np.generic)
_MU_LAW_BIAS = 132
_MU_LAW_CLIP = 32_635


class Encoding(enum.Enum):
    """How one sample is written."""

    LINEAR16 = "LINEAR16"
    """Signed 16 bit, little endian."""
    MULAW = "MULAW"
    """ITU-T G.711 mu-law, one byte a sample."""
    ALAW = "ALAW"
    """ITU-T G.711 A-law, one byte a sample."""

    @property
    def bytes_per_frame(self) -> int:
        """Size of one frame: a leg is always mono, so a frame is one sample."""
        return 2 if self is Encoding.LINEAR16 else 1

    @property
    def silence_byte(self) -> int:
        """The byte that, repeated, is the quietest signal. A-law has no zero: its quietest value decodes to 8."""
        return _SILENCE_BYTES[self]


_SILENCE_BYTES = {Encoding.LINEAR16: 0x00, Encoding.MULAW: 0xFF, Encoding.ALAW: 0xD5}


@dataclass(frozen=True, slots=True)
class LegFormat:
    """Encoding and sample rate of one leg.

    Leg frames and recording frames are converted with integers only: frame n of the recording is the instant
    n / 16000 s, frame m of the leg is m / sample_rate_hz s, both since the recording began.

    Raises:
        BadInput: UNSUPPORTED_FORMAT for a sample rate that is not in `SAMPLE_RATES_HZ`.
    """

    encoding: Encoding
    sample_rate_hz: int

    def __post_init__(self) -> None:
        if self.sample_rate_hz not in SAMPLE_RATES_HZ:
            known = ", ".join(str(rate) for rate in SAMPLE_RATES_HZ)
            raise BadInput(
                Reason.UNSUPPORTED_FORMAT,
                f"sample_rate_hz is {self.sample_rate_hz}; send one of {known}",
                field="sample_rate_hz",
                value=self.sample_rate_hz,
            )

    @property
    def bytes_per_frame(self) -> int:
        """Size of one frame of this leg."""
        return self.encoding.bytes_per_frame

    def frame_count(self, size_bytes: int) -> int:
        """Count the frames in a payload of this size.

        Raises:
            BadInput: PARTIAL_FRAME when the payload ends within a frame.
        """
        frames, rest = divmod(size_bytes, self.bytes_per_frame)
        if rest:
            raise BadInput(
                Reason.PARTIAL_FRAME,
                f"payload has {size_bytes} bytes; {self.encoding.value} needs a multiple of {self.bytes_per_frame}",
                field="payload",
                value=size_bytes,
                bytes_per_frame=str(self.bytes_per_frame),
            )
        return frames

    def recording_frame(self, leg_frame: int) -> int:
        """Give the last recording frame that is not later than the instant of `leg_frame`."""
        return leg_frame * RECORDING_RATE_HZ // self.sample_rate_hz

    def recording_frame_ceil(self, leg_frame: int) -> int:
        """Give the first recording frame that is not earlier than the instant of `leg_frame`."""
        return -(-leg_frame * RECORDING_RATE_HZ // self.sample_rate_hz)

    def leg_frame(self, recording_frame: int) -> int:
        """Give the last leg frame that is not later than the instant of `recording_frame`."""
        return recording_frame * self.sample_rate_hz // RECORDING_RATE_HZ

    def leg_frame_ceil(self, recording_frame: int) -> int:
        """Give the first leg frame that is not earlier than the instant of `recording_frame`."""
        return -(-recording_frame * self.sample_rate_hz // RECORDING_RATE_HZ)

    def decode(self, payload: Payload) -> Pcm:
        """Turn a payload into samples.

        Returns:
            pcm: int16, shape (frames,), the leg's own rate. LINEAR16 may share the payload's memory and is then
            read-only.

        Raises:
            BadInput: PARTIAL_FRAME when the payload ends within a frame.
        """
        self.frame_count(len(payload))
        if self.encoding is Encoding.LINEAR16:
            return np.frombuffer(payload, dtype="<i2").astype(np.int16, copy=False)
        table = _mu_law_values() if self.encoding is Encoding.MULAW else _a_law_values()
        return table[np.frombuffer(payload, dtype=np.uint8)]

    def encode(self, pcm: Pcm) -> bytes:
        """Turn samples (int16, shape (frames,), the leg's own rate) into a payload."""
        if self.encoding is Encoding.LINEAR16:
            return pcm.astype("<i2", copy=False).tobytes()
        table = _mu_law_bytes() if self.encoding is Encoding.MULAW else _a_law_bytes()
        return table[np.ascontiguousarray(pcm).view(np.uint16)].tobytes()


@functools.cache
def _mu_law_values() -> Pcm:
    """Decode every mu-law byte. Source: ITU-T G.711 (11/88), table 2 (values times four, as 16 bit)."""
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = ((((code & 0x0F) << 3) + _MU_LAW_BIAS) << ((code >> 4) & 7)) - _MU_LAW_BIAS
    return _frozen(np.where(code & 0x80, -magnitude, magnitude).astype(np.int16))


@functools.cache
def _a_law_values() -> Pcm:
    """Decode every A-law byte. Source: ITU-T G.711 (11/88), table 1 (values times eight, as 16 bit)."""
    code = np.arange(256, dtype=np.int32) ^ 0x55
    segment = (code >> 4) & 7
    step = ((code & 0x0F) << 4) + 8
    magnitude = np.where(segment == 0, step, (step + 0x100) << np.maximum(segment - 1, 0))
    return _frozen(np.where(code & 0x80, magnitude, -magnitude).astype(np.int16))


@functools.cache
def _mu_law_bytes() -> NDArray[np.uint8]:
    """Encode every 16 bit sample as mu-law; index by the sample seen as uint16. Source: ITU-T G.711, table 2."""
    linear = np.arange(65_536, dtype=np.uint16).view(np.int16).astype(np.int32)
    # The law is defined on 14 bits: the lowest two do not count.
    reduced = (linear >> 2) << 2
    magnitude = np.minimum(np.abs(reduced), _MU_LAW_CLIP) + _MU_LAW_BIAS
    segment = _bit_length(magnitude) - 8
    code = (segment << 4) | ((magnitude >> (segment + 3)) & 0x0F)
    sign = np.where(linear < 0, 0x7F, 0xFF)
    return _frozen((code ^ sign).astype(np.uint8))


@functools.cache
def _a_law_bytes() -> NDArray[np.uint8]:
    """Encode every 16 bit sample as A-law; index by the sample seen as uint16. Source: ITU-T G.711, table 1."""
    linear = np.arange(65_536, dtype=np.uint16).view(np.int16).astype(np.int32)
    # The law is defined on 13 bits, and its negative side mirrors the positive one around -1/2.
    reduced = linear >> 3
    magnitude = np.where(reduced < 0, -reduced - 1, reduced)
    segment = np.maximum(_bit_length(magnitude) - 5, 0)
    code = (segment << 4) | ((magnitude >> np.maximum(segment, 1)) & 0x0F)
    sign = np.where(linear < 0, 0x55, 0xD5)
    return _frozen((code ^ sign).astype(np.uint8))


def _bit_length(values: NDArray[np.int32]) -> NDArray[np.int32]:
    """Count the bits that each value (0 to 2**24) needs; 0 needs none."""
    return np.frexp(values.astype(np.float64))[1].astype(np.int32)


def _frozen(table: NDArray[_T]) -> NDArray[_T]:
    """Make a shared table read-only."""
    table.flags.writeable = False
    return table

"""What a leg sends: its encoding and sample rate, and how its frames relate to frames of the recording."""

import enum
import sys
from array import array
from collections.abc import Iterable
from dataclasses import dataclass

from recorder_service.audio.g711 import a_law_code, mu_law_code
from recorder_service.errors import BadInput, Reason

Payload = bytes | memoryview
"""Encoded audio as it came; a memoryview has format `B`, so that its length is its size in bytes."""

RECORDING_RATE_HZ = 16_000
SAMPLE_RATES_HZ = (8_000, 16_000, 24_000, 32_000, 44_100, 48_000)
ALIGNED_FRAMES = 160
"""Recording frames that are a whole number of leg frames at every supported rate (441 at 44.1 kHz)."""


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

    def encode(self, samples: Iterable[int]) -> bytes:
        """Turn samples (16 bit, the leg's own rate) into a payload.

        Meant for a tone now and then, so that who plays it needs no NumPy; `samples.decode` is the way back.
        """
        pcm = array("h", samples)
        if self.encoding is Encoding.LINEAR16:
            if sys.byteorder == "big":
                pcm.byteswap()
            return pcm.tobytes()
        code_of = mu_law_code if self.encoding is Encoding.MULAW else a_law_code
        # A tone has few values, and each of them often.
        codes = {sample: code_of(sample) for sample in set(pcm)}
        return bytes(map(codes.__getitem__, pcm))

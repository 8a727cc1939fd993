"""G.711: mu-law and A-law to and from 16 bit samples, without NumPy.

Source: ITU-T G.711 (11/1988), tables 1 and 2; decoder outputs scaled to 16 bit. Encoding gives the code whose decoded
value is nearest, which is what the decision values of the standard amount to; ties go towards zero.
"""

import functools
import struct
from bisect import bisect_left
from collections.abc import Callable

_MU_LAW_BIAS = 0x84
_SAMPLE_VALUES = 65_536


def _decode_mu_law(code: int) -> int:
    inverted = ~code & 0xFF
    magnitude = (((inverted & 0x0F) << 3) + _MU_LAW_BIAS) << (inverted >> 4 & 0x07)
    return _MU_LAW_BIAS - magnitude if inverted & 0x80 else magnitude - _MU_LAW_BIAS


def _decode_a_law(code: int) -> int:
    toggled = code ^ 0x55
    segment = toggled >> 4 & 0x07
    magnitude = ((toggled & 0x0F) << 4) + 8
    if segment:
        magnitude = (magnitude + 0x100) << (segment - 1)
    return magnitude if toggled & 0x80 else -magnitude


_DECODERS: dict[str, Callable[[int], int]] = {"mulaw": _decode_mu_law, "alaw": _decode_a_law}


def decode(law: str, codes: bytes) -> bytes:
    """Turn G.711 codes into 16 bit little-endian samples.

    Args:
        law: `mulaw` or `alaw`.
        codes: One byte a sample.
    """
    table = [struct.pack("<h", _DECODERS[law](code)) for code in range(256)]
    return b"".join(map(table.__getitem__, codes))


def encode(law: str, samples: bytes) -> bytes:
    """Turn 16 bit little-endian samples into G.711 codes.

    Args:
        law: `mulaw` or `alaw`.
        samples: Two bytes a sample.
    """
    table = _encoding_table(law)
    return bytes(table[value] for (value,) in struct.iter_unpack("<H", samples))


@functools.cache
def _encoding_table(law: str) -> bytes:
    """Give the code of every 16 bit value, by its unsigned form."""
    codes = sorted(range(256), key=lambda code: (_DECODERS[law](code), code))
    values = [_DECODERS[law](code) for code in codes]
    table = bytearray(_SAMPLE_VALUES)
    for sample in range(-32_768, 32_768):
        table[sample & 0xFFFF] = codes[_nearest(values, sample)]
    return bytes(table)


def _nearest(values: list[int], sample: int) -> int:
    above = bisect_left(values, sample)
    if above == len(values):
        return above - 1
    if above == 0 or values[above] == sample:
        return above
    lower, upper = sample - values[above - 1], values[above] - sample
    tie_goes_down = sample > 0
    return above - 1 if lower < upper or (lower == upper and tie_goes_down) else above

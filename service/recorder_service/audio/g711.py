"""The two laws of G.711, one value at a time: 16 bit samples as bytes, and back.

Source: ITU-T G.711 (11/88), table 1 (A-law, values times eight as 16 bit) and table 2 (mu-law, values times four).
"""

_MU_LAW_BIAS = 132
_MU_LAW_CLIP = 32_635


def mu_law_sample(code: int) -> int:
    """Decode a mu-law byte."""
    code = ~code & 0xFF
    magnitude = ((((code & 0x0F) << 3) + _MU_LAW_BIAS) << (code >> 4 & 7)) - _MU_LAW_BIAS
    return -magnitude if code & 0x80 else magnitude


def a_law_sample(code: int) -> int:
    """Decode an A-law byte."""
    code ^= 0x55
    segment = code >> 4 & 7
    step = ((code & 0x0F) << 4) + 8
    magnitude = (step + 0x100) << (segment - 1) if segment else step
    return magnitude if code & 0x80 else -magnitude


def mu_law_code(sample: int) -> int:
    """Encode a sample as mu-law."""
    # The law is defined on 14 bits: the lowest two do not count.
    magnitude = min(abs(sample >> 2 << 2), _MU_LAW_CLIP) + _MU_LAW_BIAS
    segment = magnitude.bit_length() - 8
    code = segment << 4 | magnitude >> (segment + 3) & 0x0F
    return code ^ (0x7F if sample < 0 else 0xFF)


def a_law_code(sample: int) -> int:
    """Encode a sample as A-law."""
    # The law is defined on 13 bits, and its negative side mirrors the positive one around -1/2.
    reduced = sample >> 3
    magnitude = -reduced - 1 if reduced < 0 else reduced
    segment = max(magnitude.bit_length() - 5, 0)
    code = segment << 4 | magnitude >> max(segment, 1) & 0x0F
    return code ^ (0x55 if sample < 0 else 0xD5)

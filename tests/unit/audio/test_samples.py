"""Samples: payloads decoded and encoded, G.711 both ways against an independent codec."""

import importlib
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder_service.audio.formats import SAMPLE_RATES_HZ, Encoding, LegFormat
from recorder_service.audio.samples import Pcm, decode
from recorder_service.errors import BadInput, Reason

ALL_SAMPLES: Pcm = np.arange(-32_768, 32_768, dtype=np.int32).astype(np.int16)
ALL_BYTES = bytes(range(256))
WIDE = LegFormat(Encoding.LINEAR16, 16_000)

formats = st.builds(LegFormat, st.sampled_from(Encoding), st.sampled_from(SAMPLE_RATES_HZ))


def reference_codec() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return importlib.import_module("audioop")
        except ImportError:
            pytest.skip("Python 3.13 has no audioop")


@pytest.mark.parametrize(("encoding", "name"), [(Encoding.MULAW, "ulaw"), (Encoding.ALAW, "alaw")])
def test_g711_agrees_with_an_independent_codec_for_every_value(encoding: Encoding, name: str) -> None:
    """All 256 bytes and all 65536 samples are converted as Python's own codec converts them."""
    codec = reference_codec()
    leg = LegFormat(encoding, 8000)
    assert decode(ALL_BYTES, leg).tobytes() == getattr(codec, f"{name}2lin")(ALL_BYTES, 2)
    assert leg.encode(ALL_SAMPLES) == getattr(codec, f"lin2{name}")(ALL_SAMPLES.tobytes(), 2)


@pytest.mark.parametrize(
    ("encoding", "byte", "sample"),
    [
        (Encoding.MULAW, 0xFF, 0),
        (Encoding.MULAW, 0x80, 32_124),
        (Encoding.MULAW, 0x00, -32_124),
        (Encoding.ALAW, 0xD5, 8),
        (Encoding.ALAW, 0xAA, 32_256),
        (Encoding.ALAW, 0x2A, -32_256),
    ],
)
def test_g711_ends_of_the_scale_decode_as_the_standard_says(encoding: Encoding, byte: int, sample: int) -> None:
    """The quietest and loudest codes of ITU-T G.711 have the values of its tables."""
    assert decode(bytes([byte]), LegFormat(encoding, 8000)).tolist() == [sample]


@given(formats, st.binary(max_size=100).filter(lambda data: len(data) % 2 == 0))
def test_encoding_what_was_decoded_gives_an_equal_sound(leg: LegFormat, payload: bytes) -> None:
    """Decode, encode, decode is the same as decode: mu-law has two zeros, so bytes may differ but samples do not."""
    pcm = decode(payload, leg)
    assert np.array_equal(decode(leg.encode(pcm), leg), pcm)


@pytest.mark.parametrize("encoding", list(Encoding))
def test_silence_byte_is_the_quietest_signal(encoding: Encoding) -> None:
    """No byte decodes to a smaller magnitude than the silence byte."""
    leg = LegFormat(encoding, 8000)
    size = leg.bytes_per_frame
    quiet = decode(bytes([encoding.silence_byte]) * size, leg)
    every = np.abs(decode(b"".join(bytes([value]) * size for value in range(256)), leg).astype(int))
    assert abs(int(quiet[0])) == every.min()


def test_linear16_is_little_endian() -> None:
    """The low byte comes first."""
    assert decode(b"\x01\x02\xff\xff", WIDE).tolist() == [0x0201, -1]
    assert WIDE.encode([0x0201, -1]) == b"\x01\x02\xff\xff"


def test_memoryviews_decode_like_bytes() -> None:
    """A slice of a message needs no copy before it is decoded."""
    for encoding in Encoding:
        leg = LegFormat(encoding, 8000)
        assert np.array_equal(decode(memoryview(ALL_BYTES)[2:10], leg), decode(ALL_BYTES[2:10], leg))


def test_part_of_a_frame_is_not_decoded() -> None:
    """Nobody guesses the other byte."""
    with pytest.raises(BadInput) as refused:
        decode(b"abc", WIDE)
    assert refused.value.reason is Reason.PARTIAL_FRAME

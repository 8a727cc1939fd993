"""Formats: G.711 both ways against an independent codec, frame arithmetic without drift."""

import importlib
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder_service.audio.formats import ALIGNED_FRAMES, SAMPLE_RATES_HZ, Encoding, LegFormat, Pcm
from recorder_service.errors import BadInput, Reason

ALL_SAMPLES: Pcm = np.arange(-32_768, 32_768, dtype=np.int32).astype(np.int16)
ALL_BYTES = bytes(range(256))

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
    assert leg.decode(ALL_BYTES).tobytes() == getattr(codec, f"{name}2lin")(ALL_BYTES, 2)
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
    assert LegFormat(encoding, 8000).decode(bytes([byte])).tolist() == [sample]


@given(formats, st.binary(max_size=100).filter(lambda data: len(data) % 2 == 0))
def test_encoding_what_was_decoded_gives_an_equal_sound(leg: LegFormat, payload: bytes) -> None:
    """Decode, encode, decode is the same as decode: mu-law has two zeros, so bytes may differ but samples do not."""
    pcm = leg.decode(payload)
    assert np.array_equal(leg.decode(leg.encode(pcm)), pcm)


@pytest.mark.parametrize("encoding", list(Encoding))
def test_silence_byte_is_the_quietest_signal(encoding: Encoding) -> None:
    """No byte decodes to a smaller magnitude than the silence byte."""
    leg = LegFormat(encoding, 8000)
    size = leg.bytes_per_frame
    quiet = leg.decode(bytes([encoding.silence_byte]) * size)
    every = np.abs(leg.decode(b"".join(bytes([value]) * size for value in range(256))).astype(int))
    assert abs(int(quiet[0])) == every.min()


def test_linear16_is_little_endian() -> None:
    """The low byte comes first."""
    assert LegFormat(Encoding.LINEAR16, 16_000).decode(b"\x01\x02\xff\xff").tolist() == [0x0201, -1]


def test_memoryviews_decode_like_bytes() -> None:
    """A slice of a message needs no copy before it is decoded."""
    for encoding in Encoding:
        leg = LegFormat(encoding, 8000)
        assert np.array_equal(leg.decode(memoryview(ALL_BYTES)[2:10]), leg.decode(ALL_BYTES[2:10]))


def test_partial_frame_is_refused() -> None:
    """An odd number of bytes is no LINEAR16 audio; one byte is a frame of G.711."""
    with pytest.raises(BadInput) as refused:
        LegFormat(Encoding.LINEAR16, 8000).decode(b"abc")
    assert refused.value.reason is Reason.PARTIAL_FRAME
    assert refused.value.details == {"field": "payload", "value": "3", "bytes_per_frame": "2"}
    assert LegFormat(Encoding.MULAW, 8000).frame_count(3) == 3


@pytest.mark.parametrize("rate", [0, -8000, 11_025, 22_050, 96_000])
def test_unknown_sample_rate_is_refused(rate: int) -> None:
    """Only the published rates are taken, and the message names them."""
    with pytest.raises(BadInput, match="8000, 16000, 24000, 32000, 44100, 48000") as refused:
        LegFormat(Encoding.MULAW, rate)
    assert refused.value.reason is Reason.UNSUPPORTED_FORMAT


@given(formats, st.integers(0, 10**12))
def test_frames_convert_to_the_same_instant_within_one_frame(leg: LegFormat, frame: int) -> None:
    """Rounding down is never later, rounding up never earlier, and both are less than a frame away."""
    rate = leg.sample_rate_hz
    down, up = leg.recording_frame(frame), leg.recording_frame_ceil(frame)
    assert down * rate <= frame * 16_000 < (down + 1) * rate
    assert (up - 1) * rate < frame * 16_000 <= up * rate
    down, up = leg.leg_frame(frame), leg.leg_frame_ceil(frame)
    assert down * 16_000 <= frame * rate < (down + 1) * 16_000
    assert (up - 1) * 16_000 < frame * rate <= up * 16_000


@given(formats, st.integers(0, 10**9))
def test_aligned_frames_are_whole_at_every_rate(leg: LegFormat, count: int) -> None:
    """160 recording frames are 441 at 44.1 kHz, and so on: there and back loses nothing."""
    frame = count * ALIGNED_FRAMES
    assert leg.leg_frame(frame) == leg.leg_frame_ceil(frame)
    assert leg.recording_frame(leg.leg_frame(frame)) == frame

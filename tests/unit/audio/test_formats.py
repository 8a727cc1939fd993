"""Formats: what is taken, frame arithmetic without drift."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder_service.audio.formats import ALIGNED_FRAMES, SAMPLE_RATES_HZ, Encoding, LegFormat
from recorder_service.errors import BadInput, Reason

formats = st.builds(LegFormat, st.sampled_from(Encoding), st.sampled_from(SAMPLE_RATES_HZ))


def test_partial_frame_is_refused() -> None:
    """An odd number of bytes is no LINEAR16 audio; one byte is a frame of G.711."""
    with pytest.raises(BadInput) as refused:
        LegFormat(Encoding.LINEAR16, 8000).frame_count(3)
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

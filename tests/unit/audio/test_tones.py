"""The beep: its pitch, its level, its soft edges."""

import hashlib
from typing import Any

import numpy as np
import pytest

from recorder_service.audio.formats import Encoding, LegFormat
from recorder_service.audio.samples import Pcm
from recorder_service.audio.tones import beep
from recorder_service.errors import BadInput, Reason


def heard(**arguments: Any) -> Pcm:
    return np.array(beep(**arguments), dtype=np.int16)


@pytest.mark.parametrize("sample_rate_hz", [8_000, 16_000, 24_000, 32_000, 44_100, 48_000])
def test_the_beep_has_its_pitch_and_length_at_any_rate(sample_rate_hz: int) -> None:
    """Half a second of 1400 Hz, whatever the leg's rate."""
    tone = heard(sample_rate_hz=sample_rate_hz)
    assert tone.shape == (sample_rate_hz // 2,)
    spectrum = np.abs(np.fft.rfft(tone))
    assert np.argmax(spectrum) * 2 == 1_400


@pytest.mark.parametrize("level_dbfs", [0.0, -6.0, -20.0, -40.0])
def test_the_flat_part_has_the_level_of_a_sine(level_dbfs: float) -> None:
    """0 dBFS is a sine that reaches full scale and does not clip."""
    flat = heard(level_dbfs=level_dbfs)[1_600:6_400].astype(float)
    measured = 10 * np.log10(2 * np.mean(flat**2) / 32_767**2)
    assert measured == pytest.approx(level_dbfs, abs=0.02)


def test_the_edges_do_not_click() -> None:
    """What a click spreads away from the pitch is 20 dB less than in a tone that is cut off hard."""
    tone = heard(duration_ms=503, level_dbfs=-6.0).astype(float)
    far = np.abs(np.fft.rfftfreq(1 << 15, 1 / 16_000) - 1_400) > 1_000

    def splatter_db(signal: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
        spectrum = np.abs(np.fft.rfft(signal, 1 << 15))
        return float(20 * np.log10(spectrum[far].max() / spectrum.max()))

    assert tone[0] == 0
    assert abs(tone[-1]) < 10
    assert splatter_db(tone) < splatter_db(tone[300:-300]) - 20


@pytest.mark.parametrize("duration_ms", [0, 1, 5, 19])
def test_a_tone_shorter_than_its_edges_still_rises_and_falls(duration_ms: int) -> None:
    """Tiny tones keep their length and start from nothing."""
    tone = heard(duration_ms=duration_ms, level_dbfs=0.0)
    assert tone.shape == (duration_ms * 16,)
    assert not tone[:1].any()


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("duration_ms", {"duration_ms": -1}),
        ("frequency_hz", {"frequency_hz": 0}),
        ("frequency_hz", {"frequency_hz": 4_000, "sample_rate_hz": 8_000}),
        ("level_dbfs", {"level_dbfs": 0.1}),
    ],
)
def test_what_cannot_sound_is_refused(field: str, arguments: dict[str, int]) -> None:
    """The error names the field at fault."""
    with pytest.raises(BadInput) as refused:
        beep(**arguments)
    assert refused.value.reason is Reason.INVALID_OPTION
    assert refused.value.details["field"] == field


@pytest.mark.parametrize(
    ("encoding", "sample_rate_hz", "sha256"),
    [
        (Encoding.LINEAR16, 8_000, "ee077465a4fdbcb3"),
        (Encoding.LINEAR16, 16_000, "bada501876d4f470"),
        (Encoding.LINEAR16, 24_000, "252ee3f250e85f5c"),
        (Encoding.LINEAR16, 32_000, "01f65a6f5e65c137"),
        (Encoding.LINEAR16, 44_100, "319a4d1d87a9aee2"),
        (Encoding.LINEAR16, 48_000, "c6f3df3a15544cf2"),
        (Encoding.MULAW, 8_000, "d3d17c10b69e2cfc"),
        (Encoding.ALAW, 8_000, "f376f269b2df6088"),
    ],
)
def test_the_beep_stays_what_it_was_bit_for_bit(encoding: Encoding, sample_rate_hz: int, sha256: str) -> None:
    """A recording that another version began is replayed: the same file has to come out."""
    payload = LegFormat(encoding, sample_rate_hz).encode(beep(sample_rate_hz=sample_rate_hz))
    assert hashlib.sha256(payload).hexdigest().startswith(sha256)

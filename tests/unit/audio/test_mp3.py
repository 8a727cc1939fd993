"""MP3 files: exact to the frame in two decoders, truly constant in bitrate, and what one channel hears of the other."""

import io
import itertools
import shutil
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import correlate, lfilter
from tests.unit.audio.telephone_lines import Signal, at_level, needs_prompts, noise, talk, to_pcm

from recorder_service.audio.mp3 import DEFAULT_MONO_BITRATE_KBPS, DEFAULT_SPLIT_BITRATE_KBPS, Mp3Encoder
from recorder_service.errors import BadInput, Reason

Pcm = NDArray[np.int16]
needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
BITRATES_KBPS = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)


def rumble(channels: int, frames: int, seed: int = 0) -> Pcm:
    """Noise as dull as speech, other noise in each channel."""
    white = np.random.default_rng([seed, frames]).normal(0, 900, (channels, frames))
    return to_pcm(lfilter([1.0], [1, -0.95], white))


def file_of(encoder: Mp3Encoder, pcm: Pcm, block: int = 16_000) -> bytes:
    body = b"".join(encoder.encode(pcm[:, start : start + block]) for start in range(0, pcm.shape[1], block))
    finished = encoder.finish()
    assert len(finished.header) == len(encoder.header)
    return finished.header + body + finished.tail


def by_libsndfile(data: bytes) -> Pcm:
    """Decode with libsndfile, which uses mpg123."""
    return np.asarray(soundfile.read(io.BytesIO(data), dtype="int16", always_2d=True)[0].T)


def by_ffmpeg(path: Path, data: bytes) -> Signal:
    """Decode with ffmpeg, from a file: on a pipe it cannot know the size and does not cut the end."""
    path.write_bytes(data)
    command = ["ffmpeg", "-v", "error", "-f", "mp3", "-i", str(path), "-f", "f32le", "-"]
    output = subprocess.run(command, check=True, capture_output=True).stdout
    return np.frombuffer(output, "<f4").reshape(-1, 2 if data[3] >> 6 != 3 else 1).T * 32_768.0


def lag(given_pcm: Pcm, decoded: NDArray[np.int16] | Signal) -> int:
    """Frames by which the decoded channel comes late."""
    sums = correlate(decoded[0].astype(float), given_pcm[0].astype(float), method="fft")
    late: int = int(np.argmax(sums)) - (given_pcm.shape[1] - 1)
    return late


LENGTHS = (47, 575, 576, 577, 1_105, 1_152, 1_153, 16_000, 16_001, 48_313, 80_575)


@needs_ffmpeg
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("frames", "quality"), [*((frames, 5) for frames in LENGTHS), (48_313, 2), (48_313, 7)])
def test_decoders_give_back_every_frame_at_its_place(tmp_path: Path, frames: int, channels: int, quality: int) -> None:
    """Exactly the given length and lag 0, in libsndfile and in ffmpeg."""
    pcm = rumble(channels, frames)
    data = file_of(Mp3Encoder(channels, 32 * channels, quality), pcm)
    for decoded in (by_libsndfile(data), by_ffmpeg(tmp_path / "recording.mp3", data)):
        assert decoded.shape == pcm.shape
        if frames > 500:
            assert lag(pcm, decoded) == 0
            assert np.corrcoef(pcm[0], decoded[0])[0, 1] > 0.97


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 40_000), st.sampled_from([1, 2]), st.sampled_from(BITRATES_KBPS))
def test_any_length_comes_back_exactly(frames: int, channels: int, bitrate_kbps: int) -> None:
    """From no frame at all, at every bitrate."""
    pcm = rumble(channels, frames)
    decoded = by_libsndfile(file_of(Mp3Encoder(channels, bitrate_kbps, 7), pcm))
    assert decoded.shape == pcm.shape
    if frames > 4_000:
        assert lag(pcm, decoded) == 0


@needs_ffmpeg
@pytest.mark.parametrize("frames", [0, 1, 46])
def test_files_of_less_than_3_ms_are_right_in_libsndfile_only(tmp_path: Path, frames: int) -> None:
    """Where all audio lies in the last MP3 frame, ffmpeg does not cut the 529 frames of its own delay; mpg123 does."""
    data = file_of(Mp3Encoder(1), rumble(1, frames))
    assert by_libsndfile(data).shape == (1, frames)
    assert by_ffmpeg(tmp_path / "tiny.mp3", data).shape == (1, frames + 529)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("bitrate_kbps", BITRATES_KBPS)
def test_the_stream_is_of_constant_bitrate(channels: int, bitrate_kbps: int) -> None:
    """Every MP3 frame, the Info frame too where it fits, has the same size; LAME adds no Info frame of its own."""
    encoder = Mp3Encoder(channels, bitrate_kbps)
    data = file_of(encoder, rumble(channels, 20_000))
    size, body = 9 * bitrate_kbps // 2, data[len(encoder.header) :]
    # The third byte of a frame header holds bitrate, rate and padding.
    heads = {body[at : at + 3] for at in range(0, len(body), size)}
    assert heads == {bytes((0xFF, 0xF3, BITRATES_KBPS.index(bitrate_kbps) + 1 << 4 | 2 << 2))}
    assert len(body) % size == 0
    assert b"Info" not in body
    assert b"Xing" not in body
    assert (len(encoder.header) == size) == (bitrate_kbps >= 8 + 8 * channels)


def test_a_default_frame_has_144_bytes() -> None:
    """32 kbit/s at 16 kHz: 576 frames take 36 ms, the Info frame as well."""
    encoder = Mp3Encoder(1)
    assert len(encoder.header) == 144
    assert len(file_of(encoder, rumble(1, 160_000))) % 144 == 0


def test_the_info_frame_counts_and_checks_what_follows() -> None:
    """Frames, bytes, delay, padding and both checksums are right."""
    data = file_of(Mp3Encoder(1), rumble(1, 16_000))
    info, body = data[:144], data[144:]
    at = 4 + 9
    assert info[at : at + 4] == b"Info"
    assert struct.unpack(">III", info[at + 4 : at + 16]) == (0x3, len(body) // 144, len(data))
    lame = info[at + 16 :]
    assert lame[:9] == b"LAME3.100"
    assert lame[9] == 0x01
    assert lame[20] == 32
    delay, padding = int.from_bytes(lame[21:24], "big") >> 12, int.from_bytes(lame[21:24], "big") & 0xFFF
    assert (delay, delay + 16_000 + padding) == (576, len(body) * 4)
    assert struct.unpack(">IH", lame[28:34]) == (len(data), slow_crc(body))
    assert struct.unpack(">H", lame[34:36])[0] == slow_crc(info[: at + 16 + 34])


def slow_crc(data: bytes, crc: int = 0) -> int:
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 5_000), min_size=1, max_size=12), st.sampled_from([1, 2]), st.sampled_from([2, 5, 7]))
def test_the_file_does_not_depend_on_how_pcm_is_cut(sizes: list[int], channels: int, quality: int) -> None:
    """Any pieces, also views into a larger array, give the same bytes."""
    pcm = rumble(channels, sum(sizes))
    encoder, body = Mp3Encoder(channels, 64, quality), b""
    for start, end in itertools.pairwise(np.cumsum([0, *sizes]).tolist()):
        body += encoder.encode(pcm[:, start:end])
    finished = encoder.finish()
    assert finished.header + body + finished.tail == file_of(Mp3Encoder(channels, 64, quality), pcm)


@pytest.mark.parametrize("sample_rate_hz", [16_000, 24_000])
def test_both_sample_rates_are_exact(sample_rate_hz: int) -> None:
    """24 kHz has frames of another size and the same delay."""
    pcm = rumble(1, 50_001)
    data = file_of(Mp3Encoder(1, 48, sample_rate_hz=sample_rate_hz), pcm)
    decoded = by_libsndfile(data)
    assert soundfile.info(io.BytesIO(data)).samplerate == sample_rate_hz
    assert decoded.shape == pcm.shape
    assert lag(pcm, decoded) == 0


@needs_ffmpeg
def test_a_file_whose_writer_died_can_be_played(tmp_path: Path) -> None:
    """With the placeholder still in place both decoders play what was written, late by the decoder's delay at most."""
    encoder, pcm = Mp3Encoder(1), rumble(1, 48_000)
    data = encoder.header + encoder.encode(pcm)
    for decoded in (by_libsndfile(data), by_ffmpeg(tmp_path / "torn.mp3", data)):
        assert decoded.shape[1] > 45_000
        assert 0 <= lag(pcm, decoded) <= 1_105


@pytest.mark.parametrize(
    ("field", "arguments", "hint"),
    [
        ("channels", (3,), "1 to 2"),
        ("channels", (0,), "1 to 2"),
        ("bitrate_kbps", (1, 33), "8, 16, 24, 32"),
        ("bitrate_kbps", (1, 192), "144, 160"),
        ("quality", (1, 32, 10), "0 to 9"),
        ("quality", (1, 32, -1), "0 to 9"),
        ("sample_rate_hz", (1, 32, 5, 44_100), "16000, 24000"),
    ],
)
def test_what_the_format_cannot_hold_is_refused(field: str, arguments: tuple[int, ...], hint: str) -> None:
    """The message names the range, the details the field."""
    with pytest.raises(BadInput, match=hint) as refused:
        Mp3Encoder(*arguments)
    assert refused.value.reason is Reason.INVALID_OPTION
    assert refused.value.details["field"] == field


def test_pcm_of_another_shape_is_refused() -> None:
    """Frames are columns; a mix-up is caught at once."""
    with pytest.raises(ValueError, match="this file takes"):
        Mp3Encoder(1).encode(np.zeros((2, 100), np.int16))


def test_encoding_lets_other_threads_run() -> None:
    """While one thread is in LAME, another one runs: the interpreter's lock is released."""
    pcm, ticks, done = rumble(1, 16_000 * 60), 0, threading.Event()

    def encode() -> None:
        Mp3Encoder(1, quality=2).encode(pcm)
        done.set()

    worker = threading.Thread(target=encode)
    worker.start()
    while not done.is_set():
        ticks += 1
        time.sleep(0.001)
    worker.join()
    assert ticks > 20


# What one channel of a split file hears of the other.

SPLIT_BITRATES_KBPS = (32, 40, 48, 56, 64, 80, 96)


def split_calls(seconds: int) -> dict[str, tuple[Signal, Signal]]:
    """Pairs of a talking channel and one that is silent or has somebody else."""
    frames = seconds * 16_000
    caller, callee = (at_level(talk(np.random.default_rng(seed), seconds + 1), -26)[:frames] for seed in (3, 9))
    quiet_line = noise("white", 1, seconds, -65).astype(float)
    turn = (np.arange(frames) // 24_000) % 2
    echo = np.concatenate((np.zeros(1_600), caller[:-1_600])) * 0.1
    return {
        "line noise at -65": (caller, quiet_line),
        "speech in turns": (caller * turn, callee * (1 - turn)),
        "speech at once": (caller, callee),
        "speech 12 dB quieter": (caller, callee * 0.25),
        "speech and an echo": (caller, callee + echo),
    }


def explained(speaker: Signal, error: Signal, taps: int = 9) -> float:
    """Give the power of what filtered copies of the speaker, another filter each second, explain of an error."""
    total = 0.0
    for start in range(taps, len(speaker) - 16_000 - taps, 16_000):
        matrix = np.stack([speaker[start + k : start + k + 16_000] for k in range(-(taps // 2), taps // 2 + 1)], axis=1)
        weights = np.linalg.solve(matrix.T @ matrix + np.eye(taps), matrix.T @ error[start : start + 16_000])
        total += float(np.sum((matrix @ weights) ** 2))
    return total / len(speaker)


def leak_db(speaker: Signal, error: Signal) -> float:
    """Give how much of the speaker is in the other channel's coding error, in dB below the speaker; -99 is none.

    Some of any error looks like the speaker by chance; how much, the speaker at other times tells, and that is taken
    off.
    """
    chance = np.mean([explained(np.roll(speaker, shift), error) for shift in (-20_000, -9_000, 7_000, 13_000)])
    leaked = max(explained(speaker, error) - float(chance), 0.0)
    return max(float(10 * np.log10(leaked / np.mean(speaker**2) + 1e-12)), -99.0)


@needs_prompts
@pytest.mark.parametrize("leak", [-30, -40])
def test_the_measure_finds_a_leak_that_is_there(leak: int) -> None:
    """A copy of the speaker, buried in a coding error 20 dB above it, is told to 1 dB."""
    caller, callee = split_calls(15)["speech at once"]
    error = callee * 10 ** (-20 / 20) + caller * 10 ** (leak / 20)
    assert leak_db(caller, error) == pytest.approx(leak, abs=1.5)


@needs_prompts
@needs_ffmpeg
def test_channels_of_a_split_file_do_not_hear_each_other(tmp_path: Path) -> None:
    """At the default bitrate the leak is 40 dB down in every case: the table of docs/audio.md."""
    calls = split_calls(10)
    rows, leaks_at_default = [], []
    for bitrate in SPLIT_BITRATES_KBPS:
        cells = []
        for caller, callee in calls.values():
            pcm = np.stack((to_pcm(caller), to_pcm(callee)))
            decoded = by_ffmpeg(tmp_path / "split.mp3", file_of(Mp3Encoder(2, bitrate), pcm))
            speaker, error = pcm[0].astype(float), decoded[1] - pcm[1]
            leak = leak_db(speaker, error)
            coding_db = 10 * np.log10(np.mean(error**2) / np.mean(speaker**2) + 1e-12)
            cells.append(f"{leak:.0f} ({coding_db:.0f})")
            if bitrate == DEFAULT_SPLIT_BITRATE_KBPS:
                leaks_at_default.append(leak)
        rows.append(f"| {bitrate} | " + " | ".join(cells) + " |")
    sys.stdout.write("\n".join(("", f"| kbit/s | {' | '.join(calls)} |", "|---" * (len(calls) + 1) + "|", *rows, "")))
    assert max(leaks_at_default) <= -40


@needs_prompts
@needs_ffmpeg
def test_a_silent_channel_stays_digital_silence(tmp_path: Path) -> None:
    """Beside a talker, silence decodes to less than half the last bit, at any bitrate."""
    caller = to_pcm(split_calls(6)["speech at once"][0])
    pcm = np.stack((caller, np.zeros_like(caller)))
    for bitrate in SPLIT_BITRATES_KBPS:
        decoded = by_ffmpeg(tmp_path / "split.mp3", file_of(Mp3Encoder(2, bitrate), pcm))
        assert np.abs(decoded[1]).max() < 0.5


@needs_prompts
@needs_ffmpeg
def test_a_leg_of_a_split_file_is_as_good_as_a_mono_file(tmp_path: Path) -> None:
    """At the defaults the coding error of each is the same to 1.5 dB; at half the split bitrate it is 3 dB worse."""
    pcm = np.stack([to_pcm(voice) for voice in split_calls(10)["speech at once"]])

    def error_db(channels: int, bitrate_kbps: int) -> float:
        decoded = by_ffmpeg(tmp_path / "file.mp3", file_of(Mp3Encoder(channels, bitrate_kbps), pcm[:channels]))
        return float(10 * np.log10(np.mean((decoded[0] - pcm[0]) ** 2) / np.mean(pcm[0].astype(float) ** 2)))

    mono_db = error_db(1, DEFAULT_MONO_BITRATE_KBPS)
    assert error_db(2, DEFAULT_SPLIT_BITRATE_KBPS) < mono_db + 1.5
    assert error_db(2, DEFAULT_SPLIT_BITRATE_KBPS // 2) > mono_db + 3

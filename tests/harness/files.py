"""Finished files: fetching them over HTTP, turning them into samples, comparing samples."""

import http.client
import io
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import correlate
from tests.harness.client import Tenant

from recorder.v1 import recording_pb2

Pcm = NDArray[np.int16]

_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def fetch(url: str, token: str | None = None, *, method: str = "GET", **headers: str) -> Answer:
    """Send one request without following or retrying anything."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=_TIMEOUT_S)
    sent = dict(headers)
    if token is not None:
        sent["authorization"] = f"Bearer {token}"
    try:
        connection.request(method, parts.path, headers=sent)
        response = connection.getresponse()
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
    finally:
        connection.close()


def download(recording: recording_pb2.Recording, tenant: Tenant) -> bytes:
    """Return the file of a recording."""
    answer = fetch(recording.file.url, tenant.token())
    assert answer.status == 200, answer
    return answer.body


def wav_channels(data: bytes) -> Pcm:
    """Read a WAV file: int16, shape (channels, frames), 16 kHz."""
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        assert file.format in {"WAV", "WAVEX", "RF64"}
        assert (file.samplerate, file.subtype) == (16_000, "PCM_16")
        return np.ascontiguousarray(file.read(dtype="int16", always_2d=True).T)


def mp3_channels(data: bytes) -> Pcm:
    """Decode an MP3 file with libsndfile: int16, shape (channels, frames), 16 kHz."""
    pcm, rate = soundfile.read(io.BytesIO(data), dtype="int16", always_2d=True)
    assert rate == 16_000
    return np.ascontiguousarray(pcm.T)


def mp3_channels_by_ffmpeg(data: bytes, channels: int, directory: Path) -> Pcm:
    """Decode an MP3 file with FFmpeg: int16, shape (channels, frames), 16 kHz."""
    path = directory / "file.mp3"
    path.write_bytes(data)
    command = ["ffmpeg", "-v", "error", "-threads", "1", "-i", str(path), "-f", "s16le", "-"]
    raw = subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=30).stdout
    return np.frombuffer(raw, dtype="<i2").reshape(-1, channels).T.astype(np.int16)


def lag_frames(found: Pcm, expected: Pcm) -> int:
    """Return by how many frames `found` comes later than `expected`: where they correlate best."""
    correlation = correlate(found.astype(np.float64), expected.astype(np.float64), method="fft")
    return int(np.argmax(correlation)) - (len(expected) - 1)


def correlation(found: Pcm, expected: Pcm) -> float:
    """Return the correlation coefficient of two signals of one length at lag 0."""
    return float(np.corrcoef(found.astype(np.float64), expected.astype(np.float64))[0, 1])


def error_db(found: Pcm, expected: NDArray[np.float64]) -> float:
    """Return the power of the difference against that of what was expected, in dB."""
    difference = found.astype(np.float64) - expected
    return float(10 * np.log10(np.mean(difference**2) / np.mean(expected**2)))

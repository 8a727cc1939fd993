"""Tools that others record with, offline on the same audio: what their mix and encode take."""

import os
import resource
import shutil
import subprocess
import tempfile
import wave
from collections.abc import Sequence
from pathlib import Path

from tests.bench.audio import LOOP_S, VARIANTS, looped, mixed_blocks

_TIMEOUT_S = 120.0
_LENGTH_S = 4 * LOOP_S


def costs() -> dict[str, float]:
    """Return CPU seconds per call-hour of each tool that is installed, mono MP3 of 32 kbit/s at 16 kHz."""
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        home = Path(directory)
        _write_legs(home)
        for name, command in _commands(home).items():
            if shutil.which(command[0]):
                found[name] = round(_cpu_s(command) / _LENGTH_S * 3600, 3)
    return found


def _commands(home: Path) -> dict[str, Sequence[str]]:
    legs = [str(home / "leg-0.wav"), str(home / "leg-1.wav")]
    mixed, out = str(home / "mixed.wav"), str(home / "out.mp3")
    graph = "amix=inputs=2:normalize=0"
    encoder = ["-c:a", "libmp3lame", "-b:a", "32k", "-ar", "16000", "-ac", "1"]
    return {
        "ffmpeg_mix_and_encode": [
            "ffmpeg", "-v", "error", "-y", "-threads", "1", "-i", legs[0], "-i", legs[1],
            "-filter_complex", graph, *encoder, out,
        ],
        "sox_mix_and_encode": ["sox", "-m", *legs, "-C", "32", out],
        "lame_encode": ["lame", "--quiet", "--cbr", "-b", "32", "-q", "5", mixed, out],
    }  # fmt: skip


def _write_legs(home: Path) -> None:
    parts = [[looped(variant, leg, 16_000, LOOP_S).tobytes() for variant in range(VARIANTS)] for leg in (0, 1)]
    for leg, voices in enumerate(parts):
        _write_wav(home / f"leg-{leg}.wav", voices)
    mixed = [block.tobytes() for variant in range(VARIANTS) for block in mixed_blocks(variant, LOOP_S, split=False)]
    _write_wav(home / "mixed.wav", mixed)


def _write_wav(path: Path, parts: Sequence[bytes]) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        for part in parts:
            file.writeframes(part)


def _cpu_s(command: Sequence[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    # A tool must not spread over cores that the measured service does not get.
    subprocess.run(
        command, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)

"""The Python client's examples, run as programs against a real server."""

import hashlib
import json
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.clients.conformance import Bench
from tests.harness.client import Client
from tests.harness.speech import speech

from recorder.v1 import recording_pb2

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "clients" / "python" / "examples"
RUN_S = 60


def run(bench: Bench, example: str, *arguments: str, cwd: Path) -> str:
    """Run an example to its end; gives what it printed."""
    command = [sys.executable, str(EXAMPLES / f"{example}.py"), "--server", bench.target]
    command += ["--application", bench.tenant.application_id, "--key", str(bench.key_path), *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=RUN_S, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def write_wav(path: Path, pcm: NDArray[np.int16]) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(pcm.tobytes())


@pytest.mark.parametrize(
    ("arguments", "ended_by", "seconds"),
    [(["--hash-key-ms", "2000"], "key", "2.0 s"), ([], "hangup", "4.0 s")],
)
def test_voicemail_ends_with_the_key_or_the_line(
    bench: Bench, tmp_path: Path, arguments: list[str], ended_by: str, seconds: str
) -> None:
    """The message is kept in an MP3 file."""
    write_wav(tmp_path / "line.wav", speech(4))
    told = run(bench, "voicemail", "line.wav", "--out", "kept.mp3", *arguments, cwd=tmp_path)
    assert f"ended by {ended_by}" in told
    assert seconds in told
    assert (tmp_path / "kept.mp3").stat().st_size > 4000


def test_voicemail_ends_with_silence(bench: Bench, tmp_path: Path) -> None:
    """A caller who falls silent is not recorded for two minutes."""
    write_wav(tmp_path / "line.wav", np.concatenate([speech(2), np.zeros(10 * 16_000, np.int16)]))
    assert "ended by silence" in run(bench, "voicemail", "line.wav", cwd=tmp_path)


async def test_monitor_goes_on_where_it_ended(bench: Bench, tmp_path: Path) -> None:
    """Two runs of two events tell four, each once."""
    async with Client(bench.server.ports.grpc) as client:
        for _ in range(2):
            call = await client.call(bench.tenant)
            await call.stream(caller=speech(1).tobytes())
            await call.hang_up()
    lines = [line for _ in range(2) for line in run(bench, "monitor", "--count", "2", cwd=tmp_path).splitlines()]
    assert len(set(lines)) == 4
    assert "recording_started" in lines[0]


async def test_split_recording_is_handed_to_the_transcriber_by_party(bench: Bench, tmp_path: Path) -> None:
    """The command sees one mono file a party: here it tells the file's sum, which names the voice."""
    voices = {"caller": speech(2), "callee": speech(2, first=7)}
    async with Client(bench.server.ports.grpc) as client:
        call = await client.call(bench.tenant, ncco={"action": "record", "format": "wav", "split": "conversation"})
        await call.stream(**{leg_id: pcm.tobytes() for leg_id, pcm in voices.items()})  # type: ignore[arg-type] # audio by leg
        recording = await call.hang_up()
    assert recording.state == recording_pb2.RECORDING_STATE_AVAILABLE
    (tmp_path / "tell.py").write_text(
        "import hashlib, sys, wave\n"
        "file = wave.open(sys.argv[1])\n"
        "print(file.getnchannels(), hashlib.sha256(file.readframes(file.getnframes())).hexdigest())\n"
    )
    command = f"{sys.executable} {tmp_path / 'tell.py'}"
    told = run(bench, "transcription", "--transcriber", command, "--count", "1", "--out", "texts", cwd=tmp_path)
    transcript = json.loads((tmp_path / told.strip()).read_text())
    hashes = [channel["text"] for channel in transcript["channels"]]
    assert transcript["recording_id"] == recording.recording_id
    assert [text.split()[0] for text in hashes] == ["1", "1"]
    assert [text.split()[1] for text in hashes] == [
        hashlib.sha256(pcm.astype("<i2").tobytes()).hexdigest() for pcm in voices.values()
    ]


def test_conference_records_each_party_in_a_channel_of_its_own(bench: Bench, tmp_path: Path) -> None:
    """The second party joins two seconds later and stays two seconds longer."""
    # Last of all: the transcriber above takes an application's first split recording.
    for name, first in (("alice", 0), ("bob", 7)):
        write_wav(tmp_path / f"{name}.wav", speech(3, first=first))
    told = run(bench, "conference", "--name", "examples", "alice.wav", "bob.wav", cwd=tmp_path)
    assert "alice in channel 0, bob in channel 1" in told
    seconds = float(told.split(": ", 1)[1].split(" s,", 1)[0])
    assert 5.0 <= seconds < 8.0, told

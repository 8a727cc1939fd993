"""A real `recorder-bridge` process in front of a real recorder, and what it recorded."""

import asyncio
import json
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from tests.clients.conformance import Bench
from tests.harness.client import Client, leg
from tests.harness.files import download, wav_channels

from recorder.v1 import recording_pb2
from recorder.v1.recording_service_pb2 import ListRecordingsRequest

WAV = {"action": "record", "format": "wav"}

_STOP_S = 20.0
_POLL_S = 0.05
_ENDED_S = 30.0


class BridgeProcess:
    """One bridge on a free port; use it as `with`. In the end it must have kept its temper.

    Args:
        bench: The recorder behind it.
        kind: `vonage`, `twilio` or `audiosocket`.
        action: NCCO record action for every call.
        arguments: More options.
    """

    def __init__(
        self, bench: Bench, kind: str, action: dict[str, Any] | None = None, arguments: Sequence[str] = ()
    ) -> None:
        self._bench, self._kind = bench, kind
        self._arguments = [*(["--ncco", json.dumps(action)] if action else []), *arguments]
        self._log_path = bench.directory / f"bridge-{uuid.uuid4()}.log"
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "recorder_bridges", self._kind, "--listen", "127.0.0.1:0"]
        command += ["--target", self._bench.target, "--application", self._bench.tenant.application_id]
        command += ["--key", str(self._bench.key_path), *self._arguments]
        with self._log_path.open("w") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self.log
        self.port = int(json.loads(line)["port"])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        self._process.terminate()
        try:
            code = self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        self._process.stdout.close()
        if error is None:
            assert code == 0, self.log
            assert "Traceback" not in self.log, self.log

    @property
    def url(self) -> str:
        """Where senders over WebSocket connect."""
        return f"ws://127.0.0.1:{self.port}/media"

    @property
    def log(self) -> str:
        """What it told on standard error."""
        return self._log_path.read_text()


def conversation_id() -> str:
    """Make an id by which a call is found again."""
    return f"CON-{uuid.uuid4()}"


async def begun(bench: Bench, conversation: str) -> recording_pb2.Recording:
    """Wait until a conversation's recording exists."""
    request = ListRecordingsRequest(conversation_id=conversation)
    async with Client(bench.server.ports.grpc) as client, asyncio.timeout(_ENDED_S):
        while True:
            page = await client.recordings.ListRecordings(request, metadata=bench.tenant.metadata)
            if page.recordings:
                found: recording_pb2.Recording = page.recordings[0]
                return found
            await asyncio.sleep(_POLL_S)


async def ended(bench: Bench, conversation: str) -> recording_pb2.Recording:
    """Wait for the last state of a conversation's recording."""
    recording = await begun(bench, conversation)
    async with Client(bench.server.ports.grpc) as client:
        return await client.ended(bench.tenant, recording.recording_id, _ENDED_S)


async def reference_sha256(
    bench: Bench,
    *,
    action: dict[str, Any],
    legs: dict[str, bytes],
    encoding: recording_pb2.AudioEncoding.ValueType = recording_pb2.AUDIO_ENCODING_LINEAR16,
    sample_rate_hz: int,
) -> str:
    """Give the hash of the file of the same audio, through the generated stubs alone."""
    roles = {"caller": recording_pb2.LEG_ROLE_CALLER, "callee": recording_pb2.LEG_ROLE_CALLEE}
    described = [leg(leg_id, roles[leg_id], encoding, sample_rate_hz) for leg_id in legs]
    async with Client(bench.server.ports.grpc) as client:
        call = await client.call(bench.tenant, legs=described, ncco=action)
        await call.stream(**legs)  # type: ignore[arg-type] # audio by leg
        return (await call.hang_up()).file.sha256


def channels(bench: Bench, recording: recording_pb2.Recording) -> NDArray[np.int16]:
    """Fetch a WAV file: int16, shape (channels, frames), 16 kHz."""
    return wav_channels(download(recording, bench.tenant))


def capture(name: str) -> list[dict[str, Any]]:
    """Read the messages of a capture; its first line names the source."""
    lines = (Path(__file__).parent / "captures" / f"{name}.jsonl").read_text().splitlines()
    source, *messages = (json.loads(line) for line in lines)
    assert source["source"]
    return messages

"""A process that records calls whose messages were made before: costs little, so that the server is what is measured.

`python -m tests.robustness.flat_calls SETTINGS` prints one line of JSON at its end. The same messages serve all calls.
"""

import asyncio
import json
import random
import statistics
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from tests.harness.client import EOF, two_legs

from recorder.v1 import media_pb2, recorder_service_pb2, recording_pb2

_METHOD = "/recorder.v1.RecorderService/RecordCall"
_ACK_INTERVAL_MS = 50
_CHUNK_MS = 20
_CHUNK_BYTES = 160
_TIMEOUT_S = 60.0
Request = recorder_service_pb2.RecordCallRequest
Response = recorder_service_pb2.RecordCallResponse


@dataclass(frozen=True, slots=True)
class Settings:
    """What to send.

    Attributes:
        target: `host:port`.
        metadata: As on every stream.
        calls: Side by side, paced in real time.
        seconds: Length of a call.
    """

    target: str
    metadata: tuple[tuple[str, str], ...]
    calls: int
    seconds: float


@dataclass(slots=True)
class Figures:
    """What was seen.

    Attributes:
        sent: Messages of audio.
        acknowledged: Of these.
        completed: Calls.
        late_ms: 99th percentile of how late this process itself sent: above some ms it is the bottleneck.
        ack_p50_ms: From sending a message to its acknowledgement; up to 50 ms of it is the ack interval.
        ack_p99_ms: The same.
        errors: Calls that failed, by status.
    """

    sent: int = 0
    acknowledged: int = 0
    completed: int = 0
    late_ms: float = 0.0
    ack_p50_ms: float = 0.0
    ack_p99_ms: float = 0.0
    errors: list[str] = field(default_factory=list)


def raw_stream(channel: grpc.aio.Channel, metadata: Sequence[tuple[str, str]], timeout_s: float | None = None) -> Any:
    """Begin a recording stream that takes and gives bytes."""
    stream_stream: Any = channel.stream_stream
    return stream_stream(_METHOD)(metadata=tuple(metadata), timeout=timeout_s)


def opening(
    recording_id: str = "",
    legs: Sequence[recording_pb2.Leg] = (),
    ack_interval_ms: int = _ACK_INTERVAL_MS,
    **ncco: Any,
) -> bytes:
    """Return the first message of a call: by default two legs of G.711, a split MP3 file."""
    wanted = recorder_service_pb2.StartCall(
        recording_id=recording_id or str(uuid.uuid4()),
        legs=legs or two_legs(8000, recording_pb2.AUDIO_ENCODING_MULAW),
    )
    wanted.ncco.update({"action": "record", **(ncco or {"split": "conversation"})})
    interval = Duration(nanos=ack_interval_ms * 1_000_000)
    return Request(
        sequence=1, open=recorder_service_pb2.OpenCall(start=wanted, ack_interval=interval)
    ).SerializeToString()


def messages(
    count: int, frames: int = _CHUNK_BYTES, legs: Sequence[str] = ("caller", "callee"), bytes_per_frame: int = 1
) -> list[bytes]:
    """Return messages 2, 3, ...: all legs' noise, so many frames each."""
    noise = random.Random(1)
    payloads = [noise.randbytes(frames * bytes_per_frame) for _ in range(64)]
    made = []
    for index in range(count):
        chunks = [
            media_pb2.AudioChunk(leg_id=leg, start_frame=index * frames, payload=payloads[(index + 7 * number) % 64])
            for number, leg in enumerate(legs)
        ]
        made.append(Request(sequence=index + 2, audio=media_pb2.Audio(chunks=chunks)).SerializeToString())
    return made


def closing(sequence: int) -> bytes:
    """Return the last message of a call."""
    return Request(sequence=sequence, close=media_pb2.Close()).SerializeToString()


class FlatCall:
    """One call of a script in real time."""

    def __init__(self, channel: grpc.aio.Channel, settings: Settings, script: list[bytes]) -> None:
        self._stream = raw_stream(channel, settings.metadata, settings.seconds + _TIMEOUT_S)
        self._script = script
        self._sent_s: list[float] = []
        self.acknowledged = 1
        self.late_s: list[float] = []
        self.waits_s: list[float] = []
        self.completed = False

    @property
    def sent(self) -> int:
        """Messages of audio sent."""
        return len(self._sent_s)

    async def run(self, delay_s: float) -> None:
        """Open after a delay, send the script, close, and wait for the end."""
        await asyncio.sleep(delay_s)
        await self._stream.write(opening())
        reader = asyncio.create_task(self._read())
        try:
            await self._send()
            await self._stream.write(closing(len(self._script) + 2))
        finally:
            # How the stream ended is told by the reader.
            await reader

    async def _send(self) -> None:
        began_s = time.monotonic()
        for index, message in enumerate(self._script):
            due_s = began_s + (index + 1) * _CHUNK_MS / 1000
            wait_s = due_s - time.monotonic()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            now_s = time.monotonic()
            self.late_s.append(now_s - due_s)
            self._sent_s.append(now_s)
            await self._stream.write(message)

    async def _read(self) -> None:
        while (data := await self._stream.read()) is not EOF:
            response = Response.FromString(data)
            kind = response.WhichOneof("payload")
            if kind == "ack":
                self._acknowledged(response.ack.sequence)
            self.completed = self.completed or kind == "completed"

    def _acknowledged(self, sequence: int) -> None:
        now_s = time.monotonic()
        audio = min(sequence - 1, len(self._sent_s))
        self.waits_s += [now_s - sent_s for sent_s in self._sent_s[self.acknowledged - 1 : audio]]
        self.acknowledged = max(self.acknowledged, audio + 1)


async def record(settings: Settings) -> Figures:
    """Record, and return what was seen."""
    script = messages(round(settings.seconds * 1000 / _CHUNK_MS))
    options = [("grpc.http2.bdp_probe", 0)]
    async with grpc.aio.insecure_channel(settings.target, options) as channel:
        calls = [FlatCall(channel, settings, script) for _ in range(settings.calls)]
        # Spread over a second, as calls are; not all of them at the same instant of every 20 ms.
        running = [call.run(index / len(calls)) for index, call in enumerate(calls)]
        ended = await asyncio.gather(*running, return_exceptions=True)
    waits = [wait * 1000 for call in calls for wait in call.waits_s]
    late = [late * 1000 for call in calls for late in call.late_s]
    return Figures(
        sent=sum(call.sent for call in calls),
        acknowledged=sum(call.acknowledged - 1 for call in calls),
        completed=sum(call.completed for call in calls),
        late_ms=round(_percentile(late, 99), 1),
        ack_p50_ms=round(_percentile(waits, 50), 1),
        ack_p99_ms=round(_percentile(waits, 99), 1),
        errors=[repr(error)[:300] for error in ended if isinstance(error, BaseException)],
    )


async def record_elsewhere(settings: Settings) -> Figures:
    """Record from a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", __name__, json.dumps(asdict(settings))),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    try:
        told, _ = await asyncio.wait_for(process.communicate(), settings.seconds + 2 * _TIMEOUT_S)
    except BaseException:
        process.kill()
        await process.wait()
        raise
    return Figures(**json.loads(told))


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1] if len(values) > 1 else 0.0


def main() -> None:
    """Do what the settings in the first argument say."""
    told = json.loads(sys.argv[1])
    told["metadata"] = tuple((key, value) for key, value in told["metadata"])
    sys.stdout.write(json.dumps(asdict(asyncio.run(record(Settings(**told))))) + "\n")


if __name__ == "__main__":
    main()

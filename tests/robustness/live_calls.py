"""Calls in real time by a faithful client: it keeps what is not acknowledged, resumes, and sends that again.

Its ledger is the oracle: the audio of every message can be made anew from the seed, and is looked for in the file.
"""

import asyncio
import contextlib
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
import numpy as np
from tests.harness.client import Call, Client, Tenant, reason
from tests.harness.files import fetch, wav_channels
from tests.harness.server import Server

from recorder.v1 import media_pb2, recording_pb2

CHUNK_FRAMES = 320
CHUNK_S = 0.02
_POOL_FRAMES = 1 << 19
_AMPLITUDE = 8000
_RETRY_S = 0.2
_NCCO = {"action": "record", "format": "wav", "split": "conversation"}
_LEGS = ("caller", "callee")
_ENDED = "RECORDING_NOT_LIVE"
_MAY_COME_BACK = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
}


class Speech:
    """Noise that says by its samples which call, leg and message it belongs to."""

    def __init__(self, seed: int) -> None:
        generator = np.random.default_rng(seed)
        self._pool = generator.integers(-_AMPLITUDE, _AMPLITUDE, _POOL_FRAMES, dtype=np.int16)

    def pcm(self, call: int, leg: int, message: int) -> bytes:
        """Return one message's audio of a leg: 20 ms of LINEAR16 at 16 kHz."""
        at = ((call * 7919 + leg * 104_729) * 37 + message * CHUNK_FRAMES) % (_POOL_FRAMES - CHUNK_FRAMES)
        return self._pool[at : at + CHUNK_FRAMES].tobytes()


@dataclass(slots=True)
class Account:
    """What became of one call.

    Attributes:
        said: Messages of audio that the caller spoke.
        acknowledged: The last acknowledged sequence; the start is 1, audio begins at 2.
        kept_for_sure: The last sequence that lies before a `stopped` of the server: what is acknowledged together with
            `stopped` may lie behind the end that it names.
        stopped: Whether the server said that the recording has ended.
        taken_back: Messages that a resume asked for again though they were acknowledged.
        lines: Streams it took.
        reasons: Why streams ended early.
        drains: `drain` notices seen.
        waits: When an acknowledgement came (monotonic, s), and how long each message it covers had waited (s).
        recording: In its last state.
    """

    said: int = 0
    acknowledged: int = 0
    kept_for_sure: int = 0
    stopped: bool = False
    taken_back: int = 0
    lines: int = 0
    reasons: list[str] = field(default_factory=list)
    drains: int = 0
    waits: list[tuple[float, float]] = field(default_factory=list)
    recording: recording_pb2.Recording | None = None


class LiveCall:
    """One call in real time, both legs in each message of 20 ms."""

    def __init__(self, calls: "LiveCalls", number: int) -> None:
        self.account = Account()
        self.number = number
        self.recording_id = ""
        self._calls = calls
        self._hung_up = asyncio.Event()
        self._began_s = 0.0
        self._sent_s: dict[int, float] = {}
        self._before = 0
        self.opened = asyncio.Event()

    def hang_up(self) -> None:
        """Say nothing more, and close."""
        self._hung_up.set()

    async def run(self) -> None:
        """Live until the recording is in its last state.

        Raises:
            AioRpcError: The start was refused, or the stream ended in a way that no resume mends.
        """
        call = await self._start()
        while not await self._line(call):
            if (resumed := await self._resume()) is None:
                break
            call = resumed

    async def _start(self) -> Call:
        call = Call(self._calls.line(), self._calls.tenant.metadata)
        await call.open(ncco=_NCCO)
        self.recording_id = call.recording_id
        self._began_s = time.monotonic()
        self.account.lines += 1
        self.opened.set()
        return call

    async def _resume(self) -> Call | None:
        """Come back; None if the recording has ended meanwhile."""
        while True:
            await asyncio.sleep(_RETRY_S * random.uniform(0.5, 1.5))
            call = Call(self._calls.line(), self._calls.tenant.metadata)
            try:
                opened = await call.resume(self.recording_id)
            except TimeoutError:
                continue
            except grpc.aio.AioRpcError as error:
                if reason_of(error) == _ENDED:
                    await self._await_end()
                    return None
                if error.code() not in _MAY_COME_BACK:
                    raise
                continue
            self.account.lines += 1
            self.account.taken_back += max(0, self.account.acknowledged - opened.next_sequence + 1)
            return call

    async def _line(self, call: Call) -> bool:
        """Use one stream; say whether the recording was completed on it."""
        sender = asyncio.create_task(self._send(call))
        try:
            return await self._receive(call)
        except grpc.aio.AioRpcError as error:
            self.account.reasons.append(reason_of(error))
            if error.code() not in _MAY_COME_BACK:
                raise
            return False
        except TimeoutError:
            self.account.reasons.append("NO_ANSWER")
            return False
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            call.cancel()

    async def _send(self, call: Call) -> None:
        """Send what is due from the sequence on that the server expects; write errors show in the reader too."""
        account = self.account
        try:
            while True:
                message = call.sequence - 2
                if message >= account.said:
                    if self._hung_up.is_set():
                        await call.send(close=media_pb2.Close())
                        return
                    await asyncio.sleep(self._began_s + (message + 1) * CHUNK_S - time.monotonic())
                    account.said = message + 1
                self._sent_s.setdefault(call.sequence, time.monotonic())
                call.ledger.sent.clear()
                await call.audio(**self._calls.audio(self.number, message))
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError):
            return

    async def _receive(self, call: Call) -> bool:
        while (response := await call.receive()) is not None:
            kind = response.WhichOneof("payload")
            if kind == "ack":
                self._acknowledged(response.ack.sequence)
            elif kind == "stopped":
                self.account.stopped = True
                if not self._hung_up.is_set():
                    self.account.kept_for_sure = self._before
            elif kind == "drain":
                self.account.drains += 1
            elif kind == "completed":
                self.account.recording = response.completed.recording
                return True
        await call.raise_for_status()
        return False

    def _acknowledged(self, sequence: int) -> None:
        now_s = time.monotonic()
        for covered in range(self.account.acknowledged + 1, sequence + 1):
            sent_s = self._sent_s.pop(covered, None)
            if sent_s is not None:
                self.account.waits.append((now_s, now_s - sent_s))
        self._before = self.account.acknowledged
        self.account.acknowledged = max(self.account.acknowledged, sequence)
        self.account.kept_for_sure = self.account.acknowledged

    async def _await_end(self) -> None:
        self.account.recording = await self._calls.client.ended(self._calls.tenant, self.recording_id, 60)


@dataclass(slots=True)
class Verdict:
    """What the files of calls say.

    Attributes:
        calls: Calls looked at.
        acknowledged: Messages of audio that were acknowledged.
        lost: Acknowledged messages that are not in the file, or were asked for again.
        changed: Messages in the file that are not what was said.
        unfinished: Calls without a file, or whose file cannot be had.
        ends: How many ended for which reason.
    """

    calls: int = 0
    acknowledged: int = 0
    lost: int = 0
    changed: int = 0
    unfinished: int = 0
    ends: dict[str, int] = field(default_factory=dict)

    @property
    def sound(self) -> bool:
        """Whether everything that was promised is there."""
        return self.lost == self.changed == self.unfinished == 0


class LiveCalls:
    """Calls that run side by side on one server, which may go away and come back on the same port.

    Args:
        port: Of the server.
        tenant: Whose calls they are.
        seed: Of what is said.
        scattered: Whether each stream has a connection of its own, and so meets any of several nodes on the port.
    """

    def __init__(self, port: int, tenant: Tenant, seed: int, *, scattered: bool = False) -> None:
        self.client = Client(port)
        self._port = port
        self._scattered = scattered
        self._lines: list[Client] = []
        self.tenant = tenant
        self.calls: list[LiveCall] = []
        self._speech = Speech(seed)
        self._tasks: dict[LiveCall, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        for client in (self.client, *self._lines):
            await client.channel.close(None)

    def line(self) -> Client:
        """Return the client that the next stream goes over."""
        if not self._scattered:
            return self.client
        self._lines.append(Client(self._port))
        return self._lines[-1]

    def audio(self, call: int, message: int) -> dict[str, tuple[int, bytes]]:
        """Return a message's audio of both legs."""
        at = message * CHUNK_FRAMES
        return {name: (at, self._speech.pcm(call, leg, message)) for leg, name in enumerate(_LEGS)}

    async def begin(self, count: int) -> list[LiveCall]:
        """Start calls and wait until each is opened; a refused start raises."""
        made = [LiveCall(self, len(self.calls) + index) for index in range(count)]
        for call in made:
            self.calls.append(call)
            task = self._tasks[call] = asyncio.create_task(call.run())
            opened = asyncio.create_task(call.opened.wait())
            await asyncio.wait((task, opened), return_when=asyncio.FIRST_COMPLETED)
            opened.cancel()
            if task.done():
                del self._tasks[call]
                self.calls.remove(call)
                task.result()
        return made

    async def ended(self, calls: Iterable[LiveCall], timeout_s: float) -> int:
        """Wait for calls to end; returns how many did not."""
        tasks = [self._tasks[call] for call in calls if call in self._tasks]
        if not tasks:
            return 0
        done, pending = await asyncio.wait(tasks, timeout=timeout_s)
        for task in done:
            task.result()
        return len(pending)

    async def hang_up(self, calls: Sequence[LiveCall], timeout_s: float = 30.0) -> int:
        """Hang up and wait until the recordings are completed; returns how many are not in time."""
        for call in calls:
            call.hang_up()
        return await self.ended(calls, timeout_s)

    def waits_s(self, calls: Iterable[LiveCall], from_s: float, to_s: float) -> list[float]:
        """Return how long messages waited for their acknowledgement, of those acknowledged in a stretch of time."""
        return [wait for call in calls for at, wait in call.account.waits if from_s <= at <= to_s]

    async def verdict(self, calls: Sequence[LiveCall]) -> Verdict:
        """Fetch the files and compare them with what was said."""
        verdict = Verdict()
        for call in calls:
            await self._judge(call, verdict)
        return verdict

    async def _judge(self, call: LiveCall, verdict: Verdict) -> None:
        account = call.account
        audio = min(max(0, account.kept_for_sure - 1), account.said)
        verdict.calls += 1
        verdict.acknowledged += audio
        verdict.lost += account.taken_back
        recording = account.recording
        if recording is None or recording.state != recording_pb2.RECORDING_STATE_AVAILABLE:
            verdict.unfinished += 1
            return
        end = recording_pb2.StopReason.Name(recording.stop_reason).removeprefix("STOP_REASON_")
        verdict.ends[end] = verdict.ends.get(end, 0) + 1
        answer = await asyncio.to_thread(fetch, recording.file.url, self.tenant.token())
        if answer.status != HTTPStatus.OK:
            verdict.unfinished += 1
            return
        channels = wav_channels(answer.body)
        found = channels.shape[1] // CHUNK_FRAMES
        verdict.lost += max(0, audio - found)
        verdict.changed += max(0, found - account.said)
        for message in range(min(found, account.said)):
            at = message * CHUNK_FRAMES
            for leg in range(len(_LEGS)):
                kept = channels[leg, at : at + CHUNK_FRAMES].tobytes()
                verdict.changed += kept != self._speech.pcm(call.number, leg, message)


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """Return the reason of an error, or its status where it comes from the transport and has none."""
    with contextlib.suppress(AssertionError):
        return reason(error)
    return error.code().name


def p99_s(waits: Sequence[float]) -> float:
    """Return the 99th percentile; 0 of nothing."""
    return statistics.quantiles(waits, n=100)[98] if len(waits) > 1 else 0.0


@contextlib.asynccontextmanager
async def node_with_calls(
    seed: int, module: Sequence[str], environment: Mapping[str, str]
) -> AsyncIterator[tuple[Server, LiveCalls]]:
    """Run a server on a directory of its own, with one tenant whose calls are made by `LiveCalls`."""
    with tempfile.TemporaryDirectory(prefix="robustness-") as directory:
        server = Server(Path(directory) / "data", environment=environment, module=module)
        try:
            await asyncio.to_thread(server.start)
            async with Client(server.ports.grpc) as client:
                tenant = await client.create_tenant(server.admin_token)
            async with LiveCalls(server.ports.grpc, tenant, seed) as calls:
                yield server, calls
        finally:
            await asyncio.to_thread(server.close)

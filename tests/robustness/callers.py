"""Callers that come back: each sends its script through any number of server deaths and keeps the ledger."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from tests.harness.client import Call, Client, Ledger, Tenant, bytes_per_frame, pieces, reason

from recorder.v1 import recording_pb2

_COME_BACK_S = 0.1
_ATTEMPT_TIMEOUT_S = 60.0
# What a client meets while the server is dying, dead or coming up. Everything else is a finding.
_PASSING = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED}
# What gRPC's own client makes of a write that meets a reset connection.
_CORE = "Internal error from Core"
_ENDED = "RECORDING_NOT_LIVE"
_UNKNOWN = "RECORDING_NOT_FOUND"


@dataclass(frozen=True, slots=True)
class Script:
    """All that one kind of call sends; its first payload is sequence 2, the last one is `close`.

    Attributes:
        name: For findings.
        legs: Who speaks.
        ncco: The record action.
        payloads: Fields of the requests, in order.
        chunk_ms: How much time a payload stands for.
    """

    name: str
    legs: Sequence[recording_pb2.Leg]
    ncco: Mapping[str, Any]
    payloads: Sequence[Mapping[str, Any]]
    chunk_ms: int

    @property
    def last_sequence(self) -> int:
        """Sequence of the last payload."""
        return len(self.payloads) + 1


def script(
    name: str, legs: Sequence[recording_pb2.Leg], ncco: Mapping[str, Any], *audio: bytes, chunk_ms: int
) -> Script:
    """Build the script of legs that speak side by side and hang up."""
    formats = {leg.leg_id: (leg.sample_rate_hz, bytes_per_frame(leg)) for leg in legs}
    spoken: dict[str, Any] = dict(zip(formats, audio, strict=True))
    payloads = [*pieces(formats, chunk_ms=chunk_ms, **spoken), {"close": {}}]
    return Script(name, legs, ncco, payloads, chunk_ms)


@dataclass(slots=True)
class Line:
    """What all callers need of a server that dies and comes back; set anew at every start.

    Attributes:
        client: Stubs on a channel to the running server.
        up: Set while a server serves.
    """

    tenant: Tenant
    client: Client
    up: asyncio.Event = field(default_factory=asyncio.Event)


class Caller:
    """One call, with its ledger outside the server.

    Attributes:
        ledger: What was sent and acknowledged.
        findings: What contradicts a promise.
        streams: How many streams it took.
        history: What became of them.
        heard_s: When the last acknowledgement came, of `time.monotonic`.
    """

    def __init__(
        self, line: Line, script: Script, *, speed: float | None, window: int = 0, leaves_at: int | None = None
    ) -> None:
        """Prepare a call.

        Args:
            line: Where to call.
            script: What to send.
            speed: Times real time; None as fast as the server takes it.
            window: Most unacknowledged requests; 0 means any number.
            leaves_at: Sequence after which the client goes away for good; None if it hangs up.
        """
        self.recording_id = str(uuid.uuid4())
        self.ledger = Ledger()
        self.findings: list[str] = []
        self.streams = 0
        self.history: list[str] = []
        self.heard_s = 0.0
        self.script = script
        self.leaves_at = leaves_at
        self._line = line
        self._speed = speed
        self._window = window
        self._began_s = 0.0
        self._opened = False
        self._room = asyncio.Event()
        self._opened_at = 0

    async def run(self) -> None:
        """Call until the recording is completed, or until it is time to leave."""
        self._began_s = time.monotonic()
        while True:
            await self._line.up.wait()
            try:
                async with asyncio.timeout(_ATTEMPT_TIMEOUT_S):
                    if await self._stream(self._line.client):
                        return
            except TimeoutError:
                self.findings.append(f"{self._who}: a stream did not end within {_ATTEMPT_TIMEOUT_S:g} s")
            except grpc.aio.AioRpcError as error:
                self._note(f"{error.code().name} {error.details()}")
                if self._settled_by(error):
                    return
            except asyncio.InvalidStateError:
                pass  # grpc.aio: written to a stream that has just ended; the next one tells more.
            if (task := asyncio.current_task()) and task.cancelling():
                raise asyncio.CancelledError  # wait_for lost it to an answer that came at the same moment.
            await asyncio.sleep(_COME_BACK_S)

    @property
    def _who(self) -> str:
        return f"{self.script.name} {self.recording_id}"

    @property
    def left(self) -> bool:
        """Whether the client has gone away for good."""
        return self.leaves_at is not None and self.ledger.acknowledged >= self.leaves_at

    async def _stream(self, client: Client) -> bool:
        """Use one stream; returns whether the call is over."""
        call = Call(client, self._line.tenant.metadata, self.ledger)
        self.streams += 1
        self._note("calls")
        try:
            opened = await self._open(call)
            self._note(f"opened, {opened.next_sequence} is due")
            self._check(opened.next_sequence)
            call.sequence = self._opened_at = opened.next_sequence
            sending = asyncio.create_task(self._send(call))
            try:
                return await self._listen(call)
            finally:
                sending.cancel()
                with contextlib.suppress(asyncio.CancelledError, grpc.aio.AioRpcError, asyncio.InvalidStateError):
                    await sending
        finally:
            call.cancel()

    async def _open(self, call: Call) -> Any:
        if self._opened:
            return await call.resume(self.recording_id, ack_interval_ms=50)
        # The answer to an earlier attempt may have been lost: the same start goes on with that recording.
        opened = await call.open(recording_id=self.recording_id, legs=self.script.legs, ncco=self.script.ncco)
        self._opened = True
        return opened

    def _note(self, what: str) -> None:
        self.history.append(f"{time.monotonic() - self._began_s:.2f} s {what}")

    def _check(self, next_sequence: int) -> None:
        sent = max(self.ledger.sent, default=1)
        if next_sequence <= self.ledger.acknowledged:
            lost = self.ledger.acknowledged - next_sequence + 1
            self.findings.append(
                f"{self._who}: {lost} acknowledged requests lost: {self.ledger.acknowledged} was acknowledged, "
                f"the server wants {next_sequence}"
            )
        if not 1 < next_sequence <= sent + 1:
            self.findings.append(f"{self._who}: the server wants {next_sequence}, sent are 1 to {sent}")

    async def _send(self, call: Call) -> None:
        """Send what is due: late payloads at once, the others at their time."""
        last_sequence = self.leaves_at or self.script.last_sequence
        while call.sequence <= last_sequence:
            if self._speed is not None:
                due_s = self._began_s + (call.sequence - 1) * self.script.chunk_ms / 1000 / self._speed
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            while self._window and call.sequence - max(self._opened_at, self.ledger.acknowledged + 1) >= self._window:
                self._room.clear()
                await self._room.wait()
            await call.send(**self.script.payloads[call.sequence - 2])

    async def _listen(self, call: Call) -> bool:
        while (response := await call.receive()) is not None:
            self.heard_s = time.monotonic()
            self._room.set()
            if self.ledger.acknowledged > max(self.ledger.sent):
                self.findings.append(f"{self._who}: {self.ledger.acknowledged} acknowledged but never sent")
            if self.left:
                return True
            if response.WhichOneof("payload") == "completed":
                return True
        await call.raise_for_status()
        return False

    def _settled_by(self, error: grpc.aio.AioRpcError) -> bool:
        """Say whether an error ends the call; one that nobody expects becomes a finding."""
        if self.left:
            return True
        if error.code() in _PASSING or error.details() == _CORE:
            return False
        why = reason(error)
        if why == _ENDED and self.ledger.sent.keys() >= {self.script.last_sequence}:
            return True  # Ended while nobody listened; the file tells the rest.
        if why == _UNKNOWN and self.ledger.acknowledged == 0 and len(self.ledger.sent) == 1:
            self._opened = False
            return False
        self.findings.append(f"{self._who}: {error.code().name} {why}: {error.details()}; {'; '.join(self.history)}")
        return True

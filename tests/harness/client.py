"""A raw client: generated stubs and nothing else, the way any other language would talk to the server."""

import asyncio
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from recorder.tokens import application_token
from recorder.v1 import (
    application_pb2,
    application_service_pb2,
    application_service_pb2_grpc,
    event_pb2,
    event_service_pb2,
    event_service_pb2_grpc,
    media_pb2,
    recorder_service_pb2,
    recorder_service_pb2_grpc,
    recording_pb2,
    recording_service_pb2,
    recording_service_pb2_grpc,
    webhook_service_pb2_grpc,
)

Request = recorder_service_pb2.RecordCallRequest
Response = recorder_service_pb2.RecordCallResponse
Metadata = Sequence[tuple[str, str]]

# The stubs lack it.
EOF = grpc.aio.EOF  # type: ignore[attr-defined]
_TIMEOUT_S = 30.0
_UNFINISHED = (
    recording_pb2.RECORDING_STATE_RECORDING,
    recording_pb2.RECORDING_STATE_PAUSED,
    recording_pb2.RECORDING_STATE_FINISHING,
)


@dataclass(frozen=True, slots=True)
class Tenant:
    """An application with its secrets."""

    application_id: str
    private_key_pem: str
    signature_secret: str
    api_key: str

    def token(self, **claims: Any) -> str:
        """Make a token."""
        return application_token(self.application_id, self.private_key_pem, **claims)

    @property
    def metadata(self) -> Metadata:
        """Metadata with a fresh token."""
        return bearer(self.token())


def bearer(token: str) -> Metadata:
    """Return metadata that carries a token."""
    return (("authorization", f"Bearer {token}"),)


def leg(
    leg_id: str = "caller",
    role: recording_pb2.LegRole.ValueType = recording_pb2.LEG_ROLE_CALLER,
    encoding: recording_pb2.AudioEncoding.ValueType = recording_pb2.AUDIO_ENCODING_LINEAR16,
    sample_rate_hz: int = 16_000,
) -> recording_pb2.Leg:
    """Describe a leg."""
    return recording_pb2.Leg(leg_id=leg_id, role=role, encoding=encoding, sample_rate_hz=sample_rate_hz)


def two_legs(
    sample_rate_hz: int = 16_000,
    encoding: recording_pb2.AudioEncoding.ValueType = recording_pb2.AUDIO_ENCODING_LINEAR16,
) -> list[recording_pb2.Leg]:
    """Describe a caller and a callee."""
    return [
        leg("caller", recording_pb2.LEG_ROLE_CALLER, encoding, sample_rate_hz),
        leg("callee", recording_pb2.LEG_ROLE_CALLEE, encoding, sample_rate_hz),
    ]


def bytes_per_frame(leg: recording_pb2.Leg) -> int:
    """Return the size of one frame of a leg."""
    return 2 if leg.encoding == recording_pb2.AUDIO_ENCODING_LINEAR16 else 1


def pieces(
    formats: Mapping[str, tuple[int, int]], *, chunk_ms: int = 100, from_ms: int = 0, **legs: bytes
) -> Iterator[dict[str, Any]]:
    """Cut legs into messages that hold the same instants of all of them.

    Args:
        formats: Sample rate and bytes per frame of each leg.
        chunk_ms: Length of a message.
        from_ms: Where the first byte of every leg lies.
        legs: Encoded audio.
    """
    steps = {name: formats[name][0] * chunk_ms // 1000 for name in legs}
    count = max(-(-len(data) // (steps[name] * formats[name][1])) for name, data in legs.items())
    for index in range(count):
        chunks = []
        for name, data in legs.items():
            rate, size = formats[name]
            at = index * steps[name]
            payload = data[at * size : (at + steps[name]) * size]
            if payload:
                chunks.append(
                    media_pb2.AudioChunk(leg_id=name, start_frame=rate * from_ms // 1000 + at, payload=payload)
                )
        yield {"audio": media_pb2.Audio(chunks=chunks)}


def reason(error: grpc.aio.AioRpcError) -> str:
    """Return the ErrorInfo reason of an error."""
    return str(info(error).reason)


def info(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    """Return the ErrorInfo of an error."""
    found = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(error)  # type: ignore[arg-type] # the stubs know only the calls of threads
    assert status is not None, f"{error.code()} {error.details()} carries no details"
    assert status.details[0].Unpack(found)
    return found


def retry_after_s(error: grpc.aio.AioRpcError) -> float:
    """Return when an error says to try again; one that does not is a failure."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type] # the stubs know only the calls of threads
    retry = error_details_pb2.RetryInfo()
    assert status is not None
    assert any(detail.Unpack(retry) for detail in status.details)
    return float(retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9)


class Client:
    """All stubs on one channel, which has a connection of its own: where several nodes share a port, one is met."""

    def __init__(self, port: int, *, ca_pem: bytes | None = None, options: Sequence[tuple[str, int]] = ()) -> None:
        address = f"127.0.0.1:{port}"
        options = [("grpc.use_local_subchannel_pool", 1), *options]
        self.channel = grpc.aio.insecure_channel(address, options=options)
        if ca_pem is not None:
            self.channel = grpc.aio.secure_channel(address, grpc.ssl_channel_credentials(ca_pem), options=options)
        self.recorder = recorder_service_pb2_grpc.RecorderServiceStub(self.channel)
        self.recordings = recording_service_pb2_grpc.RecordingServiceStub(self.channel)
        self.events = event_service_pb2_grpc.EventServiceStub(self.channel)
        self.applications = application_service_pb2_grpc.ApplicationServiceStub(self.channel)
        self.webhooks = webhook_service_pb2_grpc.WebhookServiceStub(self.channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.channel.close(None)

    async def create_tenant(self, admin_token: str, **fields: Any) -> Tenant:
        """Make an application."""
        application = application_pb2.Application(**{"name": "test", **fields})
        made = await self.applications.CreateApplication(
            application_service_pb2.CreateApplicationRequest(application=application), metadata=bearer(admin_token)
        )
        return Tenant(
            made.application.application_id,
            made.private_key_pem,
            made.signature_secret,
            made.application.api_key,
        )

    async def call(self, tenant: Tenant, **start: Any) -> "Call":
        """Open a recording stream; keywords are fields of StartCall, `ncco` and `typed` included."""
        call = Call(self, tenant.metadata)
        await call.open(**start)
        return call

    async def recording(self, tenant: Tenant, recording_id: str) -> recording_pb2.Recording:
        """Return a recording as it stands."""
        request = recording_service_pb2.GetRecordingRequest(recording_id=recording_id)
        answer = await self.recordings.GetRecording(request, metadata=tenant.metadata, timeout=_TIMEOUT_S)
        return answer.recording

    async def ended(self, tenant: Tenant, recording_id: str, timeout_s: float = 20.0) -> recording_pb2.Recording:
        """Wait until a recording has reached its last state."""
        async with asyncio.timeout(timeout_s):
            while (recording := await self.recording(tenant, recording_id)).state in _UNFINISHED:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        return recording

    def subscribe(self, metadata: Metadata, **request: Any) -> "Subscription":
        """Subscribe to the event feed; keywords are fields of the request."""
        return Subscription(self, metadata, event_service_pb2.SubscribeEventsRequest(**request))

    async def told(
        self, tenant: Tenant, recording_id: str, last: event_pb2.EventType.ValueType
    ) -> list[event_pb2.Event]:
        """Return the events of a recording from its first to the first one of type `last`."""
        async with self.subscribe(tenant.metadata, from_oldest=True, recording_id=recording_id) as feed:
            return await feed.until(last)


class Subscription:
    """One subscription to the event feed."""

    def __init__(self, client: Client, metadata: Metadata, request: event_service_pb2.SubscribeEventsRequest) -> None:
        self._stream = client.events.SubscribeEvents(request, metadata=metadata)
        self.first_cursor = ""

    async def __aenter__(self) -> Self:
        """Wait for the first heartbeat: from then on nothing is missed."""
        self.first_cursor = (await self._read()).heartbeat.cursor
        assert self.first_cursor
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stream.cancel()

    async def next(self, timeout_s: float = _TIMEOUT_S) -> event_pb2.Event:
        """Wait for the next event."""
        while True:
            response = await self._read(timeout_s)
            if response.WhichOneof("payload") == "event":
                return response.event

    async def until(self, last: event_pb2.EventType.ValueType) -> list[event_pb2.Event]:
        """Return the events up to the first one of type `last`."""
        events = [await self.next()]
        while events[-1].type != last:
            events.append(await self.next())
        return events

    async def _read(self, timeout_s: float = _TIMEOUT_S) -> event_service_pb2.SubscribeEventsResponse:
        response = await asyncio.wait_for(self._stream.read(), timeout_s)
        if response is EOF:
            raise AssertionError(f"the feed ended: {await self._stream.code()} {await self._stream.details()}")
        assert isinstance(response, event_service_pb2.SubscribeEventsResponse)
        return response


@dataclass(slots=True)
class Ledger:
    """What a client knows: the oracle of the tests.

    Attributes:
        sent: Every request by its sequence, until the end.
        acknowledged: The last acknowledged sequence.
    """

    sent: dict[int, Request] = field(default_factory=dict)
    acknowledged: int = 0


class Call:
    """One recording stream, message by message."""

    def __init__(self, client: Client, metadata: Metadata, ledger: Ledger | None = None) -> None:
        self._stream = client.recorder.RecordCall(metadata=metadata)  # type: ignore[call-arg] # requests are written
        self.ledger = ledger or Ledger()
        self.sequence = 1
        self.recording_id = ""
        self._formats: dict[str, tuple[int, int]] = {}
        self.responses: list[Response] = []
        self.arrived_s: list[float] = []
        self.stopped = False

    async def open(
        self,
        *,
        legs: Sequence[recording_pb2.Leg] | None = None,
        ncco: Mapping[str, Any] | None = None,
        ack_interval_ms: int | None = 50,
        **start: Any,
    ) -> media_pb2.Opened:
        """Send `open.start` and wait for `opened`."""
        wanted = recorder_service_pb2.StartCall(legs=two_legs() if legs is None else legs, **start)
        if not wanted.recording_id:
            wanted.recording_id = str(uuid.uuid4())
        if ncco is not None:
            wanted.ncco.update(dict(ncco))
        self.recording_id = wanted.recording_id
        self._formats = {leg.leg_id: (leg.sample_rate_hz, bytes_per_frame(leg)) for leg in wanted.legs}
        opening = recorder_service_pb2.OpenCall(start=wanted)
        if ack_interval_ms is not None:
            opening.ack_interval.CopyFrom(Duration(nanos=ack_interval_ms * 1_000_000))
        await self.send(open=opening)
        return await self._opened()

    async def resume(self, recording_id: str, ack_interval_ms: int = 50) -> media_pb2.Opened:
        """Send `open.resume` and wait for `opened`; the next sequence is what the server expects."""
        self.recording_id = recording_id
        opening = recorder_service_pb2.OpenCall(resume=recorder_service_pb2.ResumeCall(recording_id=recording_id))
        opening.ack_interval.CopyFrom(Duration(nanos=ack_interval_ms * 1_000_000))
        await self.write(Request(sequence=0, open=opening))
        opened = await self._opened()
        legs = [recorded.leg for recorded in opened.recording.legs]
        self._formats = {leg.leg_id: (leg.sample_rate_hz, bytes_per_frame(leg)) for leg in legs}
        self.sequence = opened.next_sequence
        return opened

    async def send(self, **payload: Any) -> int:
        """Send the next request and return its sequence."""
        request = Request(sequence=self.sequence, **payload)
        self.sequence += 1
        self.ledger.sent[request.sequence] = request
        await self.write(request)
        return request.sequence

    async def write(self, request: Request) -> None:
        """Send a request as it is."""
        await asyncio.wait_for(self._stream.write(request), _TIMEOUT_S)

    async def audio(self, **chunks: tuple[int, bytes]) -> int:
        """Send one message of audio: leg=(start_frame, payload)."""
        parts = [media_pb2.AudioChunk(leg_id=n, start_frame=at, payload=data) for n, (at, data) in chunks.items()]
        return await self.send(audio=media_pb2.Audio(chunks=parts))

    async def stream(self, *, chunk_ms: int = 100, speed: float | None = None, from_ms: int = 0, **legs: bytes) -> None:
        """Send whole legs side by side: as fast as the server takes them, or at `speed` times real time.

        Ends early once `stopped` was received by somebody else.
        """
        began_s = time.monotonic()
        for at_ms, payload in enumerate(pieces(self._formats, chunk_ms=chunk_ms, from_ms=from_ms, **legs)):
            if self.stopped:
                return
            await self.send(**payload)
            if speed is not None:
                await asyncio.sleep(began_s + (at_ms + 1) * chunk_ms / 1000 / speed - time.monotonic())

    async def follow(self, script: Sequence[Mapping[str, Any]], upto: int | None = None) -> None:
        """Send what the script holds from the sequence that is due on; its first payload is sequence 2."""
        for payload in script[self.sequence - 2 : upto]:
            await self.send(**payload)

    async def press(self, digit: str, frame: int, leg_id: str = "caller", duration_ms: int | None = None) -> int:
        """Send one key press."""
        dtmf = media_pb2.Dtmf(leg_id=leg_id, digit=digit, frame=frame)
        if duration_ms is not None:
            dtmf.duration.FromMilliseconds(duration_ms)
        return await self.send(dtmf=dtmf)

    async def pause(
        self, mode: recording_pb2.PauseMode.ValueType = recording_pb2.PAUSE_MODE_SILENCE, frame: int | None = None
    ) -> int:
        """Ask for a pause."""
        return await self.send(control=media_pb2.Control(pause=media_pb2.Pause(mode=mode, frame=frame)))

    async def go_on(self, frame: int | None = None) -> int:
        """End a pause."""
        return await self.send(control=media_pb2.Control(resume=media_pb2.Resume(frame=frame)))

    async def stop(self, frame: int | None = None) -> int:
        """Ask for the end."""
        return await self.send(control=media_pb2.Control(stop=media_pb2.Stop(frame=frame)))

    async def receive(self) -> Response | None:
        """Wait for the next response; None at the end of the stream."""
        response = await asyncio.wait_for(self._stream.read(), _TIMEOUT_S)
        if response is EOF:
            return None
        assert isinstance(response, Response)
        self.responses.append(response)
        self.arrived_s.append(time.monotonic())
        self.stopped = self.stopped or response.WhichOneof("payload") == "stopped"
        if response.WhichOneof("payload") == "ack":
            self.ledger.acknowledged = max(self.ledger.acknowledged, response.ack.sequence)
        return response

    async def until(self, kind: str) -> Response:
        """Receive until a response of this kind comes."""
        while (response := await self.receive()) is not None:
            if response.WhichOneof("payload") == kind:
                return response
        await self.raise_for_status()
        raise AssertionError(f"the stream ended without {kind}")

    async def acknowledged(self, sequence: int) -> None:
        """Receive until a sequence is acknowledged."""
        while self.ledger.acknowledged < sequence:
            assert await self.until("ack")

    async def hang_up(self, frame: int | None = None) -> recording_pb2.Recording:
        """Close and return the completed recording."""
        await self.send(close=media_pb2.Close(frame=frame))
        return await self.completed()

    async def completed(self) -> recording_pb2.Recording:
        """Wait for the end and return the completed recording."""
        completed = await self.until("completed")
        assert await self.receive() is None
        await self.raise_for_status()
        return completed.completed.recording

    async def rest(self) -> None:
        """Receive until the stream has ended.

        Raises:
            AioRpcError: It ended with an error.
        """
        while await self.receive() is not None:
            pass
        await self.raise_for_status()

    async def half_close(self) -> None:
        """End the requests."""
        await self._stream.done_writing()

    def cancel(self) -> None:
        """Cancel the RPC."""
        self._stream.cancel()

    async def raise_for_status(self) -> None:
        """Raise the RPC's error, if it ended with one."""
        code = await self._stream.code()
        if code is not grpc.StatusCode.OK:
            initial, trailing = await self._stream.initial_metadata(), await self._stream.trailing_metadata()
            raise grpc.aio.AioRpcError(
                code, initial, trailing, details=await self._stream.details(), debug_error_string=""
            )

    async def _opened(self) -> media_pb2.Opened:
        return (await self.until("opened")).opened

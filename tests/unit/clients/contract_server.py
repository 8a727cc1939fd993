"""A gRPC server that keeps the contract of RecordCall and SubscribeEvents in memory, and breaks lines when told to."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from recorder.v1 import event_service_pb2_grpc, recorder_service_pb2_grpc, recording_service_pb2_grpc
from recorder.v1.event_pb2 import Event
from recorder.v1.event_service_pb2 import Heartbeat, SubscribeEventsRequest, SubscribeEventsResponse
from recorder.v1.media_pb2 import Ack, Completed, Drain, Opened, Stopped
from recorder.v1.recorder_service_pb2 import RecordCallRequest, RecordCallResponse
from recorder.v1.recording_pb2 import (
    RECORDING_STATE_AVAILABLE,
    RECORDING_STATE_RECORDING,
    STOP_REASON_HANGUP,
    STOP_REASON_REQUESTED,
    Recording,
)
from recorder.v1.recording_service_pb2 import GetRecordingRequest, GetRecordingResponse

CODES = {
    "UNKNOWN_LEG": grpc.StatusCode.INVALID_ARGUMENT,
    "RECORDING_NOT_LIVE": grpc.StatusCode.FAILED_PRECONDITION,
    "RECORDING_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "SEQUENCE_GAP": grpc.StatusCode.OUT_OF_RANGE,
    "TOO_MANY_RECORDINGS": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "JOURNAL_FAILED": grpc.StatusCode.UNAVAILABLE,
}


async def refuse(
    context: grpc.aio.ServicerContext[Any, Any],
    reason: str,
    metadata: dict[str, str] | None = None,
    retry_ms: int | None = None,
) -> None:
    """End the RPC as the contract says: canonical code, ErrorInfo, and RetryInfo where a retry helps."""
    code = CODES[reason]
    status = status_pb2.Status(code=code.value[0], message=f"refused: {reason}")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain="recorder.v1", metadata=metadata or {}))
    if retry_ms is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(retry_ms)
        packed = any_pb2.Any()
        packed.Pack(retry)
        status.details.append(packed)
    await context.abort(code, status.message, (("grpc-status-details-bin", status.SerializeToString()),))


@dataclass
class Held:
    """A recording as the server knows it."""

    recording: Recording
    requests: dict[int, RecordCallRequest] = field(default_factory=dict)

    @property
    def expected(self) -> int:
        """The sequence that is due."""
        return max(self.requests, default=1) + 1


@dataclass
class Behaviour:
    """What goes wrong, and when."""

    break_after: list[int] = field(default_factory=list)
    """Sequences after which, once each, the stream is broken without an acknowledgement."""
    refuse_open: list[str] = field(default_factory=list)
    """Reasons for the next openings to be refused with."""
    refuse_resume: list[str] = field(default_factory=list)
    retry_ms: int | None = None
    stop_at: int | None = None
    """Sequence at which the server ends the recording by itself."""
    drain_at: int | None = None
    acknowledging: asyncio.Event = field(default_factory=asyncio.Event)
    break_feed_after: int | None = None

    def __post_init__(self) -> None:
        self.acknowledging.set()


class RecorderServicer(recorder_service_pb2_grpc.RecorderServiceServicer):
    """RecordCall, kept in memory."""

    def __init__(self) -> None:
        self.behaviour = Behaviour()
        self.recordings: dict[str, Held] = {}
        self.opens: list[RecordCallRequest] = []
        self.tokens: list[str] = []
        self.opened_again = asyncio.Event()

    async def RecordCall(  # noqa: N802 - the contract's name
        self, request_iterator: AsyncIterator[RecordCallRequest], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[RecordCallResponse]:
        """Record one call."""
        self.tokens += [str(value) for key, value in context.invocation_metadata() or () if key == "authorization"]
        opening = await anext(request_iterator)
        self.opens.append(opening)
        if len(self.opens) > 1:
            self.opened_again.set()
        held = await self._open(opening, context)
        yield RecordCallResponse(opened=Opened(recording=held.recording, next_sequence=held.expected))
        async for request in request_iterator:
            if request.sequence > held.expected:
                await refuse(context, "SEQUENCE_GAP", {"expected_sequence": str(held.expected)})
            held.requests.setdefault(request.sequence, request)
            if request.sequence in self.behaviour.break_after:
                self.behaviour.break_after.remove(request.sequence)
                await refuse(context, "JOURNAL_FAILED")
            if request.sequence == self.behaviour.drain_at:
                self.behaviour.drain_at = None
                yield RecordCallResponse(drain=Drain())
            await self.behaviour.acknowledging.wait()
            yield RecordCallResponse(ack=Ack(sequence=held.expected - 1))
            if request.HasField("close") or request.sequence == self.behaviour.stop_at:
                break
        else:
            return
        reason = STOP_REASON_HANGUP if request.HasField("close") else STOP_REASON_REQUESTED
        yield RecordCallResponse(stopped=Stopped(reason=reason, frame=16_000))
        held.recording.state = RECORDING_STATE_AVAILABLE
        held.recording.stop_reason = reason
        yield RecordCallResponse(completed=Completed(recording=held.recording))

    async def _open(self, opening: RecordCallRequest, context: grpc.aio.ServicerContext[Any, Any]) -> Held:
        resumes = opening.open.HasField("resume")
        refusals = self.behaviour.refuse_resume if resumes else self.behaviour.refuse_open
        if refusals:
            await refuse(context, refusals.pop(0), {"field": "open"}, self.behaviour.retry_ms)
        start = opening.open.start
        recording_id = opening.open.resume.recording_id if resumes else start.recording_id
        if resumes and recording_id not in self.recordings:
            await refuse(context, "RECORDING_NOT_FOUND")
        if resumes and self.recordings[recording_id].recording.HasField("stop_reason"):
            await refuse(context, "RECORDING_NOT_LIVE")
        fresh = Recording(recording_id=recording_id, state=RECORDING_STATE_RECORDING, metadata=start.metadata)
        return self.recordings.setdefault(recording_id, Held(fresh))


class RecordingServicer(recording_service_pb2_grpc.RecordingServiceServicer):
    """GetRecording of what the other servicer holds."""

    def __init__(self, recordings: dict[str, Held]) -> None:
        self._recordings = recordings

    async def GetRecording(  # noqa: N802 - the contract's name
        self, request: GetRecordingRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> GetRecordingResponse:
        """Return one recording."""
        if request.recording_id not in self._recordings:
            await refuse(context, "RECORDING_NOT_FOUND")
        return GetRecordingResponse(recording=self._recordings[request.recording_id].recording)


class EventServicer(event_service_pb2_grpc.EventServiceServicer):
    """A feed of ten events with cursors 1 to 10, broken once after the number asked for."""

    def __init__(self, recorder: RecorderServicer) -> None:
        self._recorder = recorder
        self.requests: list[SubscribeEventsRequest] = []

    async def SubscribeEvents(  # noqa: N802 - the contract's name
        self, request: SubscribeEventsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[SubscribeEventsResponse]:
        """Send the events after the cursor."""
        self.requests.append(request)
        first = int(request.cursor or 0) + 1
        yield SubscribeEventsResponse(heartbeat=Heartbeat(cursor=str(first - 1)))
        for number in range(first, 11):
            yield SubscribeEventsResponse(event=Event(event_id=f"event {number}", cursor=str(number)))
            if number == self._recorder.behaviour.break_feed_after:
                self._recorder.behaviour.break_feed_after = None
                await refuse(context, "JOURNAL_FAILED")
        await asyncio.sleep(30)


@dataclass
class ContractServer:
    """The running server."""

    target: str
    recorder: RecorderServicer
    events: EventServicer


async def serve() -> AsyncIterator[ContractServer]:
    """Serve on a free port until the fixture is left."""
    server = grpc.aio.server()
    recorder = RecorderServicer()  # type: ignore[abstract] # calls are enough here
    events = EventServicer(recorder)
    recorder_service_pb2_grpc.add_RecorderServiceServicer_to_server(recorder, server)
    event_service_pb2_grpc.add_EventServiceServicer_to_server(events, server)
    recording_service_pb2_grpc.add_RecordingServiceServicer_to_server(
        RecordingServicer(recorder.recordings),  # type: ignore[abstract] # the client asks for no more
        server,
    )
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield ContractServer(f"127.0.0.1:{port}", recorder, events)
    await server.stop(None)

"""One recording stream, from `open` to its end."""

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

import grpc

from recorder.v1 import media_pb2, recorder_service_pb2
from recorder_service.api.conversions import FileUrls, recording_message
from recorder_service.api.outlet import Response, StreamOutlet
from recorder_service.api.requests import pause_mode, timedelta_of
from recorder_service.domain.event import KeyPress
from recorder_service.domain.recording import StopReason
from recorder_service.errors import BadInput, Conflict, Reason
from recorder_service.sessions.key_presses import DIGITS
from recorder_service.sessions.live_recording import LiveRecording

Request = recorder_service_pb2.RecordCallRequest
Context = grpc.aio.ServicerContext[Request, Response]

_OPEN_TIMEOUT_S = 30.0
_LAST_WRITES_S = 1.0
_ACK_INTERVAL_S = (0.05, 10.0)
_MAX_DTMF_MS = 60_000


class Doorkeeper(Protocol):
    """Turns `open` into a live recording."""

    async def open(
        self, opening: recorder_service_pb2.OpenCall, sequence: int
    ) -> tuple[LiveRecording, tuple[str, ...]]:
        """Return the recording to feed, and warnings for the client."""


class CallStream:
    """Reads and writes one stream. The recording lives on when the stream is lost."""

    def __init__(self, doorkeeper: Doorkeeper, urls: FileUrls, context: Context, default_ack_interval_s: float) -> None:
        """Serve the stream of `context`."""
        self._doorkeeper = doorkeeper
        self._urls = urls
        self._context = context
        self._default_ack_interval_s = default_ack_interval_s
        self._outlet = StreamOutlet(urls)

    async def run(self, requests: AsyncIterator[Request]) -> None:
        """Serve until the recording is completed or the stream ends.

        Raises:
            BadInput: A message is wrong; the recording waits to be resumed.
            Conflict: CLOSE_EXPECTED, SEQUENCE_GAP or STREAM_REPLACED.
        """
        opening, sequence = await self._opening(requests)
        ack_interval_s = self._ack_interval_s(opening)
        live, warnings = await self._doorkeeper.open(opening, sequence)
        live.attach(self._outlet, ack_interval_s)
        try:
            async with asyncio.timeout(_OPEN_TIMEOUT_S):
                await self._context.write(self._opened(live, warnings))
            await self._exchange(live, requests)
        finally:
            live.detach(self._outlet)

    async def _opening(self, requests: AsyncIterator[Request]) -> tuple[recorder_service_pb2.OpenCall, int]:
        try:
            async with asyncio.timeout(_OPEN_TIMEOUT_S):
                first = await anext(requests, None)
        except TimeoutError:
            first = None
        kind = None if first is None else first.WhichOneof("payload")
        if first is None or kind != "open":
            message = "the first message of a stream must be `open`, saying what to record"
            raise BadInput(Reason.OPEN_EXPECTED, message, field="payload", value=kind or "nothing")
        return first.open, first.sequence

    async def _exchange(self, live: LiveRecording, requests: AsyncIterator[Request]) -> None:
        """Read and write at once. The reader's end without `close` ends the stream; so does the writer's end."""
        reader = asyncio.create_task(self._read(live, requests))
        writer = asyncio.create_task(self._write())
        try:
            await asyncio.wait((reader, writer), return_when=asyncio.FIRST_COMPLETED)
            if reader.done():
                reader.result()
                # The end was asked for: what is left to say takes as long as finishing takes.
                await writer
            else:
                writer.result()
                # Ending the RPC while the client is still writing would cost it what it has not read yet (grpc.aio).
                await asyncio.wait((reader,), timeout=_LAST_WRITES_S)
        finally:
            for task in (reader, writer):
                task.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)

    async def _read(self, live: LiveRecording, requests: AsyncIterator[Request]) -> None:
        async for request in requests:
            await self._take(live, request)
            if request.HasField("close"):
                return
            if live.congested:
                await live.room()
        if live.ending is None:
            # A lost client looks the same from here (grpc.aio); then nobody hears this.
            raise Conflict(
                Reason.CLOSE_EXPECTED,
                "the stream ended without `close`: send `close` at hang-up; until the resume window ends the recording "
                "can be gone on with by `open.resume`",
                details={"next_sequence": str(live.next_sequence)},
            )

    async def _write(self) -> None:
        while (message := await self._outlet.next()) is not None:
            await self._context.write(message)
            if message.WhichOneof("payload") == "completed":
                return

    async def _take(self, live: LiveRecording, request: Request) -> None:
        match request.WhichOneof("payload"):
            case "audio":
                live.receive_audio(request.sequence, request.audio.chunks)
            case "dtmf":
                live.receive_key(request.sequence, _key_press(live, request.dtmf))
            case "control":
                await self._control(live, request.sequence, request.control)
            case "close":
                frame = _frame(live, request.close, "close.frame")
                live.stop(StopReason.HANGUP, frame, request.sequence)
            case "open":
                message = "the stream is open already: `open` comes once, as its first message"
                raise BadInput(Reason.OPEN_REPEATED, message, field="payload", value="open")
            case None:
                message = "the message has no payload: set one of audio, dtmf, control and close"
                raise BadInput(Reason.INVALID_MESSAGE, message, field="payload", value="nothing")

    async def _control(self, live: LiveRecording, sequence: int, control: media_pb2.Control) -> None:
        match control.WhichOneof("action"):
            case "pause":
                mode = pause_mode(control.pause, "control.pause.mode")
                await live.pause(mode, _frame(live, control.pause, "control.pause.frame"), sequence)
            case "resume":
                await live.resume(_frame(live, control.resume, "control.resume.frame"), sequence)
            case "stop":
                live.stop(StopReason.REQUESTED, _frame(live, control.stop, "control.stop.frame"), sequence)
            case None:
                message = "control has no action: set one of pause, resume and stop"
                raise BadInput(Reason.INVALID_MESSAGE, message, field="control.action", value="nothing")

    def _ack_interval_s(self, opening: recorder_service_pb2.OpenCall) -> float:
        if not opening.HasField("ack_interval"):
            return self._default_ack_interval_s
        interval_s = timedelta_of(opening.ack_interval, "open.ack_interval").total_seconds()
        least, most = _ACK_INTERVAL_S
        if not least <= interval_s <= most:
            message = f"open.ack_interval is {interval_s:g} s but must be {least:g} s to {most:g} s"
            raise BadInput(Reason.INVALID_FIELD, message, field="open.ack_interval", value=interval_s)
        return interval_s

    def _opened(self, live: LiveRecording, warnings: tuple[str, ...]) -> Response:
        recording = recording_message(live.recording, self._urls)
        opened = media_pb2.Opened(recording=recording, next_sequence=live.next_sequence, warnings=warnings)
        return Response(opened=opened)


def _frame(
    live: LiveRecording, message: media_pb2.Pause | media_pb2.Resume | media_pb2.Stop | media_pb2.Close, field: str
) -> int | None:
    """Read an optional position in recording frames."""
    if not message.HasField("frame"):
        return None
    live.check_frame(message.frame, field)
    return message.frame


def _key_press(live: LiveRecording, dtmf: media_pb2.Dtmf) -> KeyPress:
    if len(dtmf.digit) != 1 or dtmf.digit not in DIGITS:
        message = "dtmf.digit must be one of 0-9, *, #, A-D"
        raise BadInput(Reason.INVALID_FIELD, message, field="dtmf.digit", value="(not shown)")
    duration_ms = None
    if dtmf.HasField("duration"):
        duration_ms = round(timedelta_of(dtmf.duration, "dtmf.duration").total_seconds() * 1000)
        if not 0 <= duration_ms <= _MAX_DTMF_MS:
            message = f"dtmf.duration is {duration_ms} ms but must be 0 to {_MAX_DTMF_MS}"
            raise BadInput(Reason.INVALID_FIELD, message, field="dtmf.duration", value=duration_ms)
    frame = live.recording_frame(dtmf.leg_id, dtmf.frame)
    return KeyPress(dtmf.leg_id, dtmf.digit, frame, duration_ms)

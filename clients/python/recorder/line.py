"""The line of one call to the server: opened, lost, resumed and replayed until the recording is completed."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc

from recorder.backlog import Backlog
from recorder.backoff import Backoff
from recorder.errors import RecorderError, from_rpc_error, unavailable
from recorder.v1.media_pb2 import Completed, Opened, Stopped
from recorder.v1.recorder_service_pb2 import OpenCall, RecordCallRequest, RecordCallResponse, ResumeCall, StartCall
from recorder.v1.recording_pb2 import (
    PAUSE_MODE_CUT,
    RECORDING_STATE_FINISHING,
    RECORDING_STATE_PAUSED,
    RECORDING_STATE_RECORDING,
    Recording,
)

if TYPE_CHECKING:
    Stream: TypeAlias = grpc.aio.StreamStreamCall[RecordCallRequest, RecordCallResponse]
OpenStream: TypeAlias = "Callable[[], Stream]"
GetRecording = Callable[[str], Coroutine[Any, Any, Recording]]

_ANSWER_S = 10.0
_GOODBYE_S = 1.0
_OUTCOME_POLL_S = 0.5
_RUNNING = (RECORDING_STATE_RECORDING, RECORDING_STATE_PAUSED, RECORDING_STATE_FINISHING)
_ENDED = "RECORDING_NOT_LIVE"


@dataclass(frozen=True, slots=True)
class CallSettings:
    """How a call is sent.

    Attributes:
        message_ms: Media time in one message, 1 to 5000: longer costs less, shorter loses less when the client dies.
        ack_interval_ms: Longest wait for an acknowledgement, 50 to 10000.
        buffer_bytes: What may wait for acknowledgement; `Call.write` waits while it is exceeded.
        connect_for_s: How long to go on trying to reach the server before the recording was opened.
        reconnect_for_s: How long to go on trying after the line broke.
    """

    message_ms: int = 100
    ack_interval_ms: int = 500
    buffer_bytes: int = 8 * 1024 * 1024
    connect_for_s: float = 5.0
    reconnect_for_s: float = 120.0


class Line:
    """Sends what is in the backlog over one stream after another, and hands on what the server says.

    Attributes:
        opened: The answer to the newest opening; None until there is one.
        stopped: What ended the recording; None while it runs.
        completed: The recording in its last state; None until then.
        closing: Set once hang-up was asked for: the line then stays with a server that is going down.
    """

    def __init__(
        self,
        start: StartCall,
        settings: CallSettings,
        backlog: Backlog,
        open_stream: OpenStream,
        get_recording: GetRecording,
        *,
        on_message: Callable[[RecordCallResponse], None],
    ) -> None:
        """Prepare a line; nothing is sent before `run`.

        Args:
            start: What to record, with a recording id.
            settings: How to send it.
            backlog: What to send.
            open_stream: Starts the RPC, with a fresh token, on every try.
            get_recording: Asks for the recording's state, for when its stream cannot be had back.
            on_message: Is given every message but acknowledgements.
        """
        self.opened: Opened | None = None
        self.stopped: Stopped | None = None
        self.completed: Recording | None = None
        self.closing = False
        self._start = start
        self._settings = settings
        self._backlog = backlog
        self._open_stream = open_stream
        self._get_recording = get_recording
        self._on_message = on_message
        self._reconnecting = Backoff(settings.reconnect_for_s)

    async def run(self) -> None:
        """Hold the line until the recording is completed.

        Raises:
            RecorderError: If the server refused the call, or could not be reached for too long.
        """
        connecting = Backoff(self._settings.connect_for_s)
        while self.completed is None:
            try:
                await self._connect()
            except RecorderError as error:
                if self.opened is not None and error.reason == _ENDED:
                    self._catch_up(await self._outcome())
                else:
                    await (connecting if self.opened is None else self._reconnecting).wait(error)

    async def _connect(self) -> None:
        """Hold one stream until the recording is completed or the stream breaks."""
        stream = self._open_stream()
        try:
            await self._converse(stream)
        except TimeoutError:
            raise unavailable(f"the server did not answer within {_ANSWER_S:.0f} s") from None
        except asyncio.InvalidStateError:
            # The RPC ended while being written to: its status says why.
            raise from_rpc_error(await _status(stream)) from None
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        finally:
            stream.cancel()

    async def _converse(self, stream: "Stream") -> None:
        async with asyncio.timeout(_ANSWER_S):
            await stream.write(self._opening())
            answer = await stream.read()
        sequence = self._accept(answer)
        sender = asyncio.create_task(self._replay(stream, sequence))
        try:
            await self._receive(stream)
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    def _opening(self) -> RecordCallRequest:
        if self.opened is None:
            request = RecordCallRequest(sequence=1, open=OpenCall(start=self._start))
        else:
            request = RecordCallRequest(open=OpenCall(resume=ResumeCall(recording_id=self._start.recording_id)))
        request.open.ack_interval.FromMilliseconds(self._settings.ack_interval_ms)
        return request

    def _accept(self, answer: object) -> int:
        """Take the answer to the opening and give the sequence to send from."""
        if not isinstance(answer, RecordCallResponse):
            raise unavailable("the server ended the stream before it answered")
        if not answer.HasField("opened"):
            raise RecorderError("INVALID_MESSAGE", f"the server answered `open` with {answer.WhichOneof('payload')}")
        expected = answer.opened.next_sequence
        first, after_last = self._backlog.first_sequence, self._backlog.next_sequence
        if self.stopped is None and expected > after_last:
            raise RecorderError(
                "SEQUENCE_GAP",
                f"the server expects message {expected} of {self._start.recording_id}, but {first} to {after_last} are "
                "at hand; does another client write to it?",
                status="OUT_OF_RANGE",
            )
        self.opened = answer.opened
        self._reconnecting.succeeded()
        self._on_message(answer)
        # What was acknowledged is gone here. If damage took it there, the server goes on without it.
        return max(expected, first)

    async def _replay(self, stream: "Stream", sequence: int) -> None:
        try:
            while True:
                await stream.write(await self._backlog.get(sequence))
                sequence += 1
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            # The stream broke; whoever reads it learns why.
            return

    async def _receive(self, stream: "Stream") -> None:
        while isinstance(message := await stream.read(), RecordCallResponse):
            self._take(message)
            if self.completed is not None:
                await _part(stream)
                return
        raise unavailable("the server ended the stream before the recording was completed")

    def _take(self, message: RecordCallResponse) -> None:
        if message.HasField("ack"):
            self._backlog.acknowledge(message.ack.sequence)
            return
        if message.HasField("stopped"):
            self.stopped = message.stopped
            self._backlog.close()
        elif message.HasField("completed"):
            self._complete(message.completed.recording)
        self._on_message(message)
        if message.HasField("drain") and not self.closing and self.stopped is None:
            wait_s = message.drain.retry_after.ToMilliseconds() / 1000
            raise unavailable("the server is going down", retry_after_s=wait_s)

    def _catch_up(self, recording: Recording) -> None:
        """Tell what the server told while nobody could hear it."""
        if self.stopped is None:
            self._take(RecordCallResponse(stopped=_end_of(recording)))
        self._take(RecordCallResponse(completed=Completed(recording=recording)))

    def _complete(self, recording: Recording) -> None:
        self.completed = recording
        self._backlog.close()

    async def _outcome(self) -> Recording:
        """Wait for the last state of a recording whose stream is gone for good."""
        self._backlog.close()
        while True:
            try:
                recording = await self._get_recording(self._start.recording_id)
            except RecorderError as error:
                await self._reconnecting.wait(error)
                continue
            self._reconnecting.succeeded()
            if recording.state not in _RUNNING:
                return recording
            await asyncio.sleep(_OUTCOME_POLL_S)


def _end_of(recording: Recording) -> Stopped:
    """Say as `stopped` would have where a recording ended: what cut pauses took out of its file counts too."""
    cut_frames = sum(p.end_frame - p.start_frame for p in recording.pauses if p.mode == PAUSE_MODE_CUT)
    return Stopped(reason=recording.stop_reason, frame=recording.file.frames + cut_frames)


async def _part(stream: "Stream") -> None:
    """Let a stream end by itself; nothing depends on it any more."""
    try:
        async with asyncio.timeout(_GOODBYE_S):
            await stream.done_writing()
            while isinstance(await stream.read(), RecordCallResponse):
                pass
    except (TimeoutError, grpc.aio.AioRpcError, asyncio.InvalidStateError):
        return


async def _status(stream: "Stream") -> grpc.aio.AioRpcError:
    """Give the status of an RPC that has ended, as the error that reading it would raise."""
    return grpc.aio.AioRpcError(
        await stream.code(),
        await stream.initial_metadata(),
        await stream.trailing_metadata(),
        details=await stream.details(),
        debug_error_string=None,
    )

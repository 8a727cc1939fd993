"""The stream of one call, from `open` to its end."""

from dataclasses import replace
from typing import Any, Protocol

import grpc

from recorder.v1 import media_pb2, recorder_service_pb2
from recorder_service.api.conversions import FileUrls, recording_message
from recorder_service.api.outlet import Response, StreamOutlet
from recorder_service.api.recording_stream import RecordingStream, key_press, optional_frame
from recorder_service.api.requests import pause_mode
from recorder_service.api.rounds import Rounds
from recorder_service.domain.recording import StopReason
from recorder_service.errors import BadInput, Reason
from recorder_service.sessions.live_recording import LiveRecording

Request = recorder_service_pb2.RecordCallRequest
Context = grpc.aio.ServicerContext[Any, Any]


class Doorkeeper(Protocol):
    """Turns `open` into a live recording."""

    async def open(
        self, opening: recorder_service_pb2.OpenCall, sequence: int
    ) -> tuple[LiveRecording, tuple[str, ...]]:
        """Return the recording to feed, and warnings for the client."""


class CallStream(RecordingStream[Request, Response, recorder_service_pb2.OpenCall, LiveRecording]):
    """Reads and writes one call's stream."""

    last_payload = "completed"

    def __init__(
        self, doorkeeper: Doorkeeper, urls: FileUrls, context: Context, default_ack_interval_s: float, rounds: Rounds
    ) -> None:
        """Serve the stream of `context`."""
        super().__init__(StreamOutlet(urls), context, default_ack_interval_s, rounds)
        self._doorkeeper = doorkeeper
        self._urls = urls

    async def open(
        self, opening: recorder_service_pb2.OpenCall, sequence: int
    ) -> tuple[LiveRecording, tuple[str, ...]]:
        """Return the recording to feed."""
        return await self._doorkeeper.open(opening, sequence)

    def opened(self, source: LiveRecording, warnings: tuple[str, ...]) -> Response:
        """Return the answer to `open`."""
        recording = recording_message(source.recording, self._urls)
        opened = media_pb2.Opened(recording=recording, next_sequence=source.next_sequence, warnings=warnings)
        return Response(opened=opened)

    async def take(self, source: LiveRecording, request: Request) -> None:
        """Do what a request asks for that is not audio."""
        match request.WhichOneof("payload"):
            case "dtmf":
                press = key_press(request.dtmf)
                frame = source.recording_frame(press.leg_id, press.frame)
                source.receive_key(request.sequence, replace(press, frame=frame))
            case "control":
                await self._control(source, request.sequence, request.control)
            case "close":
                frame_or_none = optional_frame(source, request.close, "close.frame")
                source.stop(StopReason.HANGUP, frame_or_none, request.sequence)
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
                await live.pause(mode, optional_frame(live, control.pause, "control.pause.frame"), sequence)
            case "resume":
                await live.resume(optional_frame(live, control.resume, "control.resume.frame"), sequence)
            case "stop":
                frame = optional_frame(live, control.stop, "control.stop.frame")
                live.stop(StopReason.REQUESTED, frame, sequence)
            case None:
                message = "control has no action: set one of pause, resume and stop"
                raise BadInput(Reason.INVALID_MESSAGE, message, field="control.action", value="nothing")

"""The stream of one sender of a conference, from `open` to its end."""

from typing import Protocol

from recorder.v1 import media_pb2, recorder_service_pb2
from recorder_service.api.call_stream import Context
from recorder_service.api.conversions import FileUrls, recording_message
from recorder_service.api.outlet import ConferenceOutlet, ConferenceResponse
from recorder_service.api.recording_stream import RecordingStream, key_press, optional_frame
from recorder_service.api.requests import join_leg_request, pause_mode
from recorder_service.api.rounds import Rounds
from recorder_service.errors import BadInput, Reason
from recorder_service.sessions.conference_stream import ConferenceStream as Source

Request = recorder_service_pb2.RecordConferenceRequest


class Doorkeeper(Protocol):
    """Turns `open` into a stream of a conference."""

    async def open(self, opening: recorder_service_pb2.OpenConference, sequence: int) -> tuple[Source, tuple[str, ...]]:
        """Return the stream to feed, and warnings for the client."""


class ConferenceStream(RecordingStream[Request, ConferenceResponse, recorder_service_pb2.OpenConference, Source]):
    """Reads and writes one sender's stream."""

    last_payload = "ended"

    def __init__(self, doorkeeper: Doorkeeper, urls: FileUrls, context: Context, default_ack_interval_s: float) -> None:
        """Serve the stream of `context`."""
        # When audio arrives says how the sender's clock goes: none of it waits.
        super().__init__(ConferenceOutlet(urls), context, default_ack_interval_s, Rounds(0))
        self._doorkeeper = doorkeeper
        self._urls = urls

    async def open(self, opening: recorder_service_pb2.OpenConference, sequence: int) -> tuple[Source, tuple[str, ...]]:
        """Return the stream to feed."""
        return await self._doorkeeper.open(opening, sequence)

    def opened(self, source: Source, warnings: tuple[str, ...]) -> ConferenceResponse:
        """Return the answer to `open`."""
        live = source.conference.live
        opened = recorder_service_pb2.ConferenceOpened(
            conversation_id=source.conference.conversation_id,
            recording=None if live is None else recording_message(live.recording, self._urls),
            next_sequence=source.next_sequence,
            warnings=warnings,
            origin_frame=source.origin_frame,
        )
        return ConferenceResponse(opened=opened)

    async def take(self, source: Source, request: Request) -> None:
        """Do what a request asks for that is not audio."""
        sequence = request.sequence
        match request.WhichOneof("payload"):
            case "dtmf":
                source.receive_key(sequence, request.dtmf.leg_id, key_press(request.dtmf))
            case "join_leg":
                await source.join(sequence, join_leg_request(request.join_leg, "join_leg"))
            case "leave_leg":
                leave = request.leave_leg
                await source.leave(sequence, leave.leg_id, leave.frame if leave.HasField("frame") else None)
            case "mute_leg":
                mute = request.mute_leg
                frame = mute.frame if mute.HasField("frame") else None
                await source.mute(sequence, mute.leg_id, frame, muted=mute.muted)
            case "control":
                await self._control(source, sequence, request.control)
            case "close":
                await source.close(sequence)
            case "open":
                message = "the stream is open already: `open` comes once, as its first message"
                raise BadInput(Reason.OPEN_REPEATED, message, field="payload", value="open")
            case None:
                message = (
                    "the message has no payload: set one of audio, dtmf, join_leg, leave_leg, mute_leg, control, close"
                )
                raise BadInput(Reason.INVALID_MESSAGE, message, field="payload", value="nothing")

    async def _control(self, source: Source, sequence: int, control: media_pb2.Control) -> None:
        match control.WhichOneof("action"):
            case "pause":
                mode = pause_mode(control.pause, "control.pause.mode")
                await source.pause(sequence, mode, optional_frame(source, control.pause, "control.pause.frame"))
            case "resume":
                await source.resume(sequence, optional_frame(source, control.resume, "control.resume.frame"))
            case "stop":
                source.stop(sequence, optional_frame(source, control.stop, "control.stop.frame"))
            case None:
                message = "control has no action: set one of pause, resume and stop"
                raise BadInput(Reason.INVALID_MESSAGE, message, field="control.action", value="nothing")

"""RecorderService: where audio comes in."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from recorder.v1 import recorder_service_pb2, recorder_service_pb2_grpc
from recorder_service.api.call_stream import CallStream, Context, Request
from recorder_service.api.caller import caller, owner
from recorder_service.api.conference_door import ConferenceDoor, Conferences, expect_sequence
from recorder_service.api.conference_stream import ConferenceStream
from recorder_service.api.conference_stream import Request as ConferenceRequest
from recorder_service.api.conversions import FileUrls
from recorder_service.api.requests import LegRequest, StartRequest, start_request, uuid
from recorder_service.api.rounds import Rounds
from recorder_service.domain.application import Application
from recorder_service.domain.channels import channel_of
from recorder_service.domain.encoder_choice import EncoderDefaults, chosen_encoder
from recorder_service.domain.recording import LegRole, RecordedLeg, Recording, RecordingKind, RecordingState
from recorder_service.errors import BadInput, Reason
from recorder_service.sessions.live_recording import LiveRecording


class Recordings(Protocol):
    """The live recordings of the node."""

    async def start(self, wanted: Recording, application: Application) -> LiveRecording:
        """Begin a recording."""

    async def resume(self, recording_id: UUID, application_id: UUID | None) -> LiveRecording:
        """Find a recording to go on with."""


class Applications(Protocol):
    """Knows the tenants."""

    async def get(self, application_id: UUID) -> Application:
        """Return an application."""


class Defaults(EncoderDefaults, Protocol):
    """The service's settings for streams."""

    @property
    def ack_interval_s(self) -> float:
        """Longest wait for an acknowledgement."""


class RecorderServicer(recorder_service_pb2_grpc.RecorderServiceServicer):
    """Serves recording streams."""

    def __init__(
        self,
        recordings: Recordings,
        conferences: Conferences,
        applications: Applications,
        defaults: Defaults,
        urls: FileUrls,
        *,
        rounds: Rounds,
    ) -> None:
        """Record into `recordings`, and conferences by way of `conferences`."""
        self._rounds = rounds
        self._recordings = recordings
        self._conference_door = ConferenceDoor(conferences, applications, defaults)
        self._applications = applications
        self._defaults = defaults
        self._urls = urls

    async def RecordCall(self, requests: AsyncIterator[Request], context: Context) -> None:  # type: ignore[override] # the stubs know only generators
        """Record one call."""
        await CallStream(self, self._urls, context, self._defaults.ack_interval_s, self._rounds).run(requests)

    async def RecordConference(self, requests: AsyncIterator[ConferenceRequest], context: Context) -> None:  # type: ignore[override] # the stubs know only generators
        """Record a conference."""
        stream = ConferenceStream(self._conference_door, self._urls, context, self._defaults.ack_interval_s)
        await stream.run(requests)

    async def open(
        self, opening: recorder_service_pb2.OpenCall, sequence: int
    ) -> tuple[LiveRecording, tuple[str, ...]]:
        """Begin a recording or find the one to go on with.

        Raises:
            BadInput: Something in `open` is wrong.
            NotFound: RECORDING_NOT_FOUND or APPLICATION_NOT_FOUND.
            Conflict: RECORDING_EXISTS or RECORDING_NOT_LIVE.
            Overloaded: There is no room for another recording.
        """
        match opening.WhichOneof("target"):
            case "resume":
                expect_sequence(sequence, 0, "open.resume")
                recording_id = uuid(opening.resume.recording_id, "open.resume.recording_id")
                return await self._recordings.resume(recording_id, caller().application_id), ()
            case "start":
                expect_sequence(sequence, 1, "open.start")
                return await self._start(start_request(opening.start))
        message = "open has no target: set `start` for a new recording, `resume` to go on with one"
        raise BadInput(Reason.INVALID_MESSAGE, message, field="open.target", value="nothing")

    async def _start(self, wanted: StartRequest) -> tuple[LiveRecording, tuple[str, ...]]:
        application = await self._applications.get(owner(wanted.application_id, "open.start.application_id"))
        recording = Recording(
            recording_id=wanted.recording_id,
            application_id=application.application_id,
            conversation_id=wanted.conversation_id,
            kind=RecordingKind.CALL,
            state=RecordingState.RECORDING,
            options=wanted.options,
            encoder=chosen_encoder(wanted.options, wanted.encoder, self._defaults),
            start_time=datetime.now(UTC),
            metadata=wanted.metadata,
            legs=_legs(wanted.legs, wanted.options.channel_count),
        )
        return await self._recordings.start(recording, application), wanted.warnings


def _legs(legs: tuple[LegRequest, ...], channels: int) -> tuple[RecordedLeg, ...]:
    """Give each leg its channel: the caller the first, the others the next ones, the last channel all that are left."""
    ordered = sorted(legs, key=lambda leg: leg.role is not LegRole.CALLER)
    return tuple(
        RecordedLeg(leg.leg_id, leg.role, leg.encoding, leg.sample_rate_hz, channel=channel_of(index, channels))
        for index, leg in enumerate(ordered)
    )

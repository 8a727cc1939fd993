"""RecorderService: where audio comes in."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from recorder.v1 import recorder_service_pb2, recorder_service_pb2_grpc
from recorder_service.api.call_stream import CallStream, Context, Request
from recorder_service.api.caller import caller, owner
from recorder_service.api.conversions import FileUrls
from recorder_service.api.requests import LegRequest, StartRequest, start_request, uuid
from recorder_service.domain.application import Application
from recorder_service.domain.options import EncoderOptions, FileFormat
from recorder_service.domain.recording import LegRole, RecordedLeg, Recording, RecordingKind, RecordingState
from recorder_service.errors import BadInput, Conflict, Reason
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


class EncoderDefaults(Protocol):
    """The service's encoder settings."""

    @property
    def mp3_bitrate_kbps(self) -> int:
        """For mono."""

    @property
    def mp3_split_bitrate_kbps(self) -> int:
        """For split."""

    @property
    def mp3_quality(self) -> int:
        """LAME quality."""

    @property
    def ack_interval_s(self) -> float:
        """Longest wait for an acknowledgement."""


class RecorderServicer(recorder_service_pb2_grpc.RecorderServiceServicer):
    """Serves recording streams."""

    def __init__(
        self, recordings: Recordings, applications: Applications, defaults: EncoderDefaults, urls: FileUrls
    ) -> None:
        """Record into `recordings`."""
        self._recordings = recordings
        self._applications = applications
        self._defaults = defaults
        self._urls = urls

    async def RecordCall(self, requests: AsyncIterator[Request], context: Context) -> None:  # type: ignore[override] # the stubs know only generators
        """Record one call."""
        await CallStream(self, self._urls, context, self._defaults.ack_interval_s).run(requests)

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
                _expect_sequence(sequence, 0, "open.resume")
                recording_id = uuid(opening.resume.recording_id, "open.resume.recording_id")
                return await self._recordings.resume(recording_id, caller().application_id), ()
            case "start":
                _expect_sequence(sequence, 1, "open.start")
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
            encoder=self._encoder(wanted),
            start_time=datetime.now(UTC),
            metadata=wanted.metadata,
            legs=_legs(wanted.legs, wanted.options.channel_count),
        )
        return await self._recordings.start(recording, application), wanted.warnings

    def _encoder(self, wanted: StartRequest) -> EncoderOptions:
        """Fill in what the service chooses, so that it stays the same whatever the service is set to later."""
        if wanted.options.file_format is FileFormat.WAV:
            return EncoderOptions()
        mono = wanted.options.channel_count == 1
        bitrate_kbps = self._defaults.mp3_bitrate_kbps if mono else self._defaults.mp3_split_bitrate_kbps
        asked = wanted.encoder
        return EncoderOptions(
            mp3_bitrate_kbps=bitrate_kbps if asked.mp3_bitrate_kbps is None else asked.mp3_bitrate_kbps,
            mp3_quality=self._defaults.mp3_quality if asked.mp3_quality is None else asked.mp3_quality,
        )


def _legs(legs: tuple[LegRequest, ...], channels: int) -> tuple[RecordedLeg, ...]:
    """Give each leg its channel: the caller the first, the others the next ones, the last channel all that are left."""
    ordered = sorted(legs, key=lambda leg: leg.role is not LegRole.CALLER)
    return tuple(
        RecordedLeg(leg.leg_id, leg.role, leg.encoding, leg.sample_rate_hz, channel=min(index, channels - 1))
        for index, leg in enumerate(ordered)
    )


def _expect_sequence(sequence: int, expected: int, field: str) -> None:
    if sequence != expected:
        raise Conflict(
            Reason.SEQUENCE_GAP,
            f"{field} has sequence {sequence}; it must be {expected}",
            details={"field": "sequence", "value": str(sequence), "expected_sequence": str(expected)},
        )

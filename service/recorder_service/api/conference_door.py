"""Who comes in: `open` of a conference's stream, and recordings of conferences on demand."""

import time
from dataclasses import replace
from typing import Protocol
from uuid import UUID

from recorder.v1 import recorder_service_pb2
from recorder_service.api.caller import caller, owner
from recorder_service.api.requests import conference_request, uuid
from recorder_service.domain.application import Application
from recorder_service.domain.encoder_choice import EncoderDefaults, chosen_encoder
from recorder_service.errors import BadInput, Conflict, Reason
from recorder_service.sessions.conference_stream import ConferenceStream
from recorder_service.sessions.conference_values import JoinStream


class Conferences(Protocol):
    """The conferences of the node, or of all of them."""

    async def join(self, wanted: JoinStream, application: Application) -> ConferenceStream:
        """Let a stream in."""

    async def resume(self, stream_id: UUID, application_id: UUID | None) -> ConferenceStream:
        """Find a stream to go on with."""


class Applications(Protocol):
    """Knows the tenants."""

    async def get(self, application_id: UUID) -> Application:
        """Return an application."""


class ConferenceDoor:
    """Turns `open` into a stream of a conference."""

    def __init__(self, conferences: Conferences, applications: Applications, defaults: EncoderDefaults) -> None:
        """Let streams into `conferences`."""
        self._conferences = conferences
        self._applications = applications
        self._defaults = defaults

    async def open(
        self, opening: recorder_service_pb2.OpenConference, sequence: int
    ) -> tuple[ConferenceStream, tuple[str, ...]]:
        """Begin a stream or find the one to go on with.

        Raises:
            BadInput: Something in `open` is wrong.
            NotFound: STREAM_NOT_FOUND or APPLICATION_NOT_FOUND.
            Overloaded: There is no room for another recording.
        """
        match opening.WhichOneof("target"):
            case "resume":
                expect_sequence(sequence, 0, "open.resume")
                stream_id = uuid(opening.resume.stream_id, "open.resume.stream_id")
                return await self._conferences.resume(stream_id, caller().application_id), ()
            case "join":
                expect_sequence(sequence, 1, "open.join")
                return await self._join(opening.join)
        message = "open has no target: set `join` for a new stream, `resume` to go on with one"
        raise BadInput(Reason.INVALID_MESSAGE, message, field="open.target", value="nothing")

    async def _join(self, join: recorder_service_pb2.JoinConference) -> tuple[ConferenceStream, tuple[str, ...]]:
        arrived_s = time.monotonic()
        wanted = conference_request(join)
        application = await self._applications.get(owner(wanted.application_id, "open.join.application_id"))
        plan = wanted.stream.plan
        plan = replace(plan, encoder=chosen_encoder(plan.options, plan.encoder, self._defaults))
        return await self._conferences.join(
            replace(wanted.stream, plan=plan, arrived_s=arrived_s), application
        ), wanted.warnings


def expect_sequence(sequence: int, expected: int, field: str) -> None:
    """Refuse an `open` with another number than it has to have.

    Raises:
        Conflict: SEQUENCE_GAP.
    """
    if sequence != expected:
        raise Conflict(
            Reason.SEQUENCE_GAP,
            f"{field} has sequence {sequence}; it must be {expected}",
            details={"field": "sequence", "value": str(sequence), "expected_sequence": str(expected)},
        )

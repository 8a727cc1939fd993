"""Starting and stopping recordings of conferences for those who do not come by gRPC, on whichever node they are."""

from typing import Protocol
from uuid import UUID

from google.protobuf.message import Message

from recorder.v1 import recording_service_pb2
from recorder_service.access.principal import Principal
from recorder_service.api.conversions import options_message
from recorder_service.api.relay import Handover, RelayedFailure
from recorder_service.api.relayed_error import relayed_error
from recorder_service.domain.options import RecordOptions
from recorder_service.domain.recording import Recording
from recorder_service.errors import Elsewhere

_SERVICE = "/recorder.v1.RecordingService"


class ConferenceRecording(Protocol):
    """Starts and stops the recordings of conferences that this node has."""

    async def start_recording(
        self, conversation_id: str, application_id: UUID | None, options: RecordOptions | None, /
    ) -> Recording:
        """Begin one; raises Elsewhere where another node has the conference."""

    async def stop_recording(self, conversation_id: str, application_id: UUID | None, /) -> Recording:
        """End the one that runs; raises Elsewhere where another node has the conference."""


class Relay(Protocol):
    """Passes RPCs on to the node that has the conference."""

    async def unary(self, handover: Handover, data: bytes) -> bytes:
        """Pass on one request and return the answer."""


class ConferenceControl:
    """Does it here, or passes it on as the RPC that says the same."""

    def __init__(self, conferences: ConferenceRecording, relay: Relay | None) -> None:
        """Ask `conferences`; `relay` is None where this node reaches no other."""
        self._conferences = conferences
        self._relay = relay

    async def start_recording(
        self, conversation_id: str, application_id: UUID | None, options: RecordOptions | None, /
    ) -> None:
        """Begin a recording, or leave the one that runs.

        Raises:
            RecorderError: As the node refuses that has the conference; OWNER_AWAY if it cannot be reached.
        """
        try:
            await self._conferences.start_recording(conversation_id, application_id, options)
        except Elsewhere as owner:
            request = recording_service_pb2.StartConferenceRecordingRequest(conversation_id=conversation_id)
            if options is not None:
                request.typed.CopyFrom(options_message(options))
            await self._pass_on("StartConferenceRecording", application_id, owner, request)

    async def stop_recording(self, conversation_id: str, application_id: UUID | None, /) -> None:
        """End the recording that runs. Otherwise as `start_recording`."""
        try:
            await self._conferences.stop_recording(conversation_id, application_id)
        except Elsewhere as owner:
            request = recording_service_pb2.StopConferenceRecordingRequest(conversation_id=conversation_id)
            await self._pass_on("StopConferenceRecording", application_id, owner, request)

    async def _pass_on(self, method: str, application_id: UUID | None, owner: Elsewhere, request: Message) -> None:
        if self._relay is None:
            raise owner
        principal = Principal(application_id, admin=application_id is None)
        try:
            await self._relay.unary(Handover(f"{_SERVICE}/{method}", principal, owner), request.SerializeToString())
        except RelayedFailure as failure:
            raise relayed_error(failure) from None

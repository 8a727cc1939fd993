"""RecordingService: finding, steering and fetching recordings."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Protocol
from uuid import UUID

from recorder.v1 import recording_service_pb2 as messages
from recorder.v1 import recording_service_pb2_grpc
from recorder_service.api.caller import caller, tenant
from recorder_service.api.conversions import FileUrls, file_message, recording_message, state_message
from recorder_service.api.requests import choice, conference_options, optional_time, pause_mode, uuid
from recorder_service.catalog.filters import RecordingFilter
from recorder_service.catalog.paging import Page
from recorder_service.domain.options import RecordOptions
from recorder_service.domain.recording import PauseMode, Recording, RecordingFile, RecordingState
from recorder_service.errors import BadInput, Conflict, NotFound, Reason

_STATES = {int(state_message(state)): state for state in RecordingState}
_CHUNK_BYTES = 64 * 1024


class Catalog(Protocol):
    """The catalog's recordings."""

    async def get(self, recording_id: UUID, application_id: UUID | None) -> Recording:
        """Return a recording; another application's is not found."""

    async def list(self, criteria: RecordingFilter, page_size: int, page_token: str) -> Page[Recording]:
        """Return a page, newest first."""


class Steering(Protocol):
    """Steers live recordings."""

    async def stop(self, recording_id: UUID, application_id: UUID | None) -> Recording:
        """End a recording."""

    async def pause(self, recording_id: UUID, application_id: UUID | None, mode: PauseMode) -> Recording:
        """Drop audio from now on."""

    async def unpause(self, recording_id: UUID, application_id: UUID | None) -> Recording:
        """Keep audio again."""


class ConferenceRecording(Protocol):
    """Starts and stops the recordings of conferences."""

    async def start_recording(
        self, conversation_id: str, application_id: UUID | None, options: RecordOptions | None
    ) -> Recording:
        """Begin one."""

    async def stop_recording(self, conversation_id: str, application_id: UUID | None) -> Recording:
        """End the one that runs."""


class Removal(Protocol):
    """Removes files."""

    async def delete(self, recording_id: UUID, application_id: UUID | None) -> Recording:
        """Remove a recording's file."""


class Files(Protocol):
    """Keeps finished files."""

    async def open(self, key: str, *, offset: int, length: int) -> AsyncGenerator[bytes, None]:
        """Give a part of a file in pieces."""


class RecordingServicer(recording_service_pb2_grpc.RecordingServiceServicer):
    """Serves recordings to their owners."""

    def __init__(
        self,
        catalog: Catalog,
        steering: Steering,
        removal: Removal,
        files: Files,
        urls: FileUrls,
        *,
        conferences: ConferenceRecording,
    ) -> None:
        """Serve from these parts."""
        self._conferences = conferences
        self._catalog = catalog
        self._steering = steering
        self._removal = removal
        self._files = files
        self._urls = urls

    async def GetRecording(self, request: messages.GetRecordingRequest, context: Any) -> messages.GetRecordingResponse:
        """Return one recording."""
        recording = await self._catalog.get(_id(request.recording_id), caller().application_id)
        return messages.GetRecordingResponse(recording=recording_message(recording, self._urls))

    async def ListRecordings(
        self, request: messages.ListRecordingsRequest, context: Any
    ) -> messages.ListRecordingsResponse:
        """Return a page of recordings."""
        criteria = RecordingFilter(
            application_id=tenant(request.application_id, "application_id"),
            conversation_id=request.conversation_id,
            states=frozenset(choice(state, _STATES, "states") for state in request.states),
            start_time_from=optional_time(request, "start_time_from", "start_time_from"),
            start_time_before=optional_time(request, "start_time_before", "start_time_before"),
        )
        page = await self._catalog.list(criteria, request.page_size, request.page_token)
        recordings = [recording_message(recording, self._urls) for recording in page.items]
        return messages.ListRecordingsResponse(recordings=recordings, next_page_token=page.next_page_token)

    async def StopRecording(
        self, request: messages.StopRecordingRequest, context: Any
    ) -> messages.StopRecordingResponse:
        """End a recording."""
        recording = await self._steering.stop(_id(request.recording_id), caller().application_id)
        return messages.StopRecordingResponse(recording=recording_message(recording, self._urls))

    async def PauseRecording(
        self, request: messages.PauseRecordingRequest, context: Any
    ) -> messages.PauseRecordingResponse:
        """Drop audio from now on."""
        mode = pause_mode(request, "mode")
        recording = await self._steering.pause(_id(request.recording_id), caller().application_id, mode)
        return messages.PauseRecordingResponse(recording=recording_message(recording, self._urls))

    async def ResumeRecording(
        self, request: messages.ResumeRecordingRequest, context: Any
    ) -> messages.ResumeRecordingResponse:
        """Keep audio again."""
        recording = await self._steering.unpause(_id(request.recording_id), caller().application_id)
        return messages.ResumeRecordingResponse(recording=recording_message(recording, self._urls))

    async def DeleteRecording(
        self, request: messages.DeleteRecordingRequest, context: Any
    ) -> messages.DeleteRecordingResponse:
        """Remove a recording's file."""
        recording = await self._removal.delete(_id(request.recording_id), caller().application_id)
        return messages.DeleteRecordingResponse(recording=recording_message(recording, self._urls))

    async def StartConferenceRecording(
        self, request: messages.StartConferenceRecordingRequest, context: Any
    ) -> messages.StartConferenceRecordingResponse:
        """Begin a recording of a conference."""
        wanted = None if request.WhichOneof("options") is None else conference_options(request, "options").options
        recording = await self._conferences.start_recording(request.conversation_id, caller().application_id, wanted)
        return messages.StartConferenceRecordingResponse(recording=recording_message(recording, self._urls))

    async def StopConferenceRecording(
        self, request: messages.StopConferenceRecordingRequest, context: Any
    ) -> messages.StopConferenceRecordingResponse:
        """End the recording that runs of a conference."""
        recording = await self._conferences.stop_recording(request.conversation_id, caller().application_id)
        return messages.StopConferenceRecordingResponse(recording=recording_message(recording, self._urls))

    async def DownloadRecording(
        self, request: messages.DownloadRecordingRequest, context: Any
    ) -> AsyncIterator[messages.DownloadRecordingResponse]:
        """Stream a file."""
        recording = await self._catalog.get(_id(request.recording_id), caller().application_id)
        file = _available_file(recording)
        offset = request.offset_bytes
        if not 0 <= offset <= file.size_bytes:
            message = f"offset_bytes is {offset} but the file has {file.size_bytes} bytes"
            raise BadInput(Reason.INVALID_FIELD, message, field="offset_bytes", value=offset)
        yield messages.DownloadRecordingResponse(file=file_message(file, self._urls))
        if offset == file.size_bytes:
            return
        pieces = await self._files.open(file.object_key, offset=offset, length=file.size_bytes - offset)
        async for piece in pieces:
            for start in range(0, len(piece), _CHUNK_BYTES):
                yield messages.DownloadRecordingResponse(chunk=piece[start : start + _CHUNK_BYTES])


def _id(text: str) -> UUID:
    return uuid(text, "recording_id")


def _available_file(recording: Recording) -> RecordingFile:
    if recording.file is not None and recording.state is RecordingState.AVAILABLE:
        return recording.file
    if recording.state in {RecordingState.DELETED, RecordingState.EXPIRED}:
        raise NotFound(Reason.FILE_EXPIRED, f"the file of recording {recording.recording_id} was removed")
    if recording.state.live or recording.state is RecordingState.FINISHING:
        message = f"recording {recording.recording_id} is {recording.state.value}: wait until it is completed"
        raise Conflict(Reason.RECORDING_LIVE, message, details={"state": recording.state.value}, retry_after_s=1.0)
    raise NotFound(Reason.FILE_NOT_FOUND, f"recording {recording.recording_id} has no file")

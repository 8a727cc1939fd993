"""`GET|HEAD /v1/files/{id}` and `/v3/files/{id}`: finished files for those whose token opens them."""

import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from functools import partial
from typing import Protocol
from uuid import UUID

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from recorder_service.domain.options import FileFormat
from recorder_service.domain.recording import Recording, RecordingFile, RecordingState
from recorder_service.errors import Damaged, NotFound, Reason, RecorderError
from recorder_service.http.authorisation import Authorisation
from recorder_service.http.body import BodySource, DownloadMeter, FileBody
from recorder_service.http.preconditions import Precondition, Validators, evaluate, range_applies
from recorder_service.http.problems import SAFE_HEADERS
from recorder_service.http.ranges import ByteRange, RangeVerdict, requested_range
from recorder_service.http.slots import DownloadSlots

CONTENT_TYPES = {FileFormat.MP3: "audio/mpeg", FileFormat.WAV: "audio/wav"}
FILE_PATHS = ("/v1/files/{file_id:path}", "/v3/files/{file_id:path}")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_REMOVED = {RecordingState.DELETED, RecordingState.EXPIRED}


class FileCatalog(Protocol):
    """Knows which recording a file belongs to."""

    async def by_file(self, file_id: UUID, application_id: UUID | None, /) -> Recording:
        """Find a recording by its file, among those of one application, or (None) among all.

        Raises:
            NotFound: FILE_NOT_FOUND: there is none, or it is another application's.
        """


class StoredFiles(Protocol):
    """Holds the files themselves."""

    async def open(self, key: str, /, *, offset: int, length: int) -> AsyncGenerator[bytes, None]:
        """Give exactly `length` bytes in chunks, or end with an error.

        Raises:
            NotFound: The store has no such file; like the others also raised by the generator.
            Damaged: It is shorter than that.
            Unavailable: The store is away.
        """


@dataclass(frozen=True, slots=True)
class DownloadLimits:
    """Bounds for downloads.

    Attributes:
        total: Downloads at once.
        per_application: Downloads at once for one application.
        stall_s: How long a client may take nothing before its connection is cut.
        retry_after_s: What a refused client is told.
    """

    total: int = 64
    per_application: int = 32
    stall_s: float = 60
    retry_after_s: float = 5


class Downloads:
    """Serves files.

    The token comes first, then the path it is limited to, then the look-up, which already filters by application:
    whoever has no right to a file gets the very answer that a missing file gives.
    """

    def __init__(
        self,
        authorisation: Authorisation,
        catalog: FileCatalog,
        store: StoredFiles,
        meter: DownloadMeter,
        limits: DownloadLimits,
    ) -> None:
        self._authorisation = authorisation
        self._catalog = catalog
        self._store = store
        self._meter = meter
        self._stall_s = limits.stall_s
        self._slots = DownloadSlots(limits.total, limits.per_application, retry_after_s=limits.retry_after_s)

    @property
    def running(self) -> int:
        """Bodies that are being sent now."""
        return self._slots.taken

    def routes(self) -> list[Route]:
        """Give the routes; the whole rest of the path is the id, so that any spelling meets the same checks."""
        return [Route(path, self.serve, methods=["GET"]) for path in FILE_PATHS]

    async def serve(self, request: Request) -> Response:
        """Answer a GET or HEAD request for a file.

        Raises:
            Unauthenticated: No good token.
            Forbidden: NOT_PERMITTED: the token is limited to other paths.
            NotFound: FILE_NOT_FOUND (404) or, for a file of one's own that was removed, FILE_EXPIRED (410).
            HTTPException: 412 or 416: a condition or the range of the request cannot be met.
        """
        owner = await self._authorisation.check(request)
        recording, file = await self._find(request.path_params["file_id"], owner)
        validators = Validators.of(file.sha256, recording.available_time or recording.end_time or recording.start_time)
        headers = _headers(validators)
        precondition = evaluate(request.headers, validators)
        if precondition is Precondition.NOT_MODIFIED:
            return Response(None, 304, headers)
        if precondition is Precondition.FAILED:
            raise HTTPException(412, headers=headers)
        wanted = _part(request, file, validators)
        if wanted is RangeVerdict.UNSATISFIABLE:
            raise HTTPException(416, headers={"Accept-Ranges": "bytes", "Content-Range": f"bytes */{file.size_bytes}"})
        part = wanted if isinstance(wanted, ByteRange) else ByteRange(0, file.size_bytes)
        headers |= {"Content-Type": CONTENT_TYPES[file.format], "Content-Length": str(part.size_bytes)}
        headers["Content-Disposition"] = f'attachment; filename="{file.file_id}.{file.format.value}"'
        if request.method == "HEAD":
            return Response(None, 200, headers)
        if isinstance(wanted, ByteRange):
            headers["Content-Range"] = part.content_range(file.size_bytes)
        return self._body(file, part, owner, headers)

    async def _find(self, file_id: str, owner: UUID | None) -> tuple[Recording, RecordingFile]:
        if _UUID.fullmatch(file_id) is None:
            raise _not_found()
        try:
            recording = await self._catalog.by_file(UUID(file_id), owner)
        except NotFound:
            raise _not_found() from None
        if recording.state in _REMOVED:
            raise NotFound(Reason.FILE_EXPIRED, "the file was deleted, or its retention has ended")
        if recording.state is not RecordingState.AVAILABLE or recording.file is None:
            raise _not_found()
        return recording, recording.file

    def _body(self, file: RecordingFile, part: ByteRange, owner: UUID | None, headers: dict[str, str]) -> FileBody:
        source = BodySource(
            open=partial(self._store.open, file.object_key, offset=part.start, length=part.size_bytes),
            missing=partial(self._missing, file, owner),
            slot=partial(self._slots.take, owner),
            size_bytes=part.size_bytes,
            sha256=file.sha256 if part.size_bytes == file.size_bytes else None,
            name=file.object_key,
        )
        status = 206 if "Content-Range" in headers else 200
        return FileBody(source, self._meter, stall_s=self._stall_s, status_code=status, headers=headers)

    async def _missing(self, file: RecordingFile, owner: UUID | None) -> RecorderError:
        # Removed since the look-up? Then say so; otherwise the catalog promises what the store has lost.
        try:
            await self._find(str(file.file_id), owner)
        except NotFound as error:
            return error
        return Damaged(Reason.DAMAGED, f"the store has no {file.object_key}, which the catalog names")


def _part(request: Request, file: RecordingFile, validators: Validators) -> ByteRange | RangeVerdict:
    # RFC 9110, 14.2: ranges are defined for GET alone.
    if request.method != "GET" or not range_applies(request.headers, validators):
        return RangeVerdict.WHOLE
    return requested_range(request.headers.getlist("range"), file.size_bytes)


def _headers(validators: Validators) -> dict[str, str]:
    return SAFE_HEADERS | {
        "Accept-Ranges": "bytes",
        "ETag": validators.etag,
        "Last-Modified": validators.http_date,
    }


def _not_found() -> NotFound:
    """One text for missing, foreign, malformed and unfinished: the bodies are equal to the byte."""
    return NotFound(Reason.FILE_NOT_FOUND, "there is no such file for this token")

"""A download site for tests: a real server on loopback, a real directory store, and a catalog and tokens in memory."""

import asyncio
import hashlib
import http.client
import json
import os
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from recorder_service.access.principal import ADMIN, Principal, parse_acl
from recorder_service.domain.options import EncoderOptions, FileFormat, RecordOptions
from recorder_service.domain.recording import Recording, RecordingFile, RecordingKind, RecordingState
from recorder_service.errors import NotFound, Reason, Unauthenticated
from recorder_service.http.app import create_public_app
from recorder_service.http.authorisation import Authorisation
from recorder_service.http.body import DownloadOutcome
from recorder_service.http.conversations import Conversations
from recorder_service.http.downloads import DownloadLimits, Downloads
from recorder_service.http.server import HttpServer, ServerLimits
from recorder_service.storage.directory import DirectoryStore

APPLICATION_A = UUID("aaaaaaaa-0000-4000-8000-000000000001")
APPLICATION_B = UUID("bbbbbbbb-0000-4000-8000-000000000002")
AVAILABLE = datetime(2026, 11, 22, 9, 0, 0, 123456, tzinfo=UTC)
SMALL_BYTES = 300_001
LARGE_BYTES = 12 << 20


class Tokens:
    """Knows a few fixed tokens."""

    def __init__(self) -> None:
        self.principals = {
            "Bearer a": Principal(APPLICATION_A),
            "Bearer b": Principal(APPLICATION_B),
            "Bearer admin": ADMIN,
            "Bearer a-files": Principal(APPLICATION_A, rules=parse_acl({"paths": {"/*/files/**": {}}})),
            "Bearer a-get": Principal(APPLICATION_A, rules=parse_acl({"paths": {"/*/files/**": {"methods": ["GET"]}}})),
            "Bearer a-users": Principal(APPLICATION_A, rules=parse_acl({"paths": {"/*/users/**": {}}})),
            "Bearer nobody": Principal(None),
        }

    async def verify(self, authorization: str | None) -> Principal:
        if authorization is None:
            raise Unauthenticated(Reason.MISSING_TOKEN, "send a token")
        try:
            return self.principals[authorization]
        except KeyError:
            raise Unauthenticated(Reason.INVALID_TOKEN, "the token is no good") from None


class Catalog:
    """Holds recordings by file id, and filters by application as the real one does."""

    def __init__(self) -> None:
        self.recordings: dict[UUID, Recording] = {}
        self.asked = 0
        self.broken = False

    async def by_file(self, file_id: UUID, application_id: UUID | None) -> Recording:
        self.asked += 1
        if self.broken:
            raise RuntimeError("secret of the catalog")
        recording = self.recordings.get(file_id)
        if recording is None or application_id not in {None, recording.application_id}:
            raise NotFound(Reason.FILE_NOT_FOUND, f"no file {file_id} of application {application_id}")
        return recording

    def set_state(self, file_id: UUID, state: RecordingState) -> None:
        self.recordings[file_id] = replace(self.recordings[file_id], state=state)


class Meter:
    """Adds up."""

    def __init__(self) -> None:
        self.sent_bytes = 0
        self.outcomes: Counter[DownloadOutcome] = Counter()

    def sent(self, size_bytes: int) -> None:
        self.sent_bytes += size_bytes

    def ended(self, outcome: DownloadOutcome) -> None:
        self.outcomes[outcome] += 1


class WatchedStore(DirectoryStore):
    """The directory store, counting the bodies that are open."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.open_bodies = 0
        self.most_open_bodies = 0

    async def open(self, key: str, *, offset: int, length: int) -> AsyncGenerator[bytes, None]:
        return self._counted(await super().open(key, offset=offset, length=length))

    async def _counted(self, body: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        self.open_bodies += 1
        self.most_open_bodies = max(self.most_open_bodies, self.open_bodies)
        try:
            async for chunk in body:
                yield chunk
        finally:
            self.open_bodies -= 1


@dataclass(frozen=True)
class Answer:
    """A whole HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        assert self.headers["content-type"] == "application/problem+json"
        problem: dict[str, Any] = json.loads(self.body)
        return problem


@dataclass
class Site:
    """A running site and its parts."""

    root: Path
    store: WatchedStore
    catalog: Catalog
    meter: Meter
    downloads: Downloads
    server: HttpServer

    async def get(
        self, path: str, token: str | None = "a", method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send one request on a connection of its own."""
        sent = dict(headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        return await asyncio.to_thread(_exchange, self.server.port, method, path, sent)

    async def connect(self, path: str, token: str = "a") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Send a GET request and leave the response unread; the client's buffer is small."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port, limit=16 * 1024)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        await writer.drain()
        return reader, writer

    async def add(
        self, data: bytes, application_id: UUID = APPLICATION_A, file_format: FileFormat = FileFormat.MP3
    ) -> RecordingFile:
        """Store a file and note it in the catalog."""
        file_id = uuid4()
        key = f"{application_id}/2026/11/22/{file_id}.{file_format.value}"
        digest = hashlib.sha256(data).hexdigest()
        file = RecordingFile(file_id, key, file_format, 1, 32, len(data) // 4, len(data), digest)
        await self.store.store(key, _spooled(self.root, data), size_bytes=len(data), sha256=digest)
        self.catalog.recordings[file_id] = Recording(
            recording_id=uuid4(),
            application_id=application_id,
            conversation_id="CON-1",
            kind=RecordingKind.CALL,
            state=RecordingState.AVAILABLE,
            options=RecordOptions(),
            encoder=EncoderOptions(),
            start_time=AVAILABLE,
            available_time=AVAILABLE,
            file=file,
        )
        return file

    def path_of(self, file: RecordingFile) -> Path:
        """Where the store keeps a file."""
        return self.root / "store" / file.object_key

    async def settled(self) -> None:
        """Wait until no download runs any more."""
        await until(lambda: not self.downloads.running and not self.store.open_bodies)


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Drop a client's connection as it is."""
    writer.transport.abort()
    with suppress(OSError):
        await writer.wait_closed()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens on its own; five seconds at most."""
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError("it did not happen in 5 s")


@asynccontextmanager
async def running_site(
    root: Path, limits: DownloadLimits | None = None, server_limits: ServerLimits | None = None
) -> AsyncIterator[Site]:
    """Run a site on a free port."""
    store, catalog, meter = WatchedStore(root / "store"), Catalog(), Meter()
    await store.check()
    authorisation = Authorisation(Tokens())
    downloads = Downloads(authorisation, catalog, store, meter, limits or DownloadLimits())
    server = HttpServer(
        create_public_app(downloads, Conversations(authorisation)), "127.0.0.1", 0, limits=server_limits
    )
    async with server:
        yield Site(root, store, catalog, meter, downloads, server)
    await store.aclose()


def _exchange(port: int, method: str, path: str, headers: Mapping[str, str]) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, headers=dict(headers))
        response = connection.getresponse()
        body = response.read()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, body)
    finally:
        connection.close()


def _spooled(root: Path, data: bytes) -> Path:
    path = root / f"spool-{os.urandom(8).hex()}"
    path.write_bytes(data)
    return path

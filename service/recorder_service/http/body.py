"""The body of a download: from the store to the client, at the pace of the slower one."""

import asyncio
import contextlib
import enum
import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import NoReturn, Protocol

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from recorder_service.errors import Damaged, NotFound, Reason, RecorderError

ABORT_EXTENSION = "recorder.abort"

log = structlog.get_logger(__name__)

OpenBody = Callable[[], Awaitable[AsyncGenerator[bytes, None]]]
Slot = Callable[[], contextlib.AbstractContextManager[None]]


class DownloadOutcome(enum.Enum):
    """How a download ended.

    `REFUSED`: no body was begun, the store or the room said no. `BROKEN`: the stored body ended early or could not be
    read on. `STALLED`: the client took nothing for too long.
    """

    COMPLETE = "complete"
    DISCONNECTED = "disconnected"
    STALLED = "stalled"
    BROKEN = "broken"
    REFUSED = "refused"


class DownloadMeter(Protocol):
    """Counts downloads, for metrics."""

    def sent(self, size_bytes: int) -> None:
        """Count bytes of a body handed to the connection."""

    def ended(self, outcome: DownloadOutcome) -> None:
        """Count a download that was begun or refused; called once for each."""


@dataclass(frozen=True, slots=True)
class BodySource:
    """Where a body comes from.

    Attributes:
        open: Opens the stored bytes; they are exactly `size_bytes` or end with an error.
        missing: Says what to tell the client when the store has no such file.
        slot: Holds the room for one download.
        size_bytes: Length of the body.
        sha256: What all of it must hash to, lower-case hex; None where it is a part of a file.
        name: Names the file in the log.
    """

    open: OpenBody
    missing: Callable[[], Awaitable[RecorderError]]
    slot: Slot
    size_bytes: int
    sha256: str | None
    name: str


class FileBody(Response):
    """Stream a stored file, and break the connection rather than end a body that is not the one promised.

    A body is checked on its way: its length always, its hash where it is the whole file. The last chunk is only sent
    when both are right, so that no client takes a damaged file for a good one.

    The first chunk is read before the status is sent, so that a store that is away becomes a problem response. After
    that a failure can only be told by ending the connection short of `Content-Length`.
    """

    def __init__(
        self, source: BodySource, meter: DownloadMeter, *, stall_s: float, status_code: int, headers: Mapping[str, str]
    ) -> None:
        super().__init__(None, status_code, headers)
        self.headers["Content-Length"] = str(source.size_bytes)
        self._source = source
        self._meter = meter
        self._stall_s = stall_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the body.

        Raises:
            RecorderError: Nothing was sent yet: the room is full, the store is away, the file is damaged.
            ConnectionAbortedError: The body broke off and the server offers no way to cut the connection quietly.
        """
        outcome = DownloadOutcome.REFUSED
        try:
            async with contextlib.AsyncExitStack() as held:
                held.enter_context(self._source.slot())
                first, stream = await self._begin(held)
                # From here on an end that is not named was the client's or the server's doing.
                outcome = DownloadOutcome.DISCONNECTED
                outcome = await self._send_all(first, stream, receive, send)
        finally:
            self._meter.ended(outcome)
        if outcome in {DownloadOutcome.BROKEN, DownloadOutcome.STALLED}:
            await _break_connection(scope, outcome)

    async def _begin(self, held: contextlib.AsyncExitStack) -> tuple[bytes, AsyncGenerator[bytes, None]]:
        try:
            stream = await held.enter_async_context(aclosing(await self._source.open()))
            return await anext(stream, b""), stream
        except NotFound:
            raise await self._source.missing() from None

    async def _send_all(
        self, first: bytes, stream: AsyncGenerator[bytes, None], receive: Receive, send: Send
    ) -> DownloadOutcome:
        gone = asyncio.create_task(_disconnected(receive), name="download-disconnect")
        check = _BodyCheck(self._source.size_bytes, self._source.sha256)
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        try:
            await self._bounded(send(start))
            chunk = first
            while chunk and not gone.done():
                await check.admit(chunk)
                await self._bounded(send({"type": "http.response.body", "body": chunk, "more_body": True}))
                self._meter.sent(len(chunk))
                chunk = await anext(stream, b"")
            if gone.done():
                return DownloadOutcome.DISCONNECTED
            check.finish()
            await self._bounded(send({"type": "http.response.body", "body": b"", "more_body": False}))
        except RecorderError as error:
            log.error(  # noqa: TRY400 - the message says it all
                "download_broke_off", object_key=self._source.name, reason=error.reason.value, error=error.message
            )
            return DownloadOutcome.BROKEN
        except TimeoutError:
            return DownloadOutcome.STALLED
        else:
            return DownloadOutcome.COMPLETE if not gone.done() else DownloadOutcome.DISCONNECTED
        finally:
            gone.cancel()
            await asyncio.wait({gone})

    async def _bounded(self, sending: Awaitable[None]) -> None:
        async with asyncio.timeout(self._stall_s):
            await sending


class _BodyCheck:
    """Follow a body chunk by chunk; the chunk that completes it is admitted only when all of it is right."""

    def __init__(self, size_bytes: int, sha256: str | None) -> None:
        self._size_bytes = size_bytes
        self._sha256 = sha256
        self._digest = hashlib.sha256()
        self._seen_bytes = 0

    async def admit(self, chunk: bytes) -> None:
        """Hash the chunk in a worker thread (most of the cost of a download); raise `Damaged` unless it may be sent."""
        self._seen_bytes += len(chunk)
        if self._seen_bytes > self._size_bytes:
            self._refuse_length()
        if self._sha256 is None:
            return
        await asyncio.to_thread(self._digest.update, chunk)
        if self._seen_bytes == self._size_bytes and self._digest.hexdigest() != self._sha256:
            raise Damaged(Reason.DAMAGED, "its SHA-256 is not the one recorded")

    def finish(self) -> None:
        """Raise `Damaged` unless the body is whole."""
        if self._seen_bytes != self._size_bytes:
            self._refuse_length()

    def _refuse_length(self) -> NoReturn:
        raise Damaged(Reason.DAMAGED, f"the store gave {self._seen_bytes} bytes instead of {self._size_bytes}")


async def _disconnected(receive: Receive) -> None:
    """Return when the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _break_connection(scope: Scope, outcome: DownloadOutcome) -> None:
    abort = scope.get("extensions", {}).get(ABORT_EXTENSION)
    if abort is None:
        raise ConnectionAbortedError(f"download {outcome.value}")
    abort()
    # The server learns of the lost connection in the loop's next turn, before this task ends without a whole response.
    await asyncio.sleep(0)

"""An application's side of a webhook: an HTTP server on loopback that keeps what it is sent."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_READ_S = 10.0
_MAX_BODY_BYTES = 1_000_000
STATUS = 200
"""What every webhook is answered with."""


@dataclass(frozen=True, slots=True)
class Received:
    """One webhook.

    Attributes:
        authorization: Its `Authorization` header; empty where there was none.
        body: Its body as it came.
        time_s: When it was there, on the monotonic clock.
    """

    authorization: str
    body: bytes
    time_s: float


class WebhookReceiver:
    """Keeps the webhooks that arrive.

    Attributes:
        url: Where to send them.
    """

    def __init__(self) -> None:
        self.url = ""
        self._received: asyncio.Queue[Received] = asyncio.Queue(64)

    async def next(self) -> Received:
        """Wait for the next webhook."""
        return await self._received.get()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one request and answer 200."""
        try:
            async with asyncio.timeout(_READ_S):
                headers = _headers(await reader.readuntil(b"\r\n\r\n"))
                size_bytes = min(int(headers.get("content-length", "0")), _MAX_BODY_BYTES)
                body = await reader.readexactly(size_bytes)
                await self._received.put(Received(headers.get("authorization", ""), body, time.monotonic()))
                writer.write(_ANSWER)
                await writer.drain()
        except (TimeoutError, ValueError, asyncio.IncompleteReadError, ConnectionError):
            # Not a webhook: the connection is closed without an answer.
            return
        finally:
            writer.close()


@asynccontextmanager
async def receiving() -> AsyncIterator[WebhookReceiver]:
    """Listen on a free port of loopback until the block is left."""
    receiver = WebhookReceiver()
    server = await asyncio.start_server(receiver.answer, "127.0.0.1", 0)
    receiver.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/webhooks/record"
    async with server:
        yield receiver


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    pairs = (line.partition(":") for line in lines if line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}

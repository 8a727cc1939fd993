"""What the bridges over WebSocket share: accepting senders, and reading what they say."""

import asyncio
import http
import json
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK
from websockets.http11 import Request, Response

from recorder_bridges.admission import Admission, Caller
from recorder_bridges.errors import BadMessage, SenderLost
from recorder_bridges.sessions import Limits, guarded, log

Session = Callable[[ServerConnection], Coroutine[Any, Any, None]]

_POLICY_VIOLATION = 1008
_GOODBYE_S = 5.0


class WebSocketServer:
    """Accepts senders, each in a session of its own.

    Args:
        name: Of the bridge, for the log.
        session: Makes the coroutine that serves one sender.
        admission: Who may come in.
        limits: What a sender may use.
        tls: The server's certificate; None means plaintext, as behind a proxy that ends TLS.
    """

    def __init__(
        self, name: str, session: Session, admission: Admission, limits: Limits, tls: ssl.SSLContext | None = None
    ) -> None:
        self._name, self._session, self._admission, self._limits = name, session, admission, limits
        self._tls = tls
        self._places = asyncio.Semaphore(limits.connections)
        self._server: Server | None = None

    async def listen(self, host: str, port: int) -> int:
        """Begin; gives the port, which is a free one for 0."""
        third_s = self._limits.idle_s / 3
        self._server = await serve(
            self._accept,
            host,
            port,
            process_request=self._check,
            max_size=self._limits.message_bytes,
            open_timeout=self._limits.handshake_s,
            close_timeout=_GOODBYE_S,
            ping_interval=third_s,
            ping_timeout=third_s,
            compression=None,
            ssl=self._tls,
            server_header=None,
        )
        return int(next(iter(self._server.sockets)).getsockname()[1])

    async def stop(self) -> None:
        """Accept no more, and close what is open."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _check(self, connection: ServerConnection, request: Request) -> Response | None:
        address = str((connection.remote_address or ("",))[0])
        caller = Caller(address, request.path, dict(request.headers.raw_items()))
        if (refusal := self._admission.refusal(caller)) is not None:
            log.warning("%s: %s was turned away: %s", self._name, address, refusal)
            return connection.respond(http.HTTPStatus.FORBIDDEN, "not allowed\n")
        if self._places.locked():
            log.warning("%s: full, %d senders are here", self._name, self._limits.connections)
            return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "full\n")
        return None

    async def _accept(self, connection: ServerConnection) -> None:
        async def refuse(why: str) -> None:
            await connection.close(_POLICY_VIOLATION, why)

        async with self._places:
            await guarded(f"{self._name} {connection.id}", self._session(connection), refuse)


async def first_object(connection: ServerConnection, timeout_s: float) -> dict[str, Any]:
    """Read the first message, which is a JSON object.

    Raises:
        BadMessage: If it is something else.
        SenderLost: If the connection ended before.
        TimeoutError: If none came.
    """
    try:
        async with asyncio.timeout(timeout_s):
            message = await connection.recv()
    except ConnectionClosed:
        raise SenderLost("the connection ended before anything was said") from None
    if not isinstance(message, str):
        raise BadMessage("the first message is not text")
    return parse(message)


async def messages(connection: ServerConnection) -> AsyncIterator[str | bytes]:
    """Give what comes until the sender closes in order.

    Raises:
        SenderLost: If the connection broke.
    """
    while True:
        try:
            message = await connection.recv()
        except ConnectionClosedOK:
            return
        except ConnectionClosed as error:
            code = error.rcvd.code if error.rcvd is not None else None
            raise SenderLost(f"the connection broke, close code {code}") from None
        yield message


def parse(message: str) -> dict[str, Any]:
    """Read a text message.

    Raises:
        BadMessage: If it is no JSON object.
    """
    try:
        found = json.loads(message)
    except (ValueError, RecursionError):
        raise BadMessage("a text message that is not JSON") from None
    if not isinstance(found, dict):
        raise BadMessage("a text message that is not a JSON object")
    return found

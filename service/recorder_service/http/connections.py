"""Connections that cannot be held open for nothing: uvicorn's HTTP/1.1 protocol with deadlines."""

import asyncio
from functools import partial
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from recorder_service.http.body import ABORT_EXTENSION
from recorder_service.http.problems import status_response


class BoundedConnection(H11Protocol):
    """One connection of a client.

    While no response is being made, the client has `head_timeout_s` from its first byte (or from the connection, if
    none comes) to send a whole request head: uvicorn alone would wait forever. After an idle keep-alive connection is
    closed, the client has `linger_s` to take what is still buffered. Applications find a way to cut the connection in
    the scope, under `extensions`.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        head_timeout_s: float,
        linger_s: float,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._head_timeout_s = head_timeout_s
        self._linger_s = linger_s
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the wait for the first request."""
        super().connection_made(transport)
        self.app = partial(self._respond, self.app)
        self._cut_after(self._head_timeout_s)

    def data_received(self, data: bytes) -> None:
        """Take bytes; a request that begins must be whole in time."""
        super().data_received(data)
        if self._responding():
            self._forget_deadline()
        elif self._deadline is None:
            self._cut_after(self._head_timeout_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all waiting."""
        self._forget_deadline()
        super().connection_lost(exc)

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; cut it when its last bytes are not taken either."""
        super().timeout_keep_alive_handler()
        self._forget_deadline()
        self._cut_after(self._linger_s)

    async def _respond(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("extensions", {})[ABORT_EXTENSION] = self.transport.abort
        # uvicorn bounds a head only while it is incomplete; a long one that comes at once gets here.
        bound = self.config.h11_max_incomplete_event_size
        if bound is not None and _head_size(scope) > bound:
            await status_response(431, {"Connection": "close"})(scope, receive, send)
        else:
            await app(scope, receive, send)

    def _responding(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _cut_after(self, seconds: float) -> None:
        self._deadline = self.loop.call_later(seconds, self.transport.abort)

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _head_size(scope: Scope) -> int:
    fields = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
    return len(scope["raw_path"]) + len(scope["query_string"]) + fields

"""An HTTP server inside the running event loop."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Self, cast

import uvicorn
from starlette.types import ASGIApp

from recorder_service.errors import Reason, StartupError
from recorder_service.http.connections import BoundedConnection
from recorder_service.http.tls import TlsFiles


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Bounds for connections.

    Attributes:
        head_bytes: Longest request line and headers together.
        head_timeout_s: Longest wait for a whole request head.
        idle_timeout_s: How long a connection may stay open between requests.
        linger_s: How long a closed connection may take to fetch its last bytes.
        connections: Connections at once; further ones are answered with 503.
        grace_s: How long running responses may go on after a stop.
    """

    head_bytes: int = 16 * 1024
    head_timeout_s: float = 10
    idle_timeout_s: int = 15
    linger_s: float = 60
    connections: int = 1000
    grace_s: float = 20


class HttpServer:
    """Serve an application on one address, as an asynchronous context manager.

    The port is known after `bind`, before anything is served; connections wait until then. No signal handler is
    installed: whoever owns the process decides when to stop.
    """

    def __init__(
        self,
        application: ASGIApp,
        host: str,
        port: int,
        *,
        limits: ServerLimits | None = None,
        tls: TlsFiles | None = None,
        shared: bool = False,
    ) -> None:
        """Take what to serve and where; nothing is opened before `bind`.

        Args:
            application: An ASGI application without lifespan events.
            host: Address to listen on, IPv4 or IPv6.
            port: 0 takes a free one.
            limits: Bounds for connections.
            tls: Speak HTTPS.
            shared: Let other processes of this user listen on the same port; the system spreads connections.
        """
        self._shared = shared
        self._application = application
        self._host = host
        self._port = port
        self._limits = limits or ServerLimits()
        self._tls = tls
        self._socket: socket.socket | None = None
        self._server: _Server | None = None
        self._running: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port it listens on; before `bind`, the one asked for."""
        return self._port

    def bind(self) -> int:
        """Open the listening socket and return its port.

        Raises:
            StartupError: INVALID_CONFIGURATION: the address cannot be taken.
        """
        if self._socket is None:
            try:
                self._socket = _listening_socket(self._host, self._port, shared=self._shared)
            except (OSError, OverflowError) as error:
                raise StartupError(
                    Reason.INVALID_CONFIGURATION,
                    f"HTTP address {self._host} port {self._port} cannot be taken ({error}): "
                    f"end what uses it, or choose another",
                    details={"field": "http.port", "value": str(self._port)},
                ) from error
            self._port = self._socket.getsockname()[1]
        return self._port

    async def start(self) -> None:
        """Bind if that is not done yet, and serve; returns once requests are answered.

        Raises:
            StartupError: INVALID_CONFIGURATION: the address cannot be taken, or the TLS files cannot be used.
        """
        self.bind()
        try:
            self._server = _Server(self._config())
        except StartupError:
            self._close_socket()
            raise
        self._running = asyncio.create_task(self._server.serve(sockets=[self._listener()]), name="http-server")
        ready = asyncio.create_task(self._server.ready.wait())
        try:
            await asyncio.wait({self._running, ready}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self.stop(grace_s=0)
            raise
        finally:
            ready.cancel()
        if self._running.done():
            self._close_socket()
            await self._running

    async def stop(self, grace_s: float | None = None) -> None:
        """Take no more connections, let running responses end, and cut those that last longer than the grace time.

        Args:
            grace_s: Overrules the limit given at construction.
        """
        if self._server is None or self._running is None:
            self._close_socket()
            return
        self._server.end()
        try:
            async with asyncio.timeout(self._limits.grace_s if grace_s is None else grace_s):
                await asyncio.shield(self._running)
        except TimeoutError:
            # A cut connection ends its response as if the client had left: nothing has to be cancelled.
            self._server.cut_connections()
            await self._running
        finally:
            self._close_socket()

    async def wait(self) -> None:
        """Wait until the server has ended; raises what ended it, if it was not `stop`."""
        if self._running is not None:
            await asyncio.shield(self._running)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _listener(self) -> socket.socket:
        if self._socket is None:
            raise RuntimeError("bind() comes first")
        return self._socket

    def _close_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _config(self) -> uvicorn.Config:
        limits = self._limits
        connection = partial(BoundedConnection, head_timeout_s=limits.head_timeout_s, linger_s=limits.linger_s)
        context = None if self._tls is None else self._tls.context()
        return uvicorn.Config(
            self._application,
            http=cast("type[asyncio.Protocol]", connection),
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            limit_concurrency=limits.connections,
            timeout_keep_alive=limits.idle_timeout_s,
            h11_max_incomplete_event_size=limits.head_bytes,
            ssl_context_factory=None if context is None else lambda _config, _default: context,
        )


def _listening_socket(host: str, port: int, *, shared: bool) -> socket.socket:
    # With the protocol named: else asyncio leaves TCP_NODELAY off, and each answer waits 40 ms for the client's ACK.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
        listener.listen(256)
    except BaseException:
        listener.close()
        raise
    return listener


class _Server(uvicorn.Server):
    """uvicorn without signal handlers, which wakes up once a second instead of ten times and stops without delay."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self._ending = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the owner of the process."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        await self.on_tick(0)
        self.ready.set()

    async def main_loop(self) -> None:
        """Keep the Date header current until the end."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._ending.wait()

    def end(self) -> None:
        """Begin the graceful stop."""
        self.should_exit = True
        self._ending.set()

    def cut_connections(self) -> None:
        """Drop all connections as they are."""
        connections: list[Any] = list(self.server_state.connections)
        for connection in connections:
            connection.transport.abort()

"""Sending one request to an endpoint nobody vouches for."""

import asyncio
import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import httpcore

from recorder_service.webhooks.addresses import AddressGuard, AddressRefused, ascii_host
from recorder_service.webhooks.answer import Answer, answer_of
from recorder_service.webhooks.request import WebhookRequest

_USER_AGENT = "Recorder/1"


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """Limits on one request.

    Attributes:
        connect_timeout_s: Longest for the lookup and the connection, and again for the TLS handshake.
        total_timeout_s: Longest until the status is there, all told.
        body_timeout_s: Longest that a body is read. The status has decided by then; it is read for politeness.
        max_body_size_bytes: Most of a body that is read.
    """

    connect_timeout_s: float = 5.0
    total_timeout_s: float = 15.0
    body_timeout_s: float = 1.0
    max_body_size_bytes: int = 16 * 1024


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to addresses that the guard has checked; Host, SNI and the certificate stay with the name."""

    def __init__(self, guard: AddressGuard, inner: httpcore.AsyncNetworkBackend | None = None) -> None:
        self._guard = guard
        self._inner = inner or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface is httpcore's
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first checked address that answers.

        Raises:
            AddressRefused: The host may not be connected to.
            httpcore.ConnectError: No address answers.
            httpcore.ConnectTimeout: `timeout` passed, the lookup included.
        """
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._guard.checked_addresses(host, port)
                share_s = None if timeout is None else timeout / len(addresses)
                failure: Exception = httpcore.ConnectError("no address")
                for address in addresses:
                    try:
                        return await self._inner.connect_tcp(str(address), port, share_s, local_address, socket_options)
                    except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                        failure = error
                raise failure
        except TimeoutError as error:
            raise httpcore.ConnectTimeout from error

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await asyncio.sleep(seconds)


class WebhookTransport:
    """Sends requests: every address checked, no redirects, no proxies, no cookies, bounded time and memory.

    Each request has a connection of its own. A kept one may have been closed by the endpoint unnoticed, and the event
    would have to wait for its next attempt.
    """

    def __init__(
        self,
        guard: AddressGuard,
        settings: TransportSettings | None = None,
        ssl_context: ssl.SSLContext | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Open nothing yet.

        Args:
            guard: Decides where connections may go.
            settings: Limits; None means the defaults.
            ssl_context: Which certificates are trusted; None means those the machine trusts.
            clock: For dates in Retry-After.
        """
        self._settings = settings or TransportSettings()
        self._clock = clock
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context or ssl.create_default_context(),
            max_connections=None,
            max_keepalive_connections=0,
            http2=False,
            retries=0,
            network_backend=CheckedBackend(guard),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close what is open."""
        await self._pool.aclose()

    async def send(self, request: WebhookRequest, signature: str) -> Answer:
        """Send a request and return what came of it; failures of the endpoint are answers, not exceptions.

        Args:
            request: What to send.
            signature: Token for the Authorization header.
        """
        total_s = self._settings.total_timeout_s
        try:
            async with asyncio.timeout(total_s) as deadline:
                return await self._exchange(request, signature, deadline)
        except TimeoutError:
            return Answer(error=f"no answer within {total_s:g} s")
        except AddressRefused as error:
            return Answer(error=error.message)
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError, OSError) as error:
            return Answer(error=_describe(error, self._settings))

    async def _exchange(self, request: WebhookRequest, signature: str, deadline: asyncio.Timeout) -> Answer:
        host = ascii_host(request.host)
        url = httpcore.URL(
            scheme=request.scheme.encode("ascii"),
            host=host.encode("ascii"),
            port=request.port,
            target=request.target.encode("ascii"),
        )
        headers = _headers(request, host, signature)
        extensions = {
            "timeout": {"connect": self._settings.connect_timeout_s},
            "sni_hostname": host.removesuffix("."),
        }
        async with self._pool.stream(
            request.method, url, headers=headers, content=request.body or None, extensions=extensions
        ) as response:
            retry_after = {name.lower(): value for name, value in response.headers}.get(b"retry-after")
            answer = answer_of(
                response.status, None if retry_after is None else retry_after.decode("latin-1"), self._clock()
            )
            deadline.reschedule(None)  # the status has decided; reading has a time limit of its own
            await self._read_some(response)
        return answer

    async def _read_some(self, response: httpcore.Response) -> None:
        """Read the body up to the cap, so that an endpoint that is nearly done sees no broken connection."""
        left_bytes = self._settings.max_body_size_bytes
        try:
            async with asyncio.timeout(self._settings.body_timeout_s):
                async for part in response.aiter_stream():
                    left_bytes -= len(part)
                    if left_bytes <= 0:
                        return
        except (TimeoutError, httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
            return


def _headers(request: WebhookRequest, host: str, signature: str) -> list[tuple[bytes, bytes]]:
    name = f"[{host}]" if ":" in host else host
    port = request.port if request.port not in {None, {"https": 443}.get(request.scheme, 80)} else None
    headers = [
        ("Host", name if port is None else f"{name}:{port}"),
        ("User-Agent", _USER_AGENT),
        ("Accept", "*/*"),
        ("Authorization", f"Bearer {signature}"),
    ]
    if request.method == "POST":
        headers += [("Content-Type", "application/json"), ("Content-Length", str(len(request.body)))]
    headers.append(("Connection", "close"))
    return [(key.encode("ascii"), value.encode("ascii")) for key, value in headers]


def _describe(error: Exception, settings: TransportSettings) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the certificate was refused: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return "the TLS handshake failed"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpcore.ConnectTimeout):
        return f"no connection within {settings.connect_timeout_s:g} s"
    if isinstance(error, httpcore.ConnectError):
        return "no connection: refused or not reachable"
    if isinstance(error, httpcore.ProtocolError):
        return "the answer was not HTTP, or the connection ended before it"
    return "the connection broke"

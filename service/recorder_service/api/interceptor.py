"""What happens around every RPC: the token is checked, messages are read, errors become statuses."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

import grpc
import structlog
from google.protobuf.message import DecodeError

from recorder_service.access.principal import Principal
from recorder_service.api.caller import set_caller
from recorder_service.api.relay import CLUSTER_KEY, Handover, RelayedFailure
from recorder_service.api.status import grpc_status
from recorder_service.api.storable_text import check_text
from recorder_service.api.traces import Span, Tracing, Untraced
from recorder_service.errors import (
    BadInput,
    Conflict,
    Elsewhere,
    Forbidden,
    Reason,
    RecorderError,
    Unauthenticated,
)

log = structlog.get_logger(__name__)

# A client that does not read keeps its place on the server no longer than this.
_WRITE_TIMEOUT_S = 60.0
_DROP_TIMEOUT_S = 0.1
_PREFIX = "/recorder.v1."
# What a token's `acl` has to cover, by service.
_ACL_PATHS = {
    "RecorderService": "/v1/calls",
    "RecordingService": "/v1/recordings",
    "EventService": "/v1/events",
    "ApplicationService": "/v1/applications",
    "WebhookService": "/v1/webhooks",
}

if TYPE_CHECKING:
    RpcHandler = grpc.RpcMethodHandler[Any, Any]
    ServerInterceptor = grpc.aio.ServerInterceptor[Any, Any]
else:
    # Generic in the type stubs only.
    RpcHandler = grpc.RpcMethodHandler
    ServerInterceptor = grpc.aio.ServerInterceptor

Parse = Callable[[bytes], Any]
Handler = Callable[..., Any]


class Verifier(Protocol):
    """Finds out who is calling."""

    async def verify(self, authorization_value: str | None) -> Principal:
        """Return who an `authorization` value belongs to."""


class PeerVerifier(Protocol):
    """Finds out for whom another node asks."""

    def verify(self, token: str, method: str) -> Principal:
        """Return who is vouched for."""


class Relay(Protocol):
    """Passes RPCs on to the node that has the recording."""

    async def unary(self, handover: Handover, data: bytes) -> bytes:
        """Pass on one request and return the answer."""

    async def stream(self, handover: Handover, first: bytes, requests: AsyncIterator[bytes], context: Any) -> None:
        """Pass on a stream from its first message on."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """The way to other nodes and from them."""

    peers: PeerVerifier
    relay: Relay


@dataclass(frozen=True, slots=True)
class _Entry:
    """Who asks, and whether another node passed it on: then it is not passed on again."""

    principal: Principal
    relayed: bool


class Interceptor(ServerInterceptor):
    """Stands in front of every RPC of the contract; health and reflection pass untouched.

    Where a handler finds that another node has the recording, and says so by `Elsewhere` before it has answered
    anything, the RPC is passed on to that node as it came.
    """

    def __init__(
        self,
        verifier: Verifier,
        observe: Callable[[str, str, Reason | None], None],
        cluster: Cluster | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        """Check tokens with `verifier`, and report every ended RPC to `observe`.

        Args:
            verifier: Knows callers.
            observe: Told of every RPC that ended: method, code, why it was refused.
            cluster: None where this node reaches no other.
            tracing: Makes spans of RPCs.
        """
        self._tracing = tracing or Untraced()
        self._verifier = verifier
        self._observe = observe
        self._cluster = cluster

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[RpcHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> RpcHandler:
        """Wrap the handler of an RPC."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(_PREFIX):
            return handler
        return self._wrapped(handler, method)

    def _wrapped(self, handler: RpcHandler, method: str) -> RpcHandler:
        parse: Any = handler.request_deserializer
        write = _serializer(handler.response_serializer)
        # Messages are read inside the handler: bytes that are none then get a clear status.
        if handler.request_streaming:
            behavior = self._stream_stream(_behavior(handler.stream_stream), parse, method)
            return grpc.stream_stream_rpc_method_handler(behavior, None, write)
        if handler.response_streaming:
            behavior = self._unary_stream(_behavior(handler.unary_stream), parse, method)
            return grpc.unary_stream_rpc_method_handler(behavior, None, write)
        behavior = self._unary_unary(_behavior(handler.unary_unary), parse, method)
        return grpc.unary_unary_rpc_method_handler(behavior, None, write)

    def _unary_unary(self, inner: Handler, parse: Parse, method: str) -> Handler:
        async def behavior(data: bytes, context: Any) -> Any:
            async def work() -> Any:
                entry = await self._enter(method, context)
                try:
                    return await inner(_parsed(parse, data), context)
                except Elsewhere as owner:
                    return await self._relay(entry, owner).unary(Handover(method, entry.principal, owner), data)

            return await self._guarded(work(), method, context)

        return behavior

    def _unary_stream(self, inner: Handler, parse: Parse, method: str) -> Handler:
        async def behavior(data: bytes, context: Any) -> None:
            async def work() -> None:
                await self._enter(method, context)
                async for message in inner(_parsed(parse, data), context):
                    await _written(context, message)

            await self._guarded(work(), method, context)

        return behavior

    def _stream_stream(self, inner: Handler, parse: Parse, method: str) -> Handler:
        async def behavior(requests: AsyncIterator[bytes], context: Any) -> None:
            async def work() -> None:
                try:
                    entry = await self._enter(method, context)
                    await self._stream(entry, inner, _ParsedStream(parse, requests), method, context)
                except (RecorderError, RelayedFailure):
                    await _drop(requests)
                    raise

            await self._guarded(work(), method, context)

        return behavior

    async def _stream(
        self, entry: _Entry, inner: Handler, requests: "_ParsedStream", method: str, context: Any
    ) -> None:
        try:
            await inner(requests, context)
        except Elsewhere as owner:
            if not requests.opening:
                raise
            relay = self._relay(entry, owner)
            await relay.stream(Handover(method, entry.principal, owner), requests.opening, requests.raw, context)

    def _relay(self, entry: _Entry, owner: Elsewhere) -> Relay:
        """Return what passes the RPC on; a node that is asked by another one, or reaches none, says who is away."""
        if self._cluster is None or entry.relayed:
            raise owner
        return self._cluster.relay

    async def _enter(self, method: str, context: Any) -> _Entry:
        metadata = context.invocation_metadata() or ()
        token = _single(metadata, CLUSTER_KEY)
        if token is not None:
            return self._enter_from_peer(token, method)
        principal = await self._verifier.verify(_single(metadata, "authorization"))
        service, _, name = method.removeprefix(_PREFIX).partition("/")
        if not principal.permits(f"{_ACL_PATHS[service]}/{name}", "POST"):
            message = f"the token's acl does not cover {_ACL_PATHS[service]}/**: mint one that does, or one without acl"
            raise Forbidden(Reason.NOT_PERMITTED, message)
        set_caller(principal)
        return _Entry(principal, relayed=False)

    def _enter_from_peer(self, token: str, method: str) -> _Entry:
        if self._cluster is None:
            message = f"this node takes nothing from other nodes: send no {CLUSTER_KEY} metadata"
            raise Unauthenticated(Reason.INVALID_TOKEN, message)
        principal = self._cluster.peers.verify(token, method)
        set_caller(principal)
        return _Entry(principal, relayed=True)

    async def _guarded(self, work: Awaitable[Any], method: str, context: Any) -> Any:
        service, _, name = method.removeprefix("/").partition("/")
        attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}
        with self._tracing.server(method.removeprefix("/"), attributes, _texts(context)) as span:
            return await self._answered(work, method, context, span)

    async def _answered(self, work: Awaitable[Any], method: str, context: Any, span: Span) -> Any:
        code, reason = "OK", None
        try:
            return await work
        except RecorderError as error:
            status = grpc_status(error)
            code, reason = status.code.name, error.reason
            await context.abort_with_status(status)
        except RelayedFailure as failure:
            code = failure.code.name
            await context.abort(failure.code, failure.details, failure.trailing)
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        except grpc.aio.AbortError:
            code = "ABORTED"
            raise
        except grpc.aio.InternalError as error:
            # What is raised by a write to a client that died; nobody is left to be told anything.
            code = "CANCELLED"
            raise asyncio.CancelledError("the client is gone") from error
        except Exception as error:
            log.exception("rpc_failed", method=method, error_type=type(error).__name__)
            code, reason = "INTERNAL", Reason.INTERNAL
            internal = RecorderError(Reason.INTERNAL, "an internal error occurred; it has been logged")
            await context.abort_with_status(grpc_status(internal))
        finally:
            self._observe(method, code, reason)
            span.note("rpc.grpc.status_code", grpc.StatusCode[code].value[0])
            if code not in {"OK", "CANCELLED"}:
                span.fail(code if reason is None else reason.value)


def _texts(context: Any) -> dict[str, str]:
    """Return the metadata that is text."""
    return {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}


async def _written(context: Any, message: Any) -> None:
    try:
        async with asyncio.timeout(_WRITE_TIMEOUT_S):
            await context.write(message)
    except TimeoutError:
        text = f"nothing was read for {_WRITE_TIMEOUT_S:g} s: come back with the last cursor or offset"
        raise Conflict(Reason.SUBSCRIBER_TOO_SLOW, text) from None


def _behavior(inner: object) -> Any:
    """Take a behaviour as the coroutine it is; the types of grpc know only those of threads."""
    return inner


def _parsed(parse: Parse, data: bytes) -> Any:
    try:
        message = parse(data)
    except DecodeError:
        raise _unreadable(data) from None
    # Most messages hold no zero byte at all. Numbers may, too: then all of it is looked at.
    if b"\0" in data:
        check_text(message)
    return message


def _unreadable(data: bytes) -> BadInput:
    message = "the bytes are not a message of this method: use stubs generated from recorder.v1"
    return BadInput(Reason.INVALID_MESSAGE, message, field="", value=f"{len(data)} bytes")


async def _drop(requests: AsyncIterator[bytes]) -> None:
    """Take in what the client is just writing: a write that meets the status hides it from the client (grpc.aio)."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DROP_TIMEOUT_S):
            while await anext(requests, None) is not None:
                pass


class _ParsedStream:
    """The messages of a stream.

    Attributes:
        opening: The first one as it came, until the second is taken.
        raw: Those that were not taken yet.
    """

    def __init__(self, parse: Parse, raw: AsyncIterator[bytes]) -> None:
        self._parse = parse
        self._next = raw.__anext__
        self.raw = raw
        self.opening: bytes | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        data = await self._next()
        if self.opening is None:
            self.opening = data
            # Those that follow hold no text but ids that are checked where they are looked up.
            return _parsed(self._parse, data)
        # A second message is taken once the first has been answered: nothing is passed on any more.
        self.opening = b""
        try:
            return self._parse(data)
        except DecodeError:
            raise _unreadable(data) from None


def _serializer(write: Callable[[Any], bytes] | None) -> Callable[[Any], bytes] | None:
    """Let messages through that another node has serialized already."""
    return None if write is None else lambda message: message if isinstance(message, bytes) else write(message)


def _single(metadata: Iterable[tuple[str, Any]], key: str) -> str | None:
    """Return the value of a key; one that comes twice, or is no text, counts as none."""
    values = [value for found, value in metadata if found == key]
    return values[0] if len(values) == 1 and isinstance(values[0], str) else None

"""Passing streams on, between real gRPC servers: bytes, statuses, back pressure, and ends from either side."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest

from recorder_service.access.cluster_tokens import ClusterTokens
from recorder_service.access.principal import ADMIN
from recorder_service.api.peers import Peers
from recorder_service.api.relay import CLUSTER_KEY, Handover, Relay, RelayedFailure
from recorder_service.domain.node import Claim, NodeState
from recorder_service.errors import Elsewhere, RecorderError

METHOD = "/test.Owner/Stream"
UNARY = "/test.Owner/Unary"
DETAILS = (("grpc-status-details-bin", b"why"),)
TOKENS = ClusterTokens("s" * 32, lambda: datetime.now(UTC))
MESSAGE = bytes(1024)
Behavior = Callable[[Any, Any], Coroutine[Any, Any, Any]]


@dataclass(slots=True)
class Directory:
    """One node, at the address that the owner has now."""

    address: str = ""
    lease_left_s: float = 60.0

    async def find(self, node_id: str) -> NodeState:
        """Return it."""
        return NodeState(Claim(node_id, 1), self.address, "", self.lease_left_s)


@dataclass(slots=True)
class Owner:
    """What the owner of a recording sees."""

    ended: asyncio.Event = field(default_factory=asyncio.Event)
    reading: asyncio.Event = field(default_factory=asyncio.Event)
    words: list[str] = field(default_factory=list)

    async def stream(self, requests: Any, context: Any) -> None:
        """Send back what comes, once it is let read; `refuse` ends it."""
        self.words.append(str(dict(context.invocation_metadata())[CLUSTER_KEY]))
        try:
            await context.write(b"opened")
            await self.reading.wait()
            async for message in requests:
                if message == b"refuse":
                    await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no", DETAILS)
                await context.write(message)
        finally:
            self.ended.set()

    async def unary(self, request: bytes, context: Any) -> bytes:
        """Send it back, or refuse."""
        if request == b"refuse":
            await context.abort(grpc.StatusCode.ABORTED, "no", DETAILS)
        return request


class Setting:
    """A client, a node that passes on, and the owner."""

    def __init__(self) -> None:
        self.owner, self.directory = Owner(), Directory()
        self.peers = Peers(self.directory, None)
        self.relay = Relay(self.peers, TOKENS, max_streams=2)
        self.owner_server, owner_port = _server(self.owner.stream, self.owner.unary)
        self.front_server, front_port = _server(self._stream, self._unary)
        self.directory.address = f"127.0.0.1:{owner_port}"
        self.channel: Any = grpc.aio.insecure_channel(f"127.0.0.1:{front_port}", options=[("grpc.http2.bdp_probe", 0)])

    async def open(self) -> Any:
        """Open a stream through the relay and wait until the owner has it."""
        call = self.channel.stream_stream(METHOD)()
        await call.write(b"first")
        assert await asyncio.wait_for(call.read(), 20) == b"opened"
        return call

    async def _stream(self, requests: Any, context: Any) -> None:
        first = await anext(requests)
        await _told(context, self.relay.stream(_handover(METHOD), first, requests, context))

    async def _unary(self, request: bytes, context: Any) -> Any:
        return await _told(context, self.relay.unary(_handover(UNARY), request))


@pytest.fixture
async def setting() -> AsyncIterator[Setting]:
    """Both servers run."""
    setting = Setting()
    async with AsyncExitStack() as stack:
        for server in (setting.owner_server, setting.front_server):
            await server.start()
            stack.push_async_callback(server.stop, 0)
        stack.push_async_callback(setting.peers.aclose)
        stack.push_async_callback(setting.channel.close, None)
        yield setting


def _server(stream: Behavior, unary: Behavior) -> tuple[Any, int]:
    server = grpc.aio.server(options=[("grpc.http2.bdp_probe", 0), ("grpc.so_reuseport", 0)])
    behaviors: dict[str, Any] = {
        "Stream": grpc.stream_stream_rpc_method_handler(stream),
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Owner", behaviors),))
    return server, server.add_insecure_port("127.0.0.1:0")


def _handover(method: str) -> Handover:
    return Handover(method, ADMIN, Elsewhere("owner", "away"))


async def _told(context: Any, work: Coroutine[Any, Any, Any]) -> Any:
    try:
        return await work
    except RelayedFailure as failure:
        await context.abort(failure.code, failure.details, failure.trailing)
    except RecorderError as error:
        await context.abort(grpc.StatusCode.UNAVAILABLE, error.reason.name)


async def _end_of(call: Any) -> tuple[grpc.StatusCode, str]:
    async with asyncio.timeout(20):
        while await call.read() is not grpc.aio.EOF:  # type: ignore[attr-defined] # the stubs lack it
            pass
    return await call.code(), await call.details()


async def test_bytes_go_both_ways_as_they_are(setting: Setting) -> None:
    """The first message too, and the word by which the node vouches for the caller."""
    setting.owner.reading.set()
    call = await setting.open()
    assert await call.read() == b"first"
    for index in range(200):
        await call.write(index.to_bytes(2, "big") * 100)
        assert await call.read() == index.to_bytes(2, "big") * 100
    await call.done_writing()
    assert await _end_of(call) == (grpc.StatusCode.OK, "")
    assert TOKENS.verify(setting.owner.words[0], METHOD) == ADMIN
    assert len(setting.relay) == 0


async def test_refusal_comes_back_with_its_details(setting: Setting) -> None:
    """Code, message and the machine-readable part; of streams and of single requests."""
    setting.owner.reading.set()
    call = await setting.open()
    await call.write(b"refuse")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await _end_of(call)
    unary = setting.channel.unary_unary(UNARY)
    assert await unary(b"hello") == b"hello"
    with pytest.raises(grpc.aio.AioRpcError) as single:
        await unary(b"refuse")
    for error, code in ((refused, grpc.StatusCode.FAILED_PRECONDITION), (single, grpc.StatusCode.ABORTED)):
        assert (error.value.code(), error.value.details()) == (code, "no")
        trailing: Any = error.value.trailing_metadata()
        assert DETAILS[0] in tuple(trailing)


async def test_owner_that_does_not_read_slows_the_sender_down(setting: Setting) -> None:
    """Some hundred KB wait between them, not all that a client can send."""
    call = await setting.open()
    sent = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(2):
            while sent < 64 * 1024 * 1024:
                await call.write(MESSAGE)
                sent += len(MESSAGE)
    assert sent < 2 * 1024 * 1024
    call.cancel()
    await asyncio.wait_for(setting.owner.ended.wait(), 20)


async def test_client_that_is_lost_is_lost_for_the_owner(setting: Setting) -> None:
    """Its handler ends, and the place is free again."""
    call = await setting.open()
    call.cancel()
    await asyncio.wait_for(setting.owner.ended.wait(), 20)
    setting.owner.reading.set()
    for _ in range(3):
        again = await setting.open()
        await again.done_writing()
        assert (await _end_of(again))[0] is grpc.StatusCode.OK


async def test_owner_that_is_lost_is_away(setting: Setting) -> None:
    """UNAVAILABLE in the words of the node that passes on, now and at the next try."""
    setting.owner.reading.set()
    call = await setting.open()
    await setting.owner_server.stop(0)
    again = setting.channel.stream_stream(METHOD)()
    await again.write(b"first")
    for lost in (call, again):
        with pytest.raises(grpc.aio.AioRpcError) as away:
            await _end_of(lost)
        assert (away.value.code(), away.value.details()) == (grpc.StatusCode.UNAVAILABLE, "OWNER_AWAY")


async def test_owner_without_lease_is_not_even_asked(setting: Setting) -> None:
    """Nor one that listens for no other nodes."""
    for lease_left_s, address in ((-1.0, setting.directory.address), (60.0, "")):
        setting.directory.lease_left_s, setting.directory.address = lease_left_s, address
        with pytest.raises(grpc.aio.AioRpcError) as away:
            await setting.channel.unary_unary(UNARY)(b"hello")
        assert away.value.details() == "OWNER_AWAY"
    assert setting.owner.words == []


async def test_no_more_streams_than_allowed_are_passed_on(setting: Setting) -> None:
    """The third of two is refused at once."""
    calls = [await setting.open() for _ in range(2)]
    third = setting.channel.stream_stream(METHOD)()
    await third.write(b"first")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await _end_of(third)
    assert refused.value.details() == "OVERLOADED"
    for call in calls:
        call.cancel()


async def test_draining_ends_what_is_passed_on(setting: Setting) -> None:
    """The client may resume elsewhere."""
    call = await setting.open()
    setting.relay.drain()
    with pytest.raises(grpc.aio.AioRpcError) as drained:
        await _end_of(call)
    assert drained.value.details() == "DRAINING"
    await asyncio.wait_for(setting.owner.ended.wait(), 20)

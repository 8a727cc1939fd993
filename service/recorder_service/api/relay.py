"""Passing an RPC on to the node that has the recording: the same bytes there, the same bytes back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import grpc

from recorder_service.access.principal import Principal
from recorder_service.errors import Elsewhere, Overloaded, Reason, Unavailable

# Metadata in which one node vouches to another for a caller.
CLUSTER_KEY = "recorder-cluster"
_DETAILS_KEY = "grpc-status-details-bin"
_UNARY_TIMEOUT_S = 20.0
_LAST_WRITES_S = 1.0
_RETRY_AFTER_S = 1.0


class Channels(Protocol):
    """Channels to the other nodes."""

    async def channel(self, owner: Elsewhere) -> grpc.aio.Channel:
        """Return a channel to the owner; raises `owner` if it is away."""


class Minter(Protocol):
    """Vouches for callers."""

    def mint(self, principal: Principal, method: str) -> str:
        """Vouch for a caller of one method."""


@dataclass(frozen=True, slots=True)
class Handover:
    """An RPC that is another node's: which, for whom, and whose."""

    method: str
    principal: Principal
    owner: Elsewhere


class RelayedFailure(Exception):
    """The owner refused; the caller gets its status as it is.

    Attributes:
        code: Of the owner.
        details: Its message.
        trailing: Its machine-readable details.
    """

    def __init__(self, code: grpc.StatusCode, details: str, trailing: Sequence[tuple[str, Any]]) -> None:
        super().__init__(details)
        self.code = code
        self.details = details
        self.trailing = tuple(trailing)


class Relay:
    """Passes RPCs on. A stream holds one message each way; who reads slowly slows the other side down.

    A line that breaks on one side is broken on the other: the caller sees UNAVAILABLE and resumes, the owner sees a
    lost stream and waits for it.
    """

    def __init__(self, channels: Channels, minter: Minter, *, max_streams: int) -> None:
        """Pass on over `channels`, as vouched for by `minter`, at most `max_streams` streams at once."""
        self._channels = channels
        self._minter = minter
        self._max_streams = max_streams
        self._streams = 0
        self._draining = asyncio.Event()

    def __len__(self) -> int:
        """Count the streams that run."""
        return self._streams

    def drain(self) -> None:
        """End every stream, so that its client resumes on a node that stays."""
        self._draining.set()

    async def unary(self, handover: Handover, data: bytes) -> bytes:
        """Pass on one request and return the answer.

        Raises:
            Elsewhere: `owner`, which cannot be reached.
            RelayedFailure: It refused.
        """
        channel: Any = await self._channels.channel(handover.owner)
        call = channel.unary_unary(handover.method)
        try:
            answer: bytes = await call(data, metadata=self._metadata(handover), timeout=_UNARY_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise _failure(error, handover.owner) from None
        return answer

    async def stream(self, handover: Handover, first: bytes, requests: AsyncIterator[bytes], context: Any) -> None:
        """Pass on a stream from its first message to its end.

        Raises:
            Elsewhere: `owner`, which cannot be reached or is lost on the way.
            Overloaded: As many streams as are allowed are passed on.
            RelayedFailure: The owner ended it with an error.
            Unavailable: DRAINING.
        """
        if self._streams >= self._max_streams:
            message = f"{self._max_streams} streams are passed on to other nodes, as many as are allowed: resume again"
            raise Overloaded(Reason.OVERLOADED, message, retry_after_s=_RETRY_AFTER_S)
        self._streams += 1
        try:
            channel: Any = await self._channels.channel(handover.owner)
            call = channel.stream_stream(handover.method)(metadata=self._metadata(handover))
            await self._exchange(call, first, requests, context)
        except grpc.aio.AioRpcError as error:
            raise _failure(error, handover.owner) from None
        finally:
            self._streams -= 1

    async def _exchange(self, call: Any, first: bytes, requests: AsyncIterator[bytes], context: Any) -> None:
        there = asyncio.create_task(_carry_there(call, first, requests))
        back = asyncio.create_task(_carry_back(call, context))
        draining = asyncio.create_task(self._draining.wait())
        try:
            await asyncio.wait((back, draining), return_when=asyncio.FIRST_COMPLETED)
            if not back.done():
                message = "the server is going down: resume elsewhere"
                raise Unavailable(Reason.DRAINING, message, retry_after_s=_RETRY_AFTER_S)
            back.result()
            # Ending the RPC while the client is still writing would cost it what it has not read yet (grpc.aio).
            await asyncio.wait((there,), timeout=_LAST_WRITES_S)
        finally:
            call.cancel()
            for task in (there, back, draining):
                task.cancel()
            await asyncio.gather(there, back, draining, return_exceptions=True)

    def _metadata(self, handover: Handover) -> tuple[tuple[str, str], ...]:
        return ((CLUSTER_KEY, self._minter.mint(handover.principal, handover.method)),)


async def _carry_there(call: Any, first: bytes, requests: AsyncIterator[bytes]) -> None:
    # A call that has ended says why to whoever reads.
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        await call.write(first)
        async for data in requests:
            await call.write(data)
        await call.done_writing()


async def _carry_back(call: Any, context: Any) -> None:
    while isinstance(data := await call.read(), bytes):
        await context.write(data)


def _failure(error: grpc.aio.AioRpcError, owner: Elsewhere) -> Exception:
    """Tell a refusal of the owner from an owner that was not reached: only the former says why."""
    metadata: Iterable[tuple[str, Any]] = error.trailing_metadata() or ()  # type: ignore[assignment] # wrong in the stubs
    trailing = [(key, value) for key, value in metadata if key == _DETAILS_KEY]
    if not trailing and error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}:
        return owner
    return RelayedFailure(error.code(), error.details() or "", trailing)

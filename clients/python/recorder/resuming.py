"""A stream that is opened, lost, resumed and replayed until it is finished: of a call or of a conference."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import grpc

from recorder.backlog import Backlog, Numbered
from recorder.backoff import Backoff
from recorder.errors import RecorderError, from_rpc_error, unavailable

RequestT = TypeVar("RequestT", bound=Numbered)
ResponseT = TypeVar("ResponseT", bound=Any)

_ANSWER_S = 10.0
_GOODBYE_S = 1.0


@dataclass(frozen=True, slots=True)
class CallSettings:
    """How a call, or a stream of a conference, is sent.

    Attributes:
        message_ms: Media time in one message, 1 to 5000: longer costs less, shorter loses less when the client dies.
        ack_interval_ms: Longest wait for an acknowledgement, 50 to 10000.
        buffer_bytes: What may wait for acknowledgement; `write` waits while it is exceeded.
        connect_for_s: How long to go on trying to reach the server before the recording was opened.
        reconnect_for_s: How long to go on trying after the line broke.
    """

    message_ms: int = 100
    ack_interval_ms: int = 500
    buffer_bytes: int = 8 * 1024 * 1024
    connect_for_s: float = 5.0
    reconnect_for_s: float = 120.0


class ResumingLine(ABC, Generic[RequestT, ResponseT]):
    """Sends what is in the backlog over one stream after another, and hands on what the server says.

    Attributes:
        closing: Set once the end was asked for: the line then stays with a server that is going down.
    """

    def __init__(
        self,
        settings: CallSettings,
        backlog: Backlog[RequestT],
        open_stream: Callable[[], Any],
        response_type: type[ResponseT],
        *,
        on_message: Callable[[ResponseT], None],
    ) -> None:
        """Prepare a line; nothing is sent before `run`.

        Args:
            settings: How to send.
            backlog: What to send.
            open_stream: Starts the RPC, with a fresh token, on every try.
            response_type: What the server sends; anything else is the stream's end.
            on_message: Is given every message but acknowledgements.
        """
        self.closing = False
        self._settings = settings
        self._backlog = backlog
        self._open_stream = open_stream
        self._response_type = response_type
        self._on_message = on_message
        self._reconnecting = Backoff(settings.reconnect_for_s)

    async def run(self) -> None:
        """Hold the line until it is finished.

        Raises:
            RecorderError: If the server refused it, or could not be reached for too long.
        """
        connecting = Backoff(self._settings.connect_for_s)
        while not self.finished:
            try:
                await self._connect()
            except RecorderError as error:
                if not await self._settle(error):
                    await (self._reconnecting if self.begun else connecting).wait(error)

    @property
    @abstractmethod
    def begun(self) -> bool:
        """Whether the server has answered an opening."""

    @property
    @abstractmethod
    def finished(self) -> bool:
        """Whether everything was said."""

    @abstractmethod
    def _opening(self) -> RequestT:
        """Make the request that opens a stream."""

    @abstractmethod
    def _accept(self, answer: ResponseT) -> int:
        """Take the answer to the opening and give the sequence that the server expects."""

    @abstractmethod
    def _take(self, message: ResponseT) -> None:
        """Take a message."""

    @abstractmethod
    async def _settle(self, error: RecorderError) -> bool:
        """Say whether an error was the line's end rather than a reason to try again."""

    async def _connect(self) -> None:
        """Hold one stream until the line is finished or the stream breaks."""
        stream = self._open_stream()
        try:
            await self._converse(stream)
        except TimeoutError:
            raise unavailable(f"the server did not answer within {_ANSWER_S:.0f} s") from None
        except asyncio.InvalidStateError:
            # The RPC ended while being written to: its status says why.
            raise from_rpc_error(await _status(stream)) from None
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None
        finally:
            stream.cancel()

    async def _converse(self, stream: Any) -> None:
        async with asyncio.timeout(_ANSWER_S):
            await stream.write(self._opening())
            answer = await stream.read()
        if not isinstance(answer, self._response_type):
            raise unavailable("the server ended the stream before it answered")
        if not answer.HasField("opened"):
            raise RecorderError("INVALID_MESSAGE", f"the server answered `open` with {answer.WhichOneof('payload')}")
        expected = self._accept(answer)
        self._reconnecting.succeeded()
        self._on_message(answer)
        # What was acknowledged is gone here. If damage took it there, the server goes on without it.
        sender = asyncio.create_task(self._replay(stream, max(expected, self._backlog.first_sequence)))
        try:
            await self._receive(stream)
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    def _check_expected(self, expected: int, identity: str) -> None:
        first, after_last = self._backlog.first_sequence, self._backlog.next_sequence
        if expected > after_last:
            raise RecorderError(
                "SEQUENCE_GAP",
                f"the server expects message {expected} of {identity}, but {first} to {after_last} are at hand; does "
                "another client write to it?",
                status="OUT_OF_RANGE",
            )

    async def _replay(self, stream: Any, sequence: int) -> None:
        try:
            while True:
                await stream.write(await self._backlog.get(sequence))
                sequence += 1
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            # The stream broke; whoever reads it learns why.
            return

    async def _receive(self, stream: Any) -> None:
        while isinstance(message := await stream.read(), self._response_type):
            if message.HasField("ack"):
                self._backlog.acknowledge(message.ack.sequence)
                continue
            self._take(message)
            if self.finished:
                await self._part(stream)
                return
        raise unavailable("the server ended the stream before everything was said")

    async def _part(self, stream: Any) -> None:
        """Let a stream end by itself; nothing depends on it any more."""
        try:
            async with asyncio.timeout(_GOODBYE_S):
                await stream.done_writing()
                while isinstance(await stream.read(), self._response_type):
                    pass
        except (TimeoutError, grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return


async def _status(stream: Any) -> grpc.aio.AioRpcError:
    """Give the status of an RPC that has ended, as the error that reading it would raise."""
    return grpc.aio.AioRpcError(
        await stream.code(),
        await stream.initial_metadata(),
        await stream.trailing_metadata(),
        details=await stream.details(),
        debug_error_string=None,
    )

"""What the streams of calls and of conferences have in common: opening, reading and writing at once, and their end."""

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import Any, Generic, Protocol, TypeVar

from google.protobuf.duration_pb2 import Duration

from recorder.v1 import media_pb2
from recorder_service.api.requests import timedelta_of
from recorder_service.api.rounds import Inbox, Rounds
from recorder_service.domain.event import KeyPress
from recorder_service.errors import BadInput, Conflict, Overloaded, Reason, RecorderError
from recorder_service.sessions.intake import AudioChunk
from recorder_service.sessions.key_presses import DIGITS
from recorder_service.sessions.notices import Outlet

_OPEN_TIMEOUT_S = 30.0
_LAST_WRITES_S = 1.0
# Acknowledgements merge while one waits to be sent, and a client's window holds thousands of them: one that has left no
# room for so long does not read, and so can drop nothing of what it has sent.
_UNREAD_S = 10.0
_ACK_INTERVAL_S = (0.05, 10.0)
_MAX_DTMF_MS = 60_000


class Source(Protocol):
    """What a stream feeds: a live call, or a conference."""

    @property
    def next_sequence(self) -> int:
        """The request that is due."""

    def congested(self) -> bool:
        """Whether the sender should wait in `room`."""

    @property
    def over(self) -> bool:
        """Whether nothing more is expected of the stream."""

    async def room(self) -> None:
        """Wait until the sender may go on."""

    def receive_audio(self, sequence: int, chunks: Sequence[AudioChunk]) -> None:
        """Take the audio of one message."""

    def attach(self, outlet: Outlet, ack_interval_s: float) -> None:
        """Take the way back."""

    def detach(self, outlet: Outlet) -> None:
        """Learn that the stream is gone."""

    def check_frame(self, frame: int, field: str) -> None:
        """Refuse a position in recording frames that cannot be meant."""


RequestT = TypeVar("RequestT", bound=Any)
ResponseT = TypeVar("ResponseT", bound=Any)
WrittenT_co = TypeVar("WrittenT_co", bound=Any, covariant=True)
OpeningT = TypeVar("OpeningT", bound=Any)
SourceT = TypeVar("SourceT", bound=Source)


class Writer(Outlet, Protocol[WrittenT_co]):
    """The way back, as the stream's writer sees it."""

    async def next(self) -> WrittenT_co:
        """Wait for the next message."""


class RecordingStream(ABC, Generic[RequestT, ResponseT, OpeningT, SourceT]):
    """Reads and writes one stream. What it feeds lives on when the stream is lost."""

    last_payload: str
    """The response after which the stream ends."""

    def __init__(self, outlet: Writer[ResponseT], context: Any, default_ack_interval_s: float, rounds: Rounds) -> None:
        """Serve the stream of `context`.

        Args:
            outlet: The way back.
            context: Of the RPC.
            default_ack_interval_s: For streams that do not ask for another one.
            rounds: Where audio waits for that of others.
        """
        self._rounds = rounds
        self._outlet = outlet
        self._context = context
        self._default_ack_interval_s = default_ack_interval_s

    async def run(self, requests: AsyncIterator[RequestT]) -> None:
        """Serve until the last message is sent or the stream ends.

        Raises:
            BadInput: A message is wrong; what is fed waits for the stream to be resumed.
            Conflict: CLOSE_EXPECTED, SEQUENCE_GAP or STREAM_REPLACED.
            Overloaded: WINDOW_EXCEEDED, the client does not read.
        """
        opening, sequence = await self._opening(requests)
        ack_interval_s = self._ack_interval_s(opening)
        source, warnings = await self.open(opening, sequence)
        source.attach(self._outlet, ack_interval_s)
        try:
            async with asyncio.timeout(_OPEN_TIMEOUT_S):
                await self._context.write(self.opened(source, warnings))
            await self._exchange(source, requests)
        finally:
            source.detach(self._outlet)

    @abstractmethod
    async def open(self, opening: OpeningT, sequence: int) -> tuple[SourceT, tuple[str, ...]]:
        """Return what the stream feeds, and warnings for the client."""

    @abstractmethod
    def opened(self, source: SourceT, warnings: tuple[str, ...]) -> ResponseT:
        """Return the answer to `open`."""

    @abstractmethod
    async def take(self, source: SourceT, request: RequestT) -> None:
        """Do what a request asks for that is not audio."""

    async def _opening(self, requests: AsyncIterator[RequestT]) -> tuple[OpeningT, int]:
        try:
            async with asyncio.timeout(_OPEN_TIMEOUT_S):
                first = await anext(requests, None)
        except TimeoutError:
            first = None
        kind = None if first is None else first.WhichOneof("payload")
        if first is None or kind != "open":
            message = "the first message of a stream must be `open`, saying what to record"
            raise BadInput(Reason.OPEN_EXPECTED, message, field="payload", value=kind or "nothing")
        return first.open, first.sequence

    async def _exchange(self, source: SourceT, requests: AsyncIterator[RequestT]) -> None:
        """Read and write at once. The reader's end without `close` ends the stream; so does the writer's end."""
        failed: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        inbox = self._inbox(source, failed)
        reader = asyncio.create_task(self._read(source, requests, inbox))
        writer = asyncio.create_task(self._write())
        try:
            await asyncio.wait((reader, writer, failed), return_when=asyncio.FIRST_COMPLETED)
            if failed.done():
                raise failed.result()
            if reader.done():
                reader.result()
                # The end was asked for: what is left to say takes as long as finishing takes.
                await writer
            else:
                writer.result()
                # Ending the RPC while the client is still writing would cost it what it has not read yet (grpc.aio).
                await asyncio.wait((reader,), timeout=_LAST_WRITES_S)
        except asyncio.CancelledError:
            # The line was cut: what came over it before that is recorded.
            with contextlib.suppress(RecorderError):
                inbox.empty()
            raise
        finally:
            inbox.drop()
            for task in (reader, writer):
                task.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)
            failed.cancel()

    def _inbox(self, source: SourceT, failed: asyncio.Future[Exception]) -> Inbox[RequestT]:
        def take(request: RequestT) -> None:
            source.receive_audio(request.sequence, request.audio.chunks)

        def fail(error: Exception) -> None:
            if not failed.done():
                failed.set_result(error)

        return Inbox(self._rounds, take, fail)

    async def _read(self, source: SourceT, requests: AsyncIterator[RequestT], inbox: Inbox[RequestT]) -> None:
        async for request in requests:
            kind = request.WhichOneof("payload")
            if kind == "audio":
                # Nearly every message: not even a coroutine is made for it.
                inbox.put(request)
            else:
                inbox.empty()
                await self.take(source, request)
                if kind == "close":
                    return
            # What is kept of it is taken out: waiting streams must not hold a message each.
            del request
            if source.congested():
                inbox.empty()
                await source.room()
        inbox.empty()
        if not source.over:
            # A lost client looks the same from here (grpc.aio); then nobody hears this.
            raise Conflict(
                Reason.CLOSE_EXPECTED,
                "the stream ended without `close`: send `close` at hang-up; until the resume window ends the recording "
                "can be gone on with by `open.resume`",
                details={"next_sequence": str(source.next_sequence)},
            )

    async def _write(self) -> None:
        while True:
            message = await self._outlet.next()
            try:
                async with asyncio.timeout(_UNREAD_S):
                    await self._context.write(message)
            except TimeoutError:
                raise _unread() from None
            if message.WhichOneof("payload") == self.last_payload:
                return

    def _ack_interval_s(self, opening: OpeningT) -> float:
        if not opening.HasField("ack_interval"):
            return self._default_ack_interval_s
        asked: Duration = opening.ack_interval
        interval_s = timedelta_of(asked, "open.ack_interval").total_seconds()
        least, most = _ACK_INTERVAL_S
        if not least <= interval_s <= most:
            message = f"open.ack_interval is {interval_s:g} s but must be {least:g} s to {most:g} s"
            raise BadInput(Reason.INVALID_FIELD, message, field="open.ack_interval", value=interval_s)
        return interval_s


def _unread() -> Overloaded:
    message = (
        f"the client has left no room for a response for {_UNREAD_S:.0f} s: read acknowledgements while sending; the "
        "recording can be gone on with by `open.resume`"
    )
    return Overloaded(Reason.WINDOW_EXCEEDED, message, retry_after_s=0)


def optional_frame(
    source: Source, message: media_pb2.Pause | media_pb2.Resume | media_pb2.Stop | media_pb2.Close, field: str
) -> int | None:
    """Read an optional position in recording frames."""
    if not message.HasField("frame"):
        return None
    source.check_frame(message.frame, field)
    return message.frame


def key_press(dtmf: media_pb2.Dtmf) -> KeyPress:
    """Read a key press; its frame stays as it is sent.

    Raises:
        BadInput: INVALID_FIELD.
    """
    if len(dtmf.digit) != 1 or dtmf.digit not in DIGITS:
        message = "dtmf.digit must be one of 0-9, *, #, A-D"
        raise BadInput(Reason.INVALID_FIELD, message, field="dtmf.digit", value="(not shown)")
    duration_ms = None
    if dtmf.HasField("duration"):
        duration_ms = round(timedelta_of(dtmf.duration, "dtmf.duration").total_seconds() * 1000)
        if not 0 <= duration_ms <= _MAX_DTMF_MS:
            message = f"dtmf.duration is {duration_ms} ms but must be 0 to {_MAX_DTMF_MS}"
            raise BadInput(Reason.INVALID_FIELD, message, field="dtmf.duration", value=duration_ms)
    return KeyPress(dtmf.leg_id, dtmf.digit, dtmf.frame, duration_ms)

"""Sending over a line that resumes: audio, key presses and control in, the server's messages out."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from types import TracebackType
from typing import Generic, Self

from recorder.backlog import Backlog
from recorder.packing import Packer
from recorder.resuming import CallSettings, RequestT, ResponseT, ResumingLine
from recorder.v1.media_pb2 import Control, Dtmf, Pause, Resume, Stop
from recorder.v1.recording_pb2 import Leg, PauseMode

_UNREAD_MESSAGES = 1024
_PARTING_S = 2.0


class Sending(ABC, Generic[RequestT, ResponseT]):
    """What a call and a stream of a conference have in common.

    Leaving the block hangs up, if that was not done before. Leaving it by an exception does not: what was written has
    two more seconds to become durable, and the stream is interrupted; it waits for the server's resume window.
    """

    def __init__(self, request: Callable[..., RequestT], legs: Iterable[Leg], settings: CallSettings) -> None:
        """Prepare; nothing is sent before the block is entered. `request` makes a request of one payload."""
        known = list(legs)
        self._request = request
        self._message_s = settings.message_ms / 1000
        self._packer = Packer(known, settings.message_ms)
        self._backlog: Backlog[RequestT] = Backlog(settings.buffer_bytes, on_acknowledged=self._note_durable)
        self._durable_frames = {leg.leg_id: 0 for leg in known}
        self._messages: asyncio.Queue[ResponseT | None] = asyncio.Queue(_UNREAD_MESSAGES)
        self._flush_timer: asyncio.TimerHandle | None = None
        self._failure: BaseException | None = None
        self._ready = asyncio.Event()
        self._done = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    @abstractmethod
    def _lifeline(self) -> ResumingLine[RequestT, ResponseT]:
        """The line that all of it goes over."""

    @property
    @abstractmethod
    def _over(self) -> bool:
        """Whether there is nothing left to hang up."""

    @abstractmethod
    async def close(self) -> None:
        """Hang up, and wait until that is durable."""

    @property
    def durable_frames(self) -> Mapping[str, int]:
        """What is safe: by leg, the end of the furthest audio that the server has on disk, in the leg's own rate.

        It never decreases. It stays where it is once the recording has stopped: then the recording tells what was kept.
        """
        return dict(self._durable_frames)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._lifeline.run(), name=type(self).__name__)
        self._task.add_done_callback(self._finished)
        try:
            await self._ready.wait()
            self._check()
        except BaseException:
            await self._leave()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                await self._hang_up()
            elif error is not None and isinstance(error, Exception):
                await self._save()
        finally:
            await self._leave()

    def __aiter__(self) -> AsyncIterator[ResponseT]:
        return self.events()

    async def events(self) -> AsyncIterator[ResponseT]:
        """Give the server's messages except acknowledgements, until the stream has ended.

        Raises:
            RecorderError: If it failed for good.
        """
        while (message := await self._messages.get()) is not None:
            yield message
        self._check()

    async def write(self, payloads: Mapping[str, bytes], frames: Mapping[str, int] | None = None) -> None:
        """Write one or more legs' audio, of any length; waits while too much is unacknowledged.

        Args:
            payloads: Encoded samples by leg.
            frames: Position of the first sample by leg, in the leg's own rate since position 0, from the media clock.
                A leg that is not named goes on where its last chunk ended.

        Raises:
            RecorderError: If it failed for good.
            ValueError: If a leg is unknown or a payload is not a whole number of frames.
        """
        start_frames = dict(frames or {})
        queues = {leg_id: self._packer.pieces(leg_id, payload) for leg_id, payload in payloads.items()}
        while queues:
            for leg_id in list(queues):
                if (piece := next(queues[leg_id], None)) is None:
                    del queues[leg_id]
                else:
                    self._packer.add(leg_id, piece, start_frames.pop(leg_id, None))
            await self._pack()

    async def dtmf(self, leg_id: str, digit: str, frame: int | None = None, duration_ms: int | None = None) -> None:
        """Tell of a key press, by default where the leg's audio stands."""
        key = Dtmf(leg_id=leg_id, digit=digit, frame=self._packer.position(leg_id) if frame is None else frame)
        if duration_ms is not None:
            key.duration.FromMilliseconds(duration_ms)
        await self._send(self._request(dtmf=key))

    async def pause(self, mode: PauseMode.ValueType | None = None, frame: int | None = None) -> None:
        """Stop keeping audio, from `frame` (16 kHz) or from now."""
        await self._send(self._request(control=Control(pause=Pause(mode=mode, frame=frame))))

    async def resume(self, frame: int | None = None) -> None:
        """Keep audio again, from `frame` (16 kHz) or from now."""
        await self._send(self._request(control=Control(resume=Resume(frame=frame))))

    async def stop(self, frame: int | None = None) -> None:
        """End the recording at `frame` (16 kHz) or at the last audio."""
        await self._send(self._request(control=Control(stop=Stop(frame=frame))))

    async def durable(self) -> None:
        """Wait until everything written so far is on the server's disk, or the recording has stopped.

        Raises:
            RecorderError: If it failed for good.
        """
        self._flush()
        await self._backlog.acknowledged()
        self._check()

    async def _hang_up(self) -> None:
        if self._failure is None and not self._over and not self._lifeline.closing:
            await self.close()

    async def _save(self) -> None:
        """Give what was written a little time to become durable; a caller that failed does not wait for long."""
        self._flush()
        try:
            async with asyncio.timeout(_PARTING_S):
                await self._backlog.acknowledged()
        except TimeoutError:
            return

    async def _pack(self) -> None:
        if self._packer.due:
            self._flush()
        elif not self._packer.empty and self._flush_timer is None:
            # Audio that stays alone must not wait for more: the recording may end with it.
            self._flush_timer = asyncio.get_running_loop().call_later(self._message_s, self._flush)
        await self._backlog.room()
        self._check()

    def _flush(self) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        if not self._packer.empty:
            self._backlog.add(self._request(audio=self._packer.take()))

    async def _send(self, request: RequestT) -> None:
        self._check()
        self._flush()
        self._backlog.add(request)
        await self._backlog.room()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _note_durable(self, request: RequestT) -> None:
        for chunk in request.audio.chunks:
            end_frame = self._packer.end_frame(chunk)
            self._durable_frames[chunk.leg_id] = max(self._durable_frames.get(chunk.leg_id, 0), end_frame)

    def _keep(self, message: ResponseT | None) -> None:
        if self._messages.full():
            self._messages.get_nowait()
        self._messages.put_nowait(message)
        self._ready.set()

    def _finished(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self._failure = task.exception()
        self._backlog.close()
        self._keep(None)
        self._done.set()

    async def _leave(self) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

"""Feeding a conference: legs that come and go, audio, key presses and control in, the server's messages out."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Any, Self

from recorder.backlog import Backlog
from recorder.errors import RecorderError, unavailable
from recorder.packing import Packer
from recorder.resuming import CallSettings, ResumingLine
from recorder.v1.media_pb2 import Control, Dtmf, Pause, Resume, Stop
from recorder.v1.recorder_service_pb2 import (
    CloseConference,
    ConferenceEnded,
    ConferenceOpened,
    JoinConference,
    JoinLeg,
    LeaveLeg,
    MuteLeg,
    OpenConference,
    RecordConferenceRequest,
    RecordConferenceResponse,
    ResumeConference,
)
from recorder.v1.recording_pb2 import Leg, PauseMode, Recording

_UNREAD_MESSAGES = 1024
_GONE = "STREAM_NOT_FOUND"


class ConferenceLine(ResumingLine[RecordConferenceRequest, RecordConferenceResponse]):
    """The line of one stream of a conference.

    Attributes:
        opened: The answer to the newest opening; None until there is one.
        ended: The server's last message; None until then.
        recordings: Those of the conference that were completed while the stream was there, in their last state.
    """

    def __init__(
        self,
        join: JoinConference,
        settings: CallSettings,
        backlog: Backlog[RecordConferenceRequest],
        open_stream: Callable[[], Any],
        *,
        on_message: Callable[[RecordConferenceResponse], None],
    ) -> None:
        """Prepare a line; nothing is sent before `run`. `join` holds a stream id."""
        super().__init__(settings, backlog, open_stream, RecordConferenceResponse, on_message=on_message)
        self.opened: ConferenceOpened | None = None
        self.ended: ConferenceEnded | None = None
        self.recordings: list[Recording] = []
        self._join = join

    @property
    def begun(self) -> bool:
        """Whether the server has answered an opening."""
        return self.opened is not None

    @property
    def finished(self) -> bool:
        """Whether the server said its last word."""
        return self.ended is not None

    async def _settle(self, error: RecorderError) -> bool:
        if not self.closing or error.reason != _GONE:
            return False
        # It was closed, and the word of it got lost with the line.
        self._take(RecordConferenceResponse(ended=ConferenceEnded()))
        return True

    def _opening(self) -> RecordConferenceRequest:
        if self.opened is None:
            request = RecordConferenceRequest(sequence=1, open=OpenConference(join=self._join))
        else:
            resume = ResumeConference(stream_id=self._join.stream_id)
            request = RecordConferenceRequest(open=OpenConference(resume=resume))
        request.open.ack_interval.FromMilliseconds(self._settings.ack_interval_ms)
        return request

    def _accept(self, answer: RecordConferenceResponse) -> int:
        self._check_expected(answer.opened.next_sequence, self._join.stream_id)
        self.opened = answer.opened
        return answer.opened.next_sequence

    def _take(self, message: RecordConferenceResponse) -> None:
        if message.HasField("completed"):
            self.recordings.append(message.completed.recording)
        elif message.HasField("ended"):
            self.ended = message.ended
            self._backlog.close()
        self._on_message(message)
        if message.HasField("drain") and not self.closing:
            wait_s = message.drain.retry_after.ToMilliseconds() / 1000
            raise unavailable("the server is going down", retry_after_s=wait_s)


class Conference:
    """One stream of a conference. Use it as `async with`: entering waits until the server has let the stream in.

    A line that breaks is taken up again by itself, and what is not acknowledged is sent again. Leaving the block
    without `close` leaves the stream interrupted: after the server's resume window its legs leave the conference.

    Iterating gives the server's messages except acknowledgements, until the stream has ended. Reading them is
    optional; only the newest 1024 are kept for a reader.
    """

    def __init__(self, join: JoinConference, settings: CallSettings, open_stream: Callable[[], Any]) -> None:
        """Prepare a stream; nothing is sent before the block is entered. Made by `Client.record_conference`."""
        self.stream_id = join.stream_id
        self._message_s = settings.message_ms / 1000
        self._packer = Packer([member.leg for member in join.legs], settings.message_ms)
        self._backlog: Backlog[RecordConferenceRequest] = Backlog(settings.buffer_bytes)
        self._line = ConferenceLine(join, settings, self._backlog, open_stream, on_message=self._keep)
        self._messages: asyncio.Queue[RecordConferenceResponse | None] = asyncio.Queue(_UNREAD_MESSAGES)
        self._flush_timer: asyncio.TimerHandle | None = None
        self._failure: BaseException | None = None
        self._ready = asyncio.Event()
        self._done = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def opened(self) -> ConferenceOpened | None:
        """The server's answer to the newest opening."""
        return self._line.opened

    @property
    def recordings(self) -> tuple[Recording, ...]:
        """The recordings that were completed so far."""
        return tuple(self._line.recordings)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._line.run(), name=f"conference {self.stream_id}")
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
        await self._leave()

    async def __aiter__(self) -> AsyncIterator[RecordConferenceResponse]:
        while (message := await self._messages.get()) is not None:
            yield message
        self._check()

    async def join(self, leg: Leg, frame: int | None = None, **how: bool) -> None:
        """Let a leg join.

        Args:
            leg: The leg; its role is left out.
            frame: Where, in its own rate since the stream's position 0; None means now. What is written of it then
                begins there, or, without a frame, where `write` says.
            **how: `start_on_enter`, `end_on_exit`, `muted`.
        """
        await self._send(RecordConferenceRequest(join_leg=JoinLeg(leg=leg, frame=frame, **how)))
        self._packer.add_leg(leg, frame or 0)

    async def leave(self, leg_id: str, frame: int | None = None) -> None:
        """Let a leg leave, by default after its last audio.

        Raises:
            ValueError: If the leg is unknown.
        """
        self._flush()
        self._packer.remove_leg(leg_id)
        await self._send(RecordConferenceRequest(leave_leg=LeaveLeg(leg_id=leg_id, frame=frame)))

    async def mute(self, leg_id: str, frame: int | None = None, *, muted: bool = True) -> None:
        """Mute or unmute a leg, by default after its last audio."""
        await self._send(RecordConferenceRequest(mute_leg=MuteLeg(leg_id=leg_id, muted=muted, frame=frame)))

    async def write(self, payloads: Mapping[str, bytes], frames: Mapping[str, int] | None = None) -> None:
        """Write one or more legs' audio, of any length; waits while too much is unacknowledged.

        Args:
            payloads: Encoded samples by leg.
            frames: Position of the first sample by leg, in the leg's own rate since the stream's position 0, from the
                media clock. A leg that is not named goes on where its last chunk ended.

        Raises:
            RecorderError: If the stream failed for good.
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
        await self._send(RecordConferenceRequest(dtmf=key))

    async def pause(self, mode: PauseMode.ValueType | None = None, frame: int | None = None) -> None:
        """Stop keeping audio of everybody, from a recording frame or from now."""
        await self._send(RecordConferenceRequest(control=Control(pause=Pause(mode=mode, frame=frame))))

    async def resume(self, frame: int | None = None) -> None:
        """Keep audio again, from a recording frame or from now."""
        await self._send(RecordConferenceRequest(control=Control(resume=Resume(frame=frame))))

    async def stop(self, frame: int | None = None) -> None:
        """End the recording that runs, at a recording frame or at the last audio; the conference goes on."""
        await self._send(RecordConferenceRequest(control=Control(stop=Stop(frame=frame))))

    async def close(self) -> None:
        """Let all legs of this stream leave, and wait until that is durable."""
        self._line.closing = True
        await self._send(RecordConferenceRequest(close=CloseConference()))
        await self._backlog.acknowledged()
        self._check()

    async def ended(self) -> ConferenceEnded:
        """Wait for the stream's end: it was closed, or the conference has ended.

        Raises:
            RecorderError: If the stream failed for good.
        """
        await self._done.wait()
        self._check()
        if self._line.ended is None:
            raise unavailable("the stream was left before it ended")
        return self._line.ended

    async def _pack(self) -> None:
        if self._packer.due:
            self._flush()
        elif not self._packer.empty and self._flush_timer is None:
            # Audio that stays alone must not wait for more.
            self._flush_timer = asyncio.get_running_loop().call_later(self._message_s, self._flush)
        await self._backlog.room()
        self._check()

    def _flush(self) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        if not self._packer.empty:
            self._backlog.add(RecordConferenceRequest(audio=self._packer.take()))

    async def _send(self, request: RecordConferenceRequest) -> None:
        self._check()
        self._flush()
        self._backlog.add(request)
        await self._backlog.room()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _keep(self, message: RecordConferenceResponse | None) -> None:
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

"""Recording one call: audio, key presses and control in, the server's messages out."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Self

from recorder.backlog import Backlog
from recorder.errors import unavailable
from recorder.line import CallSettings, GetRecording, Line, OpenStream
from recorder.packing import Packer
from recorder.v1.media_pb2 import Close, Control, Dtmf, Opened, Pause, Resume, Stop, Stopped
from recorder.v1.recorder_service_pb2 import RecordCallRequest, RecordCallResponse, StartCall
from recorder.v1.recording_pb2 import PauseMode, Recording

_UNREAD_MESSAGES = 1024
_PARTING_S = 2.0


class Call:
    """A recording that runs. Use it as `async with`: entering waits until the recording exists.

    A line that breaks is taken up again by itself, and what is not acknowledged is sent again. Leaving the block hangs
    up, if that was not done before. Leaving it by an exception does not: what was written has two more seconds to
    become durable, and the recording is interrupted. It waits for the server's resume window and is then finished.

    `events` gives the server's messages except acknowledgements, until the recording is completed. Reading them is
    optional; only the newest 1024 are kept for a reader.
    """

    def __init__(
        self, start: StartCall, settings: CallSettings, open_stream: OpenStream, get_recording: GetRecording
    ) -> None:
        """Prepare a call; nothing is sent before the block is entered. Made by `Client.record_call`."""
        self.recording_id = start.recording_id
        self._message_s = settings.message_ms / 1000
        if not start.legs:
            raise ValueError("legs is empty; give at least the caller's")
        self._packer = Packer(start.legs, settings.message_ms)
        self._backlog: Backlog[RecordCallRequest] = Backlog(settings.buffer_bytes, on_acknowledged=self._note_durable)
        self._durable_frames = {leg.leg_id: 0 for leg in start.legs}
        self._line = Line(start, settings, self._backlog, open_stream, get_recording, on_message=self._keep)
        self._messages: asyncio.Queue[RecordCallResponse | None] = asyncio.Queue(_UNREAD_MESSAGES)
        self._flush_timer: asyncio.TimerHandle | None = None
        self._failure: BaseException | None = None
        self._ready = asyncio.Event()
        self._done = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def opened(self) -> Opened | None:
        """The server's answer to the newest opening: the options in force, and warnings."""
        return self._line.opened

    @property
    def stopped(self) -> Stopped | None:
        """What ended the recording; None while it runs. From then on what is written is dropped."""
        return self._line.stopped

    @property
    def durable_frames(self) -> Mapping[str, int]:
        """What is safe: by leg, the end of the furthest audio that the server has on disk, in the leg's own rate.

        It never decreases. It stays where it is once the recording has stopped: then `completed` tells what was kept.
        """
        return dict(self._durable_frames)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._line.run(), name=f"call {self.recording_id}")
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

    def __aiter__(self) -> AsyncIterator[RecordCallResponse]:
        return self.events()

    async def events(self) -> AsyncIterator[RecordCallResponse]:
        """Give the server's messages: opened, beeps to play, stopped, completed.

        Raises:
            RecorderError: If the call failed for good.
        """
        while (message := await self._messages.get()) is not None:
            yield message
        self._check()

    async def write(self, payloads: Mapping[str, bytes], frames: Mapping[str, int] | None = None) -> None:
        """Write one or more legs' audio, of any length; waits while too much is unacknowledged.

        Args:
            payloads: Encoded samples by leg.
            frames: Position of the first sample by leg, in the leg's own rate since the recording began, from the media
                clock. A leg that is not named goes on where its last chunk ended.

        Raises:
            RecorderError: If the call failed for good.
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
        await self._send(RecordCallRequest(dtmf=key))

    async def pause(self, mode: PauseMode.ValueType | None = None, frame: int | None = None) -> None:
        """Stop keeping audio, from `frame` (16 kHz) or from now."""
        await self._send(RecordCallRequest(control=Control(pause=Pause(mode=mode, frame=frame))))

    async def resume(self, frame: int | None = None) -> None:
        """Keep audio again, from `frame` (16 kHz) or from now."""
        await self._send(RecordCallRequest(control=Control(resume=Resume(frame=frame))))

    async def stop(self, frame: int | None = None) -> None:
        """End the recording at `frame` (16 kHz) or at the last audio."""
        await self._send(RecordCallRequest(control=Control(stop=Stop(frame=frame))))

    async def close(self, frame: int | None = None) -> None:
        """Hang up at `frame` (16 kHz) or at the last audio, and wait until that is durable."""
        self._line.closing = True
        await self._send(RecordCallRequest(close=Close(frame=frame)))
        await self._backlog.acknowledged()
        self._check()

    async def completed(self) -> Recording:
        """Wait for the recording's last state: available, empty or failed.

        Raises:
            RecorderError: If the call failed for good.
        """
        await self._done.wait()
        self._check()
        if self._line.completed is None:
            raise unavailable("the call was left before its recording was completed")
        return self._line.completed

    async def durable(self) -> None:
        """Wait until everything written so far is on the server's disk, or the recording has stopped.

        Raises:
            RecorderError: If the call failed for good.
        """
        self._flush()
        await self._backlog.acknowledged()
        self._check()

    async def _hang_up(self) -> None:
        if self._failure is None and self.stopped is None and not self._line.closing:
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
            self._backlog.add(RecordCallRequest(audio=self._packer.take()))

    async def _send(self, request: RecordCallRequest) -> None:
        self._check()
        self._flush()
        self._backlog.add(request)
        await self._backlog.room()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _note_durable(self, request: RecordCallRequest) -> None:
        for chunk in request.audio.chunks:
            end_frame = self._packer.end_frame(chunk)
            self._durable_frames[chunk.leg_id] = max(self._durable_frames[chunk.leg_id], end_frame)

    def _keep(self, message: RecordCallResponse | None) -> None:
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

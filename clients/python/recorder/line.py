"""The line of one call to the server: opened, lost, resumed and replayed until the recording is completed."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from recorder.backlog import Backlog
from recorder.errors import RecorderError, unavailable
from recorder.resuming import CallSettings, ResumingLine
from recorder.v1.media_pb2 import Completed, Opened, Stopped
from recorder.v1.recorder_service_pb2 import OpenCall, RecordCallRequest, RecordCallResponse, ResumeCall, StartCall
from recorder.v1.recording_pb2 import (
    PAUSE_MODE_CUT,
    RECORDING_STATE_FINISHING,
    RECORDING_STATE_PAUSED,
    RECORDING_STATE_RECORDING,
    Recording,
)

__all__ = ["CallSettings", "GetRecording", "Line", "OpenStream"]

OpenStream = Callable[[], Any]
GetRecording = Callable[[str], Coroutine[Any, Any, Recording]]

_OUTCOME_POLL_S = 0.5
_RUNNING = (RECORDING_STATE_RECORDING, RECORDING_STATE_PAUSED, RECORDING_STATE_FINISHING)
_ENDED = "RECORDING_NOT_LIVE"


class Line(ResumingLine[RecordCallRequest, RecordCallResponse]):
    """The line of a call.

    Attributes:
        opened: The answer to the newest opening; None until there is one.
        stopped: What ended the recording; None while it runs.
        completed: The recording in its last state; None until then.
    """

    def __init__(
        self,
        start: StartCall,
        settings: CallSettings,
        backlog: Backlog[RecordCallRequest],
        open_stream: OpenStream,
        get_recording: GetRecording,
        *,
        on_message: Callable[[RecordCallResponse], None],
    ) -> None:
        """Prepare a line; nothing is sent before `run`.

        Args:
            start: What to record, with a recording id.
            settings: How to send it.
            backlog: What to send.
            open_stream: Starts the RPC, with a fresh token, on every try.
            get_recording: Asks for the recording's state, for when its stream cannot be had back.
            on_message: Is given every message but acknowledgements.
        """
        super().__init__(settings, backlog, open_stream, RecordCallResponse, on_message=on_message)
        self.opened: Opened | None = None
        self.stopped: Stopped | None = None
        self.completed: Recording | None = None
        self._start = start
        self._get_recording = get_recording

    @property
    def begun(self) -> bool:
        """Whether the server has answered an opening."""
        return self.opened is not None

    @property
    def finished(self) -> bool:
        """Whether the recording is completed."""
        return self.completed is not None

    async def _settle(self, error: RecorderError) -> bool:
        if self.opened is None or error.reason != _ENDED:
            return False
        self._catch_up(await self._outcome())
        return True

    def _opening(self) -> RecordCallRequest:
        if self.opened is None:
            request = RecordCallRequest(sequence=1, open=OpenCall(start=self._start))
        else:
            request = RecordCallRequest(open=OpenCall(resume=ResumeCall(recording_id=self._start.recording_id)))
        request.open.ack_interval.FromMilliseconds(self._settings.ack_interval_ms)
        return request

    def _accept(self, answer: RecordCallResponse) -> int:
        if self.stopped is None:
            self._check_expected(answer.opened.next_sequence, self._start.recording_id)
        self.opened = answer.opened
        return answer.opened.next_sequence

    def _take(self, message: RecordCallResponse) -> None:
        if message.HasField("stopped"):
            self.stopped = message.stopped
            self._backlog.close()
        elif message.HasField("completed"):
            self._complete(message.completed.recording)
        self._on_message(message)
        if message.HasField("drain") and not self.closing and self.stopped is None:
            wait_s = message.drain.retry_after.ToMilliseconds() / 1000
            raise unavailable("the server is going down", retry_after_s=wait_s)

    def _catch_up(self, recording: Recording) -> None:
        """Tell what the server told while nobody could hear it."""
        if self.stopped is None:
            self._take(RecordCallResponse(stopped=_end_of(recording)))
        self._take(RecordCallResponse(completed=Completed(recording=recording)))

    def _complete(self, recording: Recording) -> None:
        self.completed = recording
        self._backlog.close()

    async def _outcome(self) -> Recording:
        """Wait for the last state of a recording whose stream is gone for good."""
        self._backlog.close()
        while True:
            try:
                recording = await self._get_recording(self._start.recording_id)
            except RecorderError as error:
                await self._reconnecting.wait(error)
                continue
            self._reconnecting.succeeded()
            if recording.state not in _RUNNING:
                return recording
            await asyncio.sleep(_OUTCOME_POLL_S)


def _end_of(recording: Recording) -> Stopped:
    """Say as `stopped` would have where a recording ended: what cut pauses took out of its file counts too."""
    cut_frames = sum(p.end_frame - p.start_frame for p in recording.pauses if p.mode == PAUSE_MODE_CUT)
    return Stopped(reason=recording.stop_reason, frame=recording.file.frames + cut_frames)

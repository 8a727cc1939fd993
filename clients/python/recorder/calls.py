"""Recording one call: audio, key presses and control in, the server's messages out."""

from recorder.errors import unavailable
from recorder.line import CallSettings, GetRecording, Line, OpenStream
from recorder.sending import Sending
from recorder.v1.media_pb2 import Close, Opened, Stopped
from recorder.v1.recorder_service_pb2 import RecordCallRequest, RecordCallResponse, StartCall
from recorder.v1.recording_pb2 import Recording


class Call(Sending[RecordCallRequest, RecordCallResponse]):
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
        if not start.legs:
            raise ValueError("legs is empty; give at least the caller's")
        super().__init__(RecordCallRequest, start.legs, settings)
        self.recording_id = start.recording_id
        self._line = Line(start, settings, self._backlog, open_stream, get_recording, on_message=self._keep)

    @property
    def _lifeline(self) -> Line:
        return self._line

    @property
    def _over(self) -> bool:
        return self.stopped is not None

    @property
    def opened(self) -> Opened | None:
        """The server's answer to the newest opening: the options in force, and warnings."""
        return self._line.opened

    @property
    def stopped(self) -> Stopped | None:
        """What ended the recording; None while it runs. From then on what is written is dropped."""
        return self._line.stopped

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

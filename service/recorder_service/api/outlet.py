"""The way back on a recording stream: few messages, acknowledgements merged, never more than a handful waiting."""

import asyncio
from collections import deque
from datetime import timedelta

from recorder.v1 import media_pb2, recorder_service_pb2
from recorder_service.api.conversions import FileUrls, duration, recording_message, stop_reason_message
from recorder_service.errors import RecorderError
from recorder_service.sessions.notices import Ack, Completed, Drain, Notice, Play, Stopped

Response = recorder_service_pb2.RecordCallResponse


class StreamOutlet:
    """Holds what is to be sent until the stream's writer takes it.

    Acknowledgements are cumulative: one that has not been sent is replaced by the next, so that a client that never
    reads costs nothing. All other messages come once or twice in a recording.
    """

    def __init__(self, urls: FileUrls) -> None:
        """Start empty."""
        self._urls = urls
        self._ack: Ack | None = None
        self._notices: deque[Notice] = deque()
        self._error: RecorderError | None = None
        self._changed = asyncio.Event()

    def send(self, notice: Notice) -> None:
        """Queue a notice."""
        if isinstance(notice, Ack):
            self._ack = notice
        else:
            self._notices.append(notice)
        self._changed.set()

    def fail(self, error: RecorderError) -> None:
        """End the stream with an error once what was queued is sent."""
        self._error = error
        self._changed.set()

    async def next(self) -> Response | None:
        """Wait for the next message; None after `Completed`.

        Raises:
            RecorderError: The one that `fail` was given.
        """
        while True:
            self._changed.clear()
            if self._ack is not None:
                sequence, self._ack = self._ack.sequence, None
                return Response(ack=media_pb2.Ack(sequence=sequence))
            if self._notices:
                return response(self._notices.popleft(), self._urls)
            if self._error is not None:
                raise self._error
            await self._changed.wait()


def response(notice: Notice, urls: FileUrls) -> Response:
    """Return a notice as the contract writes it."""
    match notice:
        case Ack(sequence):
            return Response(ack=media_pb2.Ack(sequence=sequence))
        case Play(leg_id, start_frame, payload):
            return Response(play=media_pb2.Play(leg_id=leg_id, start_frame=start_frame, payload=payload))
        case Stopped(reason, frame):
            return Response(stopped=media_pb2.Stopped(reason=stop_reason_message(reason), frame=frame))
        case Completed(recording):
            return Response(completed=media_pb2.Completed(recording=recording_message(recording, urls)))
        case Drain(retry_after_s):
            return Response(drain=media_pb2.Drain(retry_after=duration(timedelta(seconds=retry_after_s))))

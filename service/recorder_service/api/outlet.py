"""The way back on a recording stream: few messages, acknowledgements merged, never more than a handful waiting."""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from datetime import timedelta
from typing import Any, Generic, TypeVar

from recorder.v1 import media_pb2, recorder_service_pb2
from recorder_service.api.conversions import FileUrls, duration, recording_message, stop_reason_message
from recorder_service.errors import RecorderError
from recorder_service.sessions.notices import Ack, Completed, Drain, Ended, Notice, Play, Started, Stopped

Response = recorder_service_pb2.RecordCallResponse
ConferenceResponse = recorder_service_pb2.RecordConferenceResponse
ResponseT = TypeVar("ResponseT")


class Outlet(ABC, Generic[ResponseT]):
    """Holds what is to be sent until the stream's writer takes it.

    Acknowledgements are cumulative: one that has not been sent is replaced by the next, so that a client that never
    reads costs nothing. All other messages come a few times in a recording.
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

    async def next(self) -> ResponseT:
        """Wait for the next message.

        Raises:
            RecorderError: The one that `fail` was given.
        """
        while True:
            self._changed.clear()
            if self._ack is not None:
                notice: Notice
                notice, self._ack = self._ack, None
                return self._message(notice)
            if self._notices:
                return self._message(self._notices.popleft())
            if self._error is not None:
                raise self._error
            await self._changed.wait()

    @abstractmethod
    def _message(self, notice: Notice) -> ResponseT:
        """Return a notice as the contract writes it."""


class StreamOutlet(Outlet[Response]):
    """The way back of a call."""

    def _message(self, notice: Notice) -> Response:
        return response(notice, self._urls)


class ConferenceOutlet(Outlet[ConferenceResponse]):
    """The way back of a conference's stream."""

    def _message(self, notice: Notice) -> ConferenceResponse:
        return conference_response(notice, self._urls)


def response(notice: Notice, urls: FileUrls) -> Response:
    """Return a notice as a call's contract writes it.

    Raises:
        ValueError: It is one of conferences.
    """
    match notice:
        case Stopped(reason, frame):
            return Response(stopped=media_pb2.Stopped(reason=stop_reason_message(reason), frame=frame))
        case Started() | Ended():
            raise ValueError(f"{type(notice).__name__} is not told to calls")
    return Response(**_common(notice, urls))


def conference_response(notice: Notice, urls: FileUrls) -> ConferenceResponse:
    """Return a notice as a conference's contract writes it."""
    match notice:
        case Stopped(reason, frame, recording_id):
            stopped = recorder_service_pb2.ConferenceRecordingStopped(
                recording_id=str(recording_id or ""), reason=stop_reason_message(reason), frame=frame
            )
            return ConferenceResponse(stopped=stopped)
        case Started(recording):
            started = recorder_service_pb2.ConferenceRecordingStarted(recording=recording_message(recording, urls))
            return ConferenceResponse(started=started)
        case Ended(conference_ended):
            return ConferenceResponse(ended=recorder_service_pb2.ConferenceEnded(conference_ended=conference_ended))
    return ConferenceResponse(**_common(notice, urls))


def _common(notice: Ack | Play | Completed | Drain, urls: FileUrls) -> dict[str, Any]:
    match notice:
        case Ack(sequence):
            return {"ack": media_pb2.Ack(sequence=sequence)}
        case Play(leg_id, start_frame, payload):
            return {"play": media_pb2.Play(leg_id=leg_id, start_frame=start_frame, payload=payload)}
        case Completed(recording):
            return {"completed": media_pb2.Completed(recording=recording_message(recording, urls))}
        case Drain(retry_after_s):
            return {"drain": media_pb2.Drain(retry_after=duration(timedelta(seconds=retry_after_s)))}

"""The stream that feeds a recording: whether there is one, how long one is waited for, and what it is told."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import structlog

from recorder_service.errors import Conflict, Reason, RecorderError
from recorder_service.sessions.acknowledgements import Acknowledgements
from recorder_service.sessions.journal_port import Journal
from recorder_service.sessions.notices import Notice, Outlet, Stopped

log = structlog.get_logger(__name__)

_AFTER_START = 2


class Feed:
    """Belongs to the event loop.

    Attributes:
        acks: What was received and is acknowledged on this feed.
    """

    def __init__(
        self, recording_id: UUID, journal: Journal, *, resume_window_s: float, on_lost: Callable[[], object]
    ) -> None:
        """Start without a stream; `on_lost` is called when none came within the window."""
        self.acks = Acknowledgements(journal)
        self._recording_id = recording_id
        self._resume_window_s = resume_window_s
        self._on_lost = on_lost
        self._outlet: Outlet | None = None
        self._greeting: Notice | None = None
        self._stopped: Stopped | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def attached(self) -> bool:
        """Whether a stream is there."""
        return self._outlet is not None

    def greet(self, notice: Notice) -> None:
        """Pass a notice to every stream that comes before anything was received: an answer may get lost."""
        self._greeting = notice

    def attach(self, outlet: Outlet, ack_interval_s: float) -> None:
        """Take a stream; one that was there is ended with STREAM_REPLACED."""
        self.fail(Conflict(Reason.STREAM_REPLACED, f"another stream resumed recording {self._recording_id}"))
        self.stop_waiting()
        self._outlet = outlet
        self.acks.attach(outlet, ack_interval_s)
        if self._greeting is not None and self.acks.next_sequence == _AFTER_START:
            outlet.send(self._greeting)
        if self._stopped is not None:
            outlet.send(self._stopped)

    def detach(self, outlet: Outlet) -> bool:
        """Note that a stream is gone; False if another one has taken its place already."""
        if self._outlet is not outlet:
            return False
        self._outlet = None
        self.acks.detach()
        return True

    def wait(self) -> None:
        """Give a stream its time to come."""
        self.stop_waiting()
        self._timer = asyncio.get_running_loop().call_later(self._resume_window_s, self._on_lost)

    def stop_waiting(self) -> None:
        """Wait for no stream any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def stopped(self, notice: Stopped) -> None:
        """Tell the end, also to a stream that comes later."""
        self._stopped = notice
        self.notify(notice)

    def notify(self, notice: Notice) -> None:
        """Pass a notice to the stream, if there is one."""
        if self._outlet is not None:
            self._outlet.send(notice)

    def fail(self, error: RecorderError) -> None:
        """End the stream, if there is one, with an error; the recording goes on."""
        if self._outlet is not None:
            self._outlet.fail(error)

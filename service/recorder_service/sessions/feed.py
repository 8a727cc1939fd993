"""The stream that feeds a recording: whether there is one, how long one is waited for, and what it is told."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import structlog

from recorder_service.errors import Conflict, Reason, RecorderError
from recorder_service.sessions.acknowledgements import Acknowledgements
from recorder_service.sessions.journal_port import Journal
from recorder_service.sessions.notices import Notice, Outlet, Stopped
from recorder_service.sessions.pace import Brake, Pace

log = structlog.get_logger(__name__)

_AFTER_START = 2


class Feed:
    """Belongs to the event loop.

    Attributes:
        acks: What was received and is acknowledged on this feed.
        on_lost: Called when no stream came in time.
        number: Its number among the feeds of a recording: 0 in a call.
    """

    def __init__(
        self,
        identity: UUID,
        journal: Journal,
        *,
        resume_window_s: float,
        on_lost: Callable[[], object] = lambda: None,
        number: int = 0,
    ) -> None:
        """Start without a stream.

        Args:
            identity: The id that a stream resumes by: the recording's in a call, else the stream's own.
            journal: Says what is durable.
            resume_window_s: How long a stream is waited for.
            on_lost: Called when none came in time.
            number: Its number among the feeds of a recording.
        """
        self.acks = Acknowledgements(journal)
        self.on_lost = on_lost
        self.number = number
        self._identity = identity
        self._resume_window_s = resume_window_s
        self._outlet: Outlet | None = None
        self._greeting: Notice | None = None
        self._stopped: Stopped | None = None
        self._pace: Pace | None = None
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
        self.fail(Conflict(Reason.STREAM_REPLACED, f"another stream resumed {self._identity}"))
        self.stop_waiting()
        self._outlet = outlet
        self.acks.attach(outlet, ack_interval_s)
        if self._greeting is not None and self.acks.next_sequence == _AFTER_START:
            outlet.send(self._greeting)
        if self._stopped is not None:
            outlet.send(self._stopped)

    def measure(self, brake: Brake, frame: int) -> None:
        """Judge from now on how fast the stream is, which has brought audio up to a recording frame."""
        self._pace = Pace(brake, frame, self.acks.next_sequence)

    def waits(self, frame: int) -> bool:
        """Say whether a stream that has brought audio up to a recording frame has to wait before its next message."""
        return self._pace is not None and self._pace.waits(frame, self.acks.next_sequence)

    async def keep_pace(self, frame: int) -> None:
        """Have a stream that has brought audio up to a recording frame wait before its next message, if it has to."""
        if self._pace is not None:
            await self._pace.keep(frame, self.acks.next_sequence)

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
        self._timer = asyncio.get_running_loop().call_later(self._resume_window_s, self._lost)

    def stop_waiting(self) -> None:
        """Wait for no stream any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def begin(self, notice: Notice) -> None:
        """Tell that another recording begins."""
        self._stopped = None
        self.notify(notice)

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

    def _lost(self) -> None:
        self._timer = None
        self.on_lost()

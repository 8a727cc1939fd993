"""What the health endpoints look at."""

import time
from collections.abc import Callable
from typing import Protocol

from recorder_service.journal.writer import JournalState

# A disk that takes a minute for one sync will not come back by itself; a shorter stall is no reason for a restart.
_STUCK_AFTER_S = 60.0


class _Journal(Protocol):
    @property
    def state(self) -> JournalState:
        """Whether entries are taken."""

    @property
    def writing(self) -> bool:
        """Whether the thread that writes is alive."""

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for it."""

    @property
    def durable_lsn(self) -> int:
        """How far it has come."""


class JournalProbe:
    """Is well while the journal can be written or will be again by itself."""

    name = "journal"

    def __init__(self, journal: _Journal, clock: Callable[[], float] = time.monotonic) -> None:
        """Look at `journal`."""
        self._journal = journal
        self._clock = clock
        self._durable_lsn = -1
        self._moved_s = clock()

    def fault(self) -> str | None:
        """Say so if only a restart helps: the journal failed, or its thread is gone or stuck.

        Progress is seen by asking again: a stall counts from the first time that somebody saw it.
        """
        journal = self._journal
        if journal.state in {JournalState.FAILED, JournalState.CLOSED} or not journal.writing:
            return "failed"
        now_s, durable_lsn = self._clock(), journal.durable_lsn
        # On a full disk it waits for room, and calls are turned away: that is what readiness tells.
        idle = journal.queued_bytes == 0 or journal.state is JournalState.DISK_FULL
        if idle or durable_lsn != self._durable_lsn:
            self._durable_lsn, self._moved_s = durable_lsn, now_s
        return "stuck" if now_s - self._moved_s > _STUCK_AFTER_S else None


class StandingProbe:
    """Is well from the end of recovery until draining begins."""

    name = "standing"

    def __init__(self) -> None:
        """Wait for what the node stands on."""
        self._fault: str | None = "starting"

    def recovering(self) -> None:
        """Bring back what a former run left."""
        self._fault = "recovering"

    def ready(self) -> None:
        """Take calls."""
        self._fault = None

    def draining(self) -> None:
        """Take no more calls."""
        self._fault = "draining"

    def fault(self) -> str | None:
        """Say what keeps calls away."""
        return self._fault


class _Admission(Protocol):
    @property
    def full(self) -> bool:
        """Whether no further recording may begin."""


class AdmissionProbe:
    """Is well while there is room for another recording."""

    name = "admission"

    def __init__(self, admission: _Admission) -> None:
        """Look at `admission`."""
        self._admission = admission

    def fault(self) -> str | None:
        """Say that the node is full."""
        return "as many recordings run as may" if self._admission.full else None

"""Acknowledgements: which requests are durable, told cumulatively and not too often."""

import asyncio
from collections import deque

from recorder_service.errors import BadInput, Conflict, Reason
from recorder_service.sessions.journal_port import Journal
from recorder_service.sessions.notices import Ack, Outlet

_RETRY_S = 0.05
_AFTER_START = 2
_GRID_STEPS = 10


class Acknowledgements:
    """Follows the requests of one recording from acceptance to acknowledgement.

    One timer serves all requests of an interval, so that an acknowledgement costs next to nothing a message.

    Attributes:
        next_sequence: The request that is due.
    """

    def __init__(self, journal: Journal) -> None:
        """Start before the first request."""
        self._journal = journal
        self._pending: deque[tuple[int, int]] = deque()
        self._durable = 0
        self._told = 0
        self._outlet: Outlet | None = None
        self._interval_s = _RETRY_S
        self._timer: asyncio.TimerHandle | None = None
        self._gap_allowed = False
        self.next_sequence = 1

    def is_due(self, sequence: int) -> bool:
        """Say whether this is the next request; one seen before is not.

        Raises:
            BadInput: The number is 0.
            Conflict: SEQUENCE_GAP, numbers were skipped.
        """
        expected = self.next_sequence
        if sequence == expected:
            self._gap_allowed = False
            return True
        if sequence > expected and self._gap_allowed:
            # The client cannot send again what it was told to drop.
            self.next_sequence = sequence
            self._gap_allowed = False
            return True
        if 0 < sequence < expected:
            return False
        if sequence == 0:
            message = f"sequence is 0 but {expected} is due: number the requests 1, 2, 3 without holes"
            raise BadInput(Reason.INVALID_FIELD, message, field="sequence", value=0, expected_sequence=str(expected))
        raise Conflict(
            Reason.SEQUENCE_GAP,
            f"sequence is {sequence} but {expected} is due: send every request once, in order",
            details={"field": "sequence", "value": str(sequence), "expected_sequence": str(expected)},
        )

    def attach(self, outlet: Outlet, interval_s: float) -> None:
        """Tell this outlet from now on, and at once what is durable already: its client may still keep all of it."""
        self.detach()
        self._outlet = outlet
        self._interval_s = interval_s
        # A client that has just begun knows from `opened` that its start is durable.
        self._told = self.durable() if self.next_sequence <= _AFTER_START else 0
        self.tell()
        if self._pending:
            self._arm(interval_s)

    def detach(self) -> None:
        """Tell nobody."""
        self._outlet = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def accept(self, lsn: int) -> None:
        """Note that the next request was written down as this entry."""
        self._pending.append((lsn, self.next_sequence))
        self.next_sequence += 1
        if self._timer is None and self._outlet is not None:
            self._arm(self._interval_s)

    def pass_over(self) -> None:
        """Note that the next request leaves nothing to write down, because the recording is ending."""
        self.next_sequence += 1

    def conclude(self, lsn: int) -> None:
        """Note that this entry ends the recording: once it is durable, so is everything there was to keep."""
        self._pending.append((lsn, self.next_sequence - 1))

    def restore(self, sequence: int) -> None:
        """Note that the journal holds this request."""
        self._gap_allowed = False
        self.next_sequence = max(self.next_sequence, sequence + 1)
        self._durable = self.next_sequence - 1

    def lose(self) -> None:
        """Note that requests from the next one on are lost to damage: the numbers go on where the client says."""
        self._gap_allowed = True

    @property
    def last_lsn(self) -> int:
        """The last entry that is not durable yet; 0 if all are."""
        return self._pending[-1][0] if self._pending else 0

    def durable(self) -> int:
        """Return the last sequence up to which every request is durable."""
        lsn = self._journal.durable_lsn
        pending = self._pending
        while pending and pending[0][0] <= lsn:
            self._durable = pending.popleft()[1]
        return self._durable

    def tell(self) -> None:
        """Acknowledge now what is durable and not told yet."""
        durable = self.durable()
        if self._outlet is not None and durable > self._told:
            self._told = durable
            self._outlet.send(Ack(durable))

    def _arm(self, wait_s: float) -> None:
        loop = asyncio.get_running_loop()
        # On a grid, so that those of many calls are told in one turn, and at most a tenth early.
        step_s = wait_s / _GRID_STEPS
        self._timer = loop.call_at((loop.time() + wait_s) // step_s * step_s, self._due)

    def _due(self) -> None:
        self._timer = None
        told = self._told
        self.tell()
        if self._pending:
            self._arm(self._interval_s if self._told > told else min(_RETRY_S, self._interval_s))

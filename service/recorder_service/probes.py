"""What the health endpoints look at."""

from typing import Protocol

from recorder_service.journal.writer import JournalState


class _Journal(Protocol):
    @property
    def state(self) -> JournalState:
        """Whether entries are taken."""


class JournalProbe:
    """Is well while the journal can be written or will be again by itself."""

    name = "journal"

    def __init__(self, journal: _Journal) -> None:
        """Look at `journal`."""
        self._journal = journal

    def fault(self) -> str | None:
        """Say so if only a restart helps."""
        return "failed" if self._journal.state in {JournalState.FAILED, JournalState.CLOSED} else None


class StandingProbe:
    """Is well from the end of recovery until draining begins."""

    name = "standing"

    def __init__(self) -> None:
        """Start recovering."""
        self._fault: str | None = "recovering"

    def ready(self) -> None:
        """Take calls."""
        self._fault = None

    def draining(self) -> None:
        """Take no more calls."""
        self._fault = "draining"

    def fault(self) -> str | None:
        """Say what keeps calls away."""
        return self._fault

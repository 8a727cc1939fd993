"""Room for downloads: how many run at once."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from uuid import UUID

from recorder_service.errors import Overloaded, Reason


class DownloadSlots:
    """Count running downloads, of everybody and of each application, and refuse further ones at once.

    The bound for one application keeps a greedy one, or one with stalled clients, from taking the room of the others.
    """

    def __init__(self, total: int, per_application: int, *, retry_after_s: float = 5) -> None:
        self._total = total
        self._per_application = per_application
        self._retry_after_s = retry_after_s
        self._taken: Counter[UUID | None] = Counter()

    @property
    def taken(self) -> int:
        """Downloads that run now."""
        return self._taken.total()

    @contextlib.contextmanager
    def take(self, application_id: UUID | None) -> Iterator[None]:
        """Hold one slot; the admin counts as an application of its own (None).

        Raises:
            Overloaded: OVERLOADED, with the time after which to ask again.
        """
        if self.taken >= self._total or self._taken[application_id] >= self._per_application:
            raise Overloaded(
                Reason.OVERLOADED,
                f"too many downloads run at once; ask again in {self._retry_after_s:g} s",
                retry_after_s=self._retry_after_s,
            )
        self._taken[application_id] += 1
        try:
            yield
        finally:
            self._taken[application_id] -= 1
            if not self._taken[application_id]:
                del self._taken[application_id]

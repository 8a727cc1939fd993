"""Applications remembered for some seconds, so that checking a token rarely asks the catalog."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from recorder_service.domain.application import Application
from recorder_service.errors import NotFound, Unavailable

# A line that breaks while the catalog is away must be able to come back: what was known then goes on to be good.
_STALE_S = 3600.0


class Applications(Protocol):
    """Where applications are kept."""

    async def get(self, application_id: UUID) -> Application:
        """Return an application.

        Raises:
            NotFound: There is none with this id.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Remembered:
    application: Application | None
    until_s: float


class RememberedApplications:
    """Answers from memory for `remember_s`; a miss is remembered for a sixth of it, at most 5 s.

    While the source is away, what was known within the last hour is still answered: a call whose line breaks then can
    be resumed. Callers that ask for the same application at once share one question to the source. Times are monotonic,
    so a changed wall clock does not keep a removed key alive.
    """

    def __init__(
        self,
        source: Applications,
        remember_s: float,
        size: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._remember_s = remember_s
        self._remember_miss_s = min(5.0, remember_s / 6)
        self._size = size
        self._monotonic = monotonic
        self._known: OrderedDict[UUID, _Remembered] = OrderedDict()
        self._asking: dict[UUID, asyncio.Task[Application | None]] = {}

    async def find(self, application_id: UUID) -> Application | None:
        """Return an application, or None if there is none.

        Raises:
            RecorderError: The source cannot answer; nothing is remembered then.
        """
        known = self._known.get(application_id)
        if known is not None and self._monotonic() < known.until_s:
            self._known.move_to_end(application_id)
            return known.application
        task = self._asking.get(application_id)
        if task is None:
            task = asyncio.create_task(self._ask(application_id), name=f"application {application_id}")
            self._asking[application_id] = task
            task.add_done_callback(lambda done: self._answered(application_id, done))
        return await asyncio.shield(task)

    def forget(self, application_id: UUID) -> None:
        """Ask the source at the next call: its keys were changed on this node."""
        self._known.pop(application_id, None)
        self._asking.pop(application_id, None)

    async def _ask(self, application_id: UUID) -> Application | None:
        asked_s = self._monotonic()
        try:
            found: Application | None = await self._source.get(application_id)
        except NotFound:
            found = None
        except Unavailable:
            known = self._known_before(application_id)
            if known is None:
                raise
            return known
        if self._asking.get(application_id) is asyncio.current_task():
            self._remember(application_id, found, asked_s)
        return found

    def _known_before(self, application_id: UUID) -> Application | None:
        """Return what was remembered, though its time is over."""
        known = self._known.get(application_id)
        if known is None or self._monotonic() > known.until_s + _STALE_S:
            return None
        return known.application

    def _remember(self, application_id: UUID, found: Application | None, asked_s: float) -> None:
        keep_s = self._remember_miss_s if found is None else self._remember_s
        self._known[application_id] = _Remembered(found, asked_s + keep_s)
        self._known.move_to_end(application_id)
        if len(self._known) > self._size:
            self._known.popitem(last=False)

    def _answered(self, application_id: UUID, task: asyncio.Task[Application | None]) -> None:
        if self._asking.get(application_id) is task:
            del self._asking[application_id]
        if not task.cancelled():
            task.exception()  # every asker may have gone; then nobody else looks at it

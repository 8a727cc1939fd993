"""The outbox dispatcher: picks deliveries that are due and sees that each is attempted."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from typing import Generic
from uuid import UUID

import structlog

from recorder_service.domain.delivery import Delivery
from recorder_service.errors import RecorderError
from recorder_service.webhooks.leased_attempts import LeasedAttempts
from recorder_service.webhooks.outbox import LeaseT, Outbox, Wakeup
from recorder_service.webhooks.request import endpoint_of
from recorder_service.webhooks.slots import Slots

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DispatcherSettings:
    """How much at once, and how often to look.

    Attributes:
        workers: Most requests at once.
        per_endpoint: Most requests at once to one endpoint.
        poll_s: Longest wait between two looks, for deliveries that other nodes made.
    """

    workers: int = 32
    per_endpoint: int = 4
    poll_s: float = 1.0


class WebhookDispatcher(Generic[LeaseT]):
    """Sends every delivery at least once, always under the same id, and one delivery never twice at the same time.

    What is under way belongs to the dispatcher, not to whoever asked for it. An attempt that is cut off by a crash is
    made again when its lease ends.
    """

    def __init__(
        self,
        outbox: Outbox[LeaseT],
        changed: Wakeup,
        attempts: LeasedAttempts[LeaseT],
        clock: Callable[[], datetime],
        settings: DispatcherSettings | None = None,
    ) -> None:
        """Start nothing yet.

        Args:
            outbox: Where deliveries wait.
            changed: Wakes the dispatcher at once when there is a new one.
            attempts: Makes the attempts.
            clock: Current time, with a time zone.
            settings: None means the defaults.
        """
        self._outbox = outbox
        self._changed = changed
        self._leased = attempts
        self._clock = clock
        self._settings = settings or DispatcherSettings()
        self._wake = asyncio.Event()
        self._slots = Slots(self._settings.workers, self._settings.per_endpoint, self._wake.set)
        self._tasks: dict[UUID, asyncio.Task[Delivery | None]] = {}
        self._stopping = False

    @property
    def under_way(self) -> int:
        """Attempts that are being made now."""
        return len(self._tasks)

    async def run(self) -> None:
        """Send what is due until `stop` is called or the task is cancelled. Call it once."""
        listener = asyncio.create_task(self._listen(), name="webhook wake-up")
        try:
            while not self._stopping:
                self._wake.clear()
                await self._sleep(await self._pick_safely())
        finally:
            listener.cancel()

    async def stop(self, grace_s: float = 5.0) -> None:
        """Take up nothing new, wait `grace_s` for what is under way, then cut it off.

        What was cut off is sent again when its lease ends, by whichever node runs then.
        """
        self._stopping = True
        self._wake.set()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=grace_s)
        left = list(self._tasks.values())
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def attempt_now(self, delivery_id: UUID, timeout_s: float) -> Delivery | None:
        """Try a delivery at once, ahead of the others, and wait for the outcome no longer than `timeout_s`.

        An attempt that takes longer goes on. If one is under way already, it is waited for and no second one is made.

        Returns:
            The delivery as it stands after the attempt; None if the time passed, somebody else has it or it is not
            due, the dispatcher is stopping, or there is trouble with the catalog.
        """
        task = self._tasks.get(delivery_id)
        if task is None:
            if self._stopping:
                return None
            task = self._start(delivery_id, self._attempt_unplanned(delivery_id, timeout_s))
        done, _ = await asyncio.wait({task}, timeout=timeout_s)
        return task.result() if done and not task.cancelled() and task.exception() is None else None

    async def _listen(self) -> None:
        while True:
            await self._changed.wait(self._changed.count, timeout_s=60.0)
            self._wake.set()

    async def _sleep(self, wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _pick_safely(self) -> float:
        try:
            return await self._pick()
        except RecorderError as error:
            log.warning("webhook_outbox_away", reason=error.reason.value)
            return error.retry_after_s or self._settings.poll_s

    async def _pick(self) -> float:
        """Start what may be started, and return how long there is nothing more to do."""
        free = self._slots.free
        if free <= 0:
            return self._settings.poll_s  # a slot that is given back wakes earlier
        picked = await self._outbox.due(
            self._clock(),
            free,
            endpoint_limit=self._settings.per_endpoint,
            busy_endpoints=self._slots.busy_endpoints(),
        )
        for delivery in picked:
            self._start_planned(delivery)
        next_time = await self._outbox.next_due_time()
        if next_time is None:
            return self._settings.poll_s
        wait_s = (next_time - self._clock()).total_seconds()
        # What is overdue now was just started or waits for a slot, which wakes when it is given back.
        return min(wait_s, self._settings.poll_s) if wait_s > 0 else self._settings.poll_s

    def _start_planned(self, delivery: Delivery) -> None:
        endpoint = endpoint_of(delivery.url)
        if self._stopping or delivery.delivery_id in self._tasks or not self._slots.try_take(endpoint):
            return
        self._start(delivery.delivery_id, self._attempt_planned(delivery.delivery_id, endpoint))

    def _start(
        self, delivery_id: UUID, work: Coroutine[object, object, Delivery | None]
    ) -> asyncio.Task[Delivery | None]:
        task = asyncio.create_task(work, name=f"webhook {delivery_id}")
        self._tasks[delivery_id] = task
        task.add_done_callback(lambda done: self._ended(delivery_id, done))
        return task

    def _ended(self, delivery_id: UUID, task: asyncio.Task[Delivery | None]) -> None:
        del self._tasks[delivery_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("webhook_attempt_broke", delivery_id=str(delivery_id), exc_info=error)

    async def _attempt_planned(self, delivery_id: UUID, endpoint: str) -> Delivery | None:
        """Claim and try with a slot that is taken already."""
        try:
            lease = await self._leased.claim(delivery_id)
            return None if lease is None else await self._leased.attempt(lease)
        finally:
            self._slots.give_back(endpoint)

    async def _attempt_unplanned(self, delivery_id: UUID, slot_timeout_s: float) -> Delivery | None:
        """Claim first, so that picking, here and elsewhere, leaves it alone; then wait for a slot."""
        lease = await self._leased.claim(delivery_id)
        if lease is None:
            return None
        endpoint = endpoint_of(lease.delivery.url)
        if not await self._slots.take(endpoint, slot_timeout_s):
            await self._leased.give_back(lease)
            return None
        try:
            return await self._leased.attempt(lease)
        finally:
            self._slots.give_back(endpoint)

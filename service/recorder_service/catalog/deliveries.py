"""Deliveries: the outbox of webhooks, shared out fairly and leased to one sender at a time."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from recorder_service.catalog.delivery_rows import (
    delivery_not_found,
    progress_values,
    read_delivery,
)
from recorder_service.catalog.engine import Database
from recorder_service.catalog.event_rows import Detail, find_event, insert_event
from recorder_service.catalog.filters import DeliveryFilter, of_tenant
from recorder_service.catalog.paging import Page, PageTokens, check_page_size, cut_page
from recorder_service.catalog.picker import lane_heads, share_out
from recorder_service.catalog.recording_rows import count_event, take_recording
from recorder_service.catalog.tables import deliveries
from recorder_service.catalog.wakeup import Wakeup
from recorder_service.domain.delivery import Delivery, DeliveryState
from recorder_service.domain.event import Event, EventType
from recorder_service.errors import Conflict, Reason

_PENDING = DeliveryState.PENDING.value
_PURGE_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to send one delivery.

    Attributes:
        delivery: As it stood when it was claimed.
        token: Grows with every claim; only the newest may record its attempt.
    """

    delivery: Delivery
    token: int


class LeaseLost(Conflict):
    """Somebody else claimed the delivery, or it was asked for again: what came of this attempt no longer counts."""


class Deliveries:
    """The deliveries of all applications. `application_id` narrows to one tenant, None means all of them.

    Attributes:
        changed: Notified after each commit of this process that made a delivery or changed when one is due.
    """

    def __init__(self, database: Database, changed: Wakeup, events_changed: Wakeup) -> None:
        self._database = database
        self._events_changed = events_changed
        self.changed = changed

    async def due(
        self, now: datetime, limit: int, *, endpoint_limit: int, busy_endpoints: Collection[str] = ()
    ) -> tuple[Delivery, ...]:
        """Return deliveries to claim and send, the longest due first where that is fair.

        Each application at each endpoint (scheme, host and port of the URL) gets one slot, then each a second one, and
        so on, so that a long queue for one of them keeps nobody else waiting.

        Args:
            now: What was due then.
            limit: Most deliveries.
            endpoint_limit: Most deliveries for one endpoint, over all applications.
            busy_endpoints: Endpoints, as `delivery_rows.origin` names them, that get none now.
        """

        def work(connection: sa.Connection) -> tuple[Delivery, ...]:
            query = lane_heads(now, endpoint_limit, lateral=connection.dialect.name == "postgresql")
            heads = [(row.lane, row.delivery_id) for row in connection.execute(query)]
            chosen = share_out(heads, limit, endpoint_limit, frozenset(busy_endpoints))
            rows = connection.execute(sa.select(deliveries).where(deliveries.c.delivery_id.in_(chosen)))
            by_id = {row.delivery_id: read_delivery(row) for row in rows}
            return tuple(by_id[delivery_id] for delivery_id in chosen if delivery_id in by_id)

        return await self._database.read(work)

    async def next_due_time(self) -> datetime | None:
        """Return when the next delivery becomes due, or when the lease on one ends; None if none waits."""
        query = sa.select(sa.func.min(deliveries.c.due_time)).where(deliveries.c.state == _PENDING)
        return await self._database.read(lambda connection: connection.execute(query).scalar_one())

    async def claim(self, delivery_id: UUID, *, now: datetime, lease_until: datetime) -> Lease | None:
        """Take a due delivery, so that nobody else sends it before `lease_until`.

        Returns:
            None if it is not due or somebody else has it.
        """

        def work(connection: sa.Connection) -> Lease | None:
            mine = sa.and_(
                deliveries.c.delivery_id == delivery_id, deliveries.c.state == _PENDING, deliveries.c.due_time <= now
            )
            # Who comes second goes on to another delivery at once, instead of waiting to be told that it is too late.
            free = sa.select(deliveries.c.delivery_id).where(mine).with_for_update(skip_locked=True)
            claim = (
                deliveries.update()
                .where(deliveries.c.delivery_id.in_(free), mine)
                .values(due_time=lease_until, lease_token=deliveries.c.lease_token + 1)
                .returning(*deliveries.c)
            )
            row = connection.execute(claim).first()
            return Lease(read_delivery(row), row.lease_token) if row else None

        return await self._database.write(work)

    async def record_attempt(
        self,
        lease: Lease,
        delivery: Delivery,
        *,
        time: datetime,
        event_type: EventType | None,
        event_id: UUID | None = None,
    ) -> Event | None:
        """Write what came of an attempt, with the event that tells of it, and give the lease back.

        Args:
            lease: From `claim`.
            delivery: The delivery as it stands after the attempt.
            time: Of the event.
            event_type: WEBHOOK_DELIVERED or WEBHOOK_FAILED when it has come to its end, else None.
            event_id: Makes the call repeatable: if this event was told before, nothing changes and it is returned.

        Returns:
            The event; its delivery has no body, which events leave out.

        Raises:
            LeaseLost: The lease is no longer the newest, or the delivery is gone.
        """

        def work(connection: sa.Connection) -> Event | None:
            if event_type is not None:
                take_recording(connection, delivery.recording_id)
            known = find_event(connection, event_id, delivery.recording_id)
            if known is not None:
                return known
            _write_progress(connection, lease, delivery)
            if event_type is None:
                return None
            recording = count_event(connection, delivery.recording_id)
            detail = Detail(delivery=replace(delivery, body=b""))
            return insert_event(connection, recording, event_type, time=time, event_id=event_id, detail=detail)

        wakes = [self.changed] if event_type is None else [self.changed, self._events_changed]
        return await self._database.write(work, wakes)

    async def get(self, delivery_id: UUID, application_id: UUID | None) -> Delivery:
        """Return a delivery.

        Raises:
            NotFound: DELIVERY_NOT_FOUND.
        """
        query = sa.select(deliveries).where(
            deliveries.c.delivery_id == delivery_id, of_tenant(deliveries, application_id)
        )
        found = await self._read(query)
        if not found:
            raise delivery_not_found(delivery_id)
        return found[0]

    async def list(self, criteria: DeliveryFilter, page_size: int = 0, page_token: str = "") -> Page[Delivery]:
        """Return a page of deliveries, newest first.

        Args:
            criteria: Which.
            page_size: 0 means the default; lowered to the maximum.
            page_token: The page before's `next_page_token`, under the same criteria.

        Raises:
            BadInput: INVALID_PAGE_TOKEN or INVALID_FIELD.
        """
        size = check_page_size(page_size)
        tokens = PageTokens("deliveries", criteria.bound_values())
        key = sa.tuple_(deliveries.c.create_time, deliveries.c.delivery_id)
        query = sa.select(deliveries).where(*criteria.conditions())
        if page_token:
            query = query.where(key < tokens.after_time(page_token))
        query = query.order_by(deliveries.c.create_time.desc(), deliveries.c.delivery_id.desc()).limit(size + 1)
        found = await self._read(query)
        return cut_page(found, size, tokens, lambda item: (item.create_time, item.delivery_id))

    async def redeliver(self, delivery_id: UUID, application_id: UUID | None, now: datetime) -> Delivery:
        """Make a delivery due now with a new schedule, whatever its state, under the same id.

        If somebody is sending it, what comes of that no longer counts, and it is sent again when their lease ends.

        Raises:
            NotFound: DELIVERY_NOT_FOUND.
        """

        def work(connection: sa.Connection) -> Delivery:
            mine = sa.and_(deliveries.c.delivery_id == delivery_id, of_tenant(deliveries, application_id))
            row = connection.execute(sa.select(deliveries).where(mine).with_for_update()).first()
            if row is None:
                raise delivery_not_found(delivery_id)
            again = replace(
                read_delivery(row), state=DeliveryState.PENDING, next_attempt_time=now, attempts=0, last_error=""
            )
            leased = row.state == _PENDING and row.due_time > row.next_attempt_time
            values = progress_values(again)
            values["due_time"] = max(row.due_time, now) if leased else now
            values["lease_token"] = row.lease_token + 1
            connection.execute(deliveries.update().where(mine).values(**values))
            return again

        return await self._database.write(work, [self.changed])

    async def purge(self, before: datetime) -> int:
        """Remove deliveries made before then that wait for nothing; return how many."""
        old = (
            sa.select(deliveries.c.delivery_id)
            .where(deliveries.c.create_time < before, deliveries.c.state != _PENDING)
            .limit(_PURGE_ROWS)
        )

        def work(connection: sa.Connection) -> int:
            return connection.execute(deliveries.delete().where(deliveries.c.delivery_id.in_(old))).rowcount

        removed = 0
        while part := await self._database.write(work):
            removed += part
        return removed

    async def _read(self, query: sa.Select[Any]) -> tuple[Delivery, ...]:
        return await self._database.read(
            lambda connection: tuple(read_delivery(row) for row in connection.execute(query))
        )


def _write_progress(connection: sa.Connection, lease: Lease, delivery: Delivery) -> None:
    update = (
        deliveries.update()
        .where(deliveries.c.delivery_id == lease.delivery.delivery_id, deliveries.c.lease_token == lease.token)
        .values(lease_token=lease.token + 1, **progress_values(delivery))
    )
    if connection.execute(update).rowcount == 0:
        raise LeaseLost(
            Reason.INTERNAL,
            f"the lease on delivery {lease.delivery.delivery_id} went to somebody else; leave the delivery to them",
            details={"delivery_id": str(lease.delivery.delivery_id)},
        )

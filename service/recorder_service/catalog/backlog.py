"""How much waits in the outbox: for the operator's eyes, not for the dispatcher."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from recorder_service.catalog.engine import Database
from recorder_service.catalog.tables import deliveries
from recorder_service.domain.delivery import DeliveryState

# Counting further costs more than knowing it is worth.
MAX_COUNTED = 10_000
_PENDING = deliveries.c.state == DeliveryState.PENDING.value


@dataclass(frozen=True, slots=True)
class OutboxBacklog:
    """What waits.

    Attributes:
        pending: Deliveries that wait for a try, counted up to `MAX_COUNTED`.
        oldest: When the oldest of them was made; None if none waits.
    """

    pending: int
    oldest: datetime | None


class Backlog:
    """Looks at the deliveries of all applications."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def look(self) -> OutboxBacklog:
        """Return what waits now; the cost grows with what waits, not with what was delivered.

        Raises:
            Unavailable: CATALOG_FAILED.
        """
        some = sa.select(sa.literal(1)).select_from(deliveries).where(_PENDING).limit(MAX_COUNTED).subquery()
        count = sa.select(sa.func.count()).select_from(some)
        oldest = sa.select(sa.func.min(deliveries.c.create_time)).where(_PENDING)

        def work(connection: sa.Connection) -> OutboxBacklog:
            return OutboxBacklog(connection.execute(count).scalar_one(), connection.execute(oldest).scalar_one())

        return await self._database.read(work)

"""What waits in the outbox, as the operator sees it."""

from datetime import timedelta

from tests.contract.catalog.test_deliveries import claimed, delivered, queue
from tests.contract.catalog.values import NOW

from recorder_service.catalog.backlog import OutboxBacklog
from recorder_service.catalog.catalog import Catalog
from recorder_service.domain.application import Application


async def test_backlog_counts_what_waits_and_knows_the_oldest(catalog: Catalog, application: Application) -> None:
    """What is delivered waits no more; what somebody is sending still does."""
    assert await catalog.backlog.look() == OutboxBacklog(0, None)
    oldest = await queue(catalog, application, create_time=NOW - timedelta(hours=2))
    await queue(catalog, application, create_time=NOW - timedelta(hours=1))
    assert await catalog.backlog.look() == OutboxBacklog(2, NOW - timedelta(hours=2))
    lease = await claimed(catalog, oldest)
    assert (await catalog.backlog.look()).pending == 2
    await catalog.deliveries.record_attempt(lease, delivered(oldest), time=NOW, event_type=None)
    assert await catalog.backlog.look() == OutboxBacklog(1, NOW - timedelta(hours=1))

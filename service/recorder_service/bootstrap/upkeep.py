"""What is done from time to time, whoever calls: webhooks, retention, sweeping, purging."""

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import structlog

from recorder_service.bootstrap.ground import Ground, now
from recorder_service.catalog.deliveries import Lease
from recorder_service.config import Settings
from recorder_service.errors import RecorderError
from recorder_service.tracing.transport import TracedTransport
from recorder_service.webhooks.addresses import AddressGuard, SystemResolver
from recorder_service.webhooks.dispatcher import DispatcherSettings, WebhookDispatcher
from recorder_service.webhooks.leased_attempts import LeasedAttempts
from recorder_service.webhooks.networks import AddressRules
from recorder_service.webhooks.schedule import RetrySchedule
from recorder_service.webhooks.sender import WebhookSender
from recorder_service.webhooks.transport import WebhookTransport

log = structlog.get_logger(__name__)

EXPIRY_INTERVAL_S = 60.0
SWEEP_INTERVAL_S = 6 * 3600.0
_PURGE_INTERVAL_S = 3600.0
# A node that is away for so long does not come back to its conferences.
_GONE_FOR_GOOD_S = 24 * 3600.0


def webhook_dispatcher(settings: Settings, ground: Ground, stack: AsyncExitStack) -> WebhookDispatcher[Lease]:
    """Make what sends webhooks; `stack` stops it."""
    resolver = SystemResolver()
    stack.callback(resolver.close)
    guard = AddressGuard(AddressRules(settings.webhook_allow_cidrs), resolver)
    transport = WebhookTransport(guard)
    stack.push_async_exit(transport)
    traced = TracedTransport(transport, ground.tracing)
    sender = WebhookSender(ground.catalog.applications, traced, RetrySchedule(), now)
    deliveries = ground.catalog.deliveries
    attempts = LeasedAttempts(deliveries, sender, now, meter=ground.metrics.webhooks)
    limits = DispatcherSettings(workers=settings.webhook_workers)
    dispatcher = WebhookDispatcher(deliveries, deliveries.changed, attempts, now, limits)
    stack.push_async_callback(dispatcher.stop)
    return dispatcher


async def purge(settings: Settings, ground: Ground) -> None:
    """Forget old events and finished deliveries, hour by hour."""
    keep = timedelta(days=settings.event_retention_days)
    while True:
        try:
            await ground.catalog.events.purge(now() - keep)
            await ground.catalog.deliveries.purge(now() - keep)
            await ground.catalog.conferences.purge(_GONE_FOR_GOOD_S)
        except RecorderError as error:
            log.warning("purge_failed", reason=error.reason.name, error=error.message)
        await asyncio.sleep(_PURGE_INTERVAL_S)

"""WebhookService: watching and repeating webhooks."""

from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

from recorder.v1 import webhook_service_pb2 as messages
from recorder.v1 import webhook_service_pb2_grpc
from recorder_service.api.caller import caller, tenant
from recorder_service.api.conversions import delivery_message, delivery_state_message
from recorder_service.api.requests import choice, optional_uuid, uuid
from recorder_service.catalog.filters import DeliveryFilter
from recorder_service.catalog.paging import Page
from recorder_service.domain.delivery import Delivery, DeliveryState

_STATES = {int(delivery_state_message(state)): state for state in DeliveryState}


class Deliveries(Protocol):
    """The catalog's deliveries."""

    async def list(self, criteria: DeliveryFilter, page_size: int, page_token: str) -> Page[Delivery]:
        """Return a page, newest first."""

    async def redeliver(self, delivery_id: UUID, application_id: UUID | None, now: datetime) -> Delivery:
        """Make a delivery due now."""


class WebhookServicer(webhook_service_pb2_grpc.WebhookServiceServicer):
    """Serves deliveries to their owners."""

    def __init__(self, deliveries: Deliveries) -> None:
        """Serve from `deliveries`."""
        self._deliveries = deliveries

    async def ListDeliveries(
        self, request: messages.ListDeliveriesRequest, context: Any
    ) -> messages.ListDeliveriesResponse:
        """Return a page of deliveries."""
        criteria = DeliveryFilter(
            application_id=tenant(request.application_id, "application_id"),
            recording_id=optional_uuid(request.recording_id, "recording_id"),
            states=frozenset(choice(state, _STATES, "states") for state in request.states),
        )
        page = await self._deliveries.list(criteria, request.page_size, request.page_token)
        deliveries = [delivery_message(delivery) for delivery in page.items]
        return messages.ListDeliveriesResponse(deliveries=deliveries, next_page_token=page.next_page_token)

    async def Redeliver(self, request: messages.RedeliverRequest, context: Any) -> messages.RedeliverResponse:
        """Try a delivery again now."""
        delivery_id = uuid(request.delivery_id, "delivery_id")
        delivery = await self._deliveries.redeliver(delivery_id, caller().application_id, datetime.now(UTC))
        return messages.RedeliverResponse(delivery=delivery_message(delivery))

"""One try of a delivery: request, signature, answer, and what the delivery is afterwards."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

from recorder_service.domain.application import Application
from recorder_service.domain.delivery import Delivery, DeliveryState
from recorder_service.errors import NotFound
from recorder_service.webhooks.answer import Answer
from recorder_service.webhooks.request import WebhookRequest, request_of
from recorder_service.webhooks.schedule import RetrySchedule
from recorder_service.webhooks.signing import sign_webhook


class SigningApplications(Protocol):
    """Where an application's secret comes from, read anew for every try, so that a new secret counts at once."""

    async def get(self, application_id: UUID) -> Application:
        """Return an application.

        Raises:
            NotFound: There is none.
        """
        ...


class Transport(Protocol):
    """What carries a request to its endpoint."""

    async def send(self, request: WebhookRequest, signature: str) -> Answer:
        """Send it; every failure of the endpoint is an answer."""
        ...


class WebhookSender:
    """Tries deliveries. Keeps nothing between tries."""

    def __init__(
        self,
        applications: SigningApplications,
        transport: Transport,
        schedule: RetrySchedule,
        clock: Callable[[], datetime],
    ) -> None:
        self._applications = applications
        self._transport = transport
        self._schedule = schedule
        self._clock = clock

    async def try_once(self, delivery: Delivery) -> Delivery:
        """Send a delivery once and return it as it stands afterwards.

        The time of the attempt is when it began.

        Raises:
            RecorderError: The application cannot be looked up now; nothing was sent.
        """
        began = self._clock()
        answer = await self._answer(delivery, began)
        attempts = delivery.attempts + 1
        state, next_time = DeliveryState.DELIVERED, None
        if not answer.success:
            next_time = self._schedule.next_attempt_time(self._clock(), attempts, answer.status, answer.retry_after_s)
            state = DeliveryState.FAILED if next_time is None else DeliveryState.PENDING
        return replace(
            delivery,
            state=state,
            attempts=attempts,
            last_attempt_time=began,
            next_attempt_time=next_time,
            last_status=answer.status,
            last_error=answer.error,
        )

    async def _answer(self, delivery: Delivery, now: datetime) -> Answer:
        try:
            application = await self._applications.get(delivery.application_id)
            request = request_of(delivery)
        except NotFound:
            return Answer(error="the application is gone, so nothing can be signed")
        except ValueError:
            return Answer(error="the URL is not one that can be requested")
        signature = sign_webhook(application, delivery.delivery_id, request.signed_payload, now)
        return await self._transport.send(request, signature)

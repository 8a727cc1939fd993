from datetime import datetime, timedelta
from uuid import UUID

import pytest
from tests.unit.webhooks.webhook_values import APPLICATION, NOW, new_delivery

from recorder_service.domain.application import Application
from recorder_service.domain.delivery import DeliveryState
from recorder_service.errors import NotFound, Reason, Unavailable
from recorder_service.webhooks.answer import Answer
from recorder_service.webhooks.request import WebhookRequest
from recorder_service.webhooks.schedule import RetrySchedule
from recorder_service.webhooks.sender import WebhookSender

DELIVERY = new_delivery("https://e.example/hook")


class Stored:
    """One application, or the error instead of it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    async def get(self, application_id: UUID) -> Application:
        if self.error is not None:
            raise self.error
        return APPLICATION


class Wire:
    """Gives one answer, and moves the clock as a request does."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.sent: list[WebhookRequest] = []
        self.now = NOW

    def clock(self) -> datetime:
        return self.now

    async def send(self, request: WebhookRequest, signature: str) -> Answer:
        self.sent.append(request)
        self.now += timedelta(seconds=3)
        return self.answer


def new_sender(wire: Wire, error: Exception | None = None) -> WebhookSender:
    return WebhookSender(Stored(error), wire, RetrySchedule(uniform=lambda low, high: 1.0), wire.clock)


async def test_success_ends_the_delivery() -> None:
    """Delivered, with nothing due and no error left over."""
    after = await new_sender(Wire(Answer(202))).try_once(DELIVERY)
    assert (after.state, after.attempts, after.last_status, after.last_error) == (DeliveryState.DELIVERED, 1, 202, "")
    assert (after.last_attempt_time, after.next_attempt_time) == (NOW, None)


async def test_wait_begins_when_the_attempt_has_ended() -> None:
    """The attempt's time is its beginning, the next one counts from its end."""
    after = await new_sender(Wire(Answer(503, "answered 503"))).try_once(DELIVERY)
    assert after.state is DeliveryState.PENDING
    assert after.last_attempt_time == NOW
    assert after.next_attempt_time == NOW + timedelta(seconds=3 + 5)


async def test_endpoint_may_ask_for_time() -> None:
    """Retry-After reaches the schedule."""
    after = await new_sender(Wire(Answer(429, "answered 429", 90))).try_once(DELIVERY)
    assert after.next_attempt_time == NOW + timedelta(seconds=3 + 90)


async def test_application_that_is_gone_is_a_failed_attempt() -> None:
    """Nothing is sent unsigned."""
    wire = Wire(Answer(200))
    after = await new_sender(wire, NotFound(Reason.APPLICATION_NOT_FOUND, "none")).try_once(DELIVERY)
    assert wire.sent == []
    assert (after.attempts, after.last_status) == (1, 0)
    assert "gone" in after.last_error


async def test_catalog_trouble_is_no_attempt() -> None:
    """It says nothing about the endpoint, so it is not counted."""
    with pytest.raises(Unavailable):
        await new_sender(Wire(Answer(200)), Unavailable(Reason.CATALOG_FAILED, "away")).try_once(DELIVERY)

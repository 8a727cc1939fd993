"""Webhooks that go out, as spans."""

from typing import Protocol

from recorder_service.tracing.spans import Tracing
from recorder_service.webhooks.answer import Answer
from recorder_service.webhooks.request import WebhookRequest


class Transport(Protocol):
    """What carries a request to its endpoint."""

    async def send(self, request: WebhookRequest, signature: str) -> Answer:
        """Send it."""


class TracedTransport:
    """A transport whose requests are spans. The endpoint is told nothing of them: it is nobody we trust."""

    def __init__(self, transport: Transport, tracing: Tracing) -> None:
        """Trace `transport`."""
        self._transport = transport
        self._tracing = tracing

    async def send(self, request: WebhookRequest, signature: str) -> Answer:
        """As the transport does. The span has neither path nor query: they may hold secrets."""
        attributes = {"http.request.method": request.method, "server.address": request.host}
        with self._tracing.client(f"webhook {request.method}", attributes) as span:
            answer = await self._transport.send(request, signature)
            if answer.status:
                span.note("http.response.status_code", answer.status)
            if not answer.success:
                span.fail(str(answer.status or "no_answer"))
            return answer

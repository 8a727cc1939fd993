"""Webhooks: what came of them and what waits."""

from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from recorder_service.domain.delivery import Delivery, DeliveryState
from recorder_service.metrics.ages import AgeGauge

_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15)
_OUTCOMES = {DeliveryState.DELIVERED: "delivered", DeliveryState.PENDING: "retried", DeliveryState.FAILED: "given_up"}
_NO_ANSWER = "none"


class WebhookMetrics:
    """Counts attempts and deliveries."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Start at zero."""
        self._attempts = Counter(
            "recorder_webhook_attempts",
            "Tries of a delivery, by what they led to (delivered, retried, given_up) and the class of the HTTP status.",
            ["outcome", "status"],
            registry=registry,
        )
        self._deliveries = Counter(
            "recorder_webhook_deliveries",
            "Deliveries that came to their end: delivered or given_up.",
            ["outcome"],
            registry=registry,
        )
        self._seconds = Histogram(
            "recorder_webhook_attempt_seconds", "One try, up to its answer.", buckets=_BUCKETS_S, registry=registry
        )
        self._pending = Gauge(
            "recorder_webhook_pending_deliveries",
            "Deliveries in the catalog that wait for a try, of all nodes; counted up to 10 000.",
            registry=registry,
        )
        self._oldest = AgeGauge(
            "recorder_webhook_oldest_undelivered_age_seconds",
            "Age of the oldest delivery that waits, of all nodes; 0 if none waits.",
            registry,
        )
        for outcome in ("delivered", "given_up"):
            self._deliveries.labels(outcome)
        self._attempts.labels("delivered", "2xx")
        for status in (_NO_ANSWER, "4xx", "5xx"):
            self._attempts.labels("retried", status)
            self._attempts.labels("given_up", status)

    def tried(self, after: Delivery, elapsed_s: float) -> None:
        """Count a try; `after` is the delivery as it stands then."""
        outcome = _OUTCOMES[after.state]
        self._attempts.labels(outcome, _status_class(after.last_status)).inc()
        self._seconds.observe(elapsed_s)
        if after.state is not DeliveryState.PENDING:
            self._deliveries.labels(outcome).inc()

    def look(self, pending: int, oldest: datetime | None) -> None:
        """Note what waits in the catalog."""
        self._pending.set(pending)
        self._oldest.set_since(oldest)


def _status_class(status: int) -> str:
    return f"{status // 100}xx" if 100 <= status < 600 else _NO_ANSWER

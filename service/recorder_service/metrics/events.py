"""The event feed: who listens, and how far behind the facts they are."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class EventMetrics:
    """Measures the feed."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Start at zero."""
        self._lag = Histogram(
            "recorder_event_feed_lag_seconds",
            "From a fact until it is handed to a subscriber that had everything before it.",
            buckets=_BUCKETS_S,
            registry=registry,
        )
        self._sent = Counter("recorder_events_sent", "Events handed to subscribers.", registry=registry)
        self._subscribers = Gauge("recorder_event_subscribers", "Subscriptions that are open.", registry=registry)

    def subscribed(self) -> None:
        """Count a subscription."""
        self._subscribers.inc()

    def left(self) -> None:
        """Count a subscription no more."""
        self._subscribers.dec()

    def sent(self, lag_s: float | None) -> None:
        """Count an event; `lag_s` is None while a subscriber catches up with the past."""
        self._sent.inc()
        if lag_s is not None:
            self._lag.observe(max(0.0, lag_s))

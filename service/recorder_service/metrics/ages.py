"""Gauges that show how old something is, at the moment they are read."""

import time
from datetime import datetime

from prometheus_client import CollectorRegistry, Gauge


class AgeGauge:
    """Seconds since a moment, 0 while there is none. Setting it is cheap, reading it needs no look at anything."""

    def __init__(self, name: str, documentation: str, registry: CollectorRegistry) -> None:
        """Show 0."""
        self._since_s: float | None = None
        Gauge(name, documentation, registry=registry).set_function(self._age_s)

    def set_since(self, moment: datetime | None) -> None:
        """Count from a moment on; None where nothing waits."""
        self._since_s = None if moment is None else moment.timestamp()

    def _age_s(self) -> float:
        since_s = self._since_s
        return 0.0 if since_s is None else max(0.0, time.time() - since_s)

"""Readiness, as `/readyz` tells it, for dashboards."""

from collections.abc import Callable, Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry, Gauge


class Probe(Protocol):
    """One thing that can be well or not."""

    @property
    def name(self) -> str:
        """Names it: one of a few, fixed names."""

    def fault(self) -> str | None:
        """Say what is wrong, or None."""


class ReadinessMetrics:
    """Shows what keeps calls away."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Show nothing."""
        self._faults = Gauge(
            "recorder_unready", "1 while this keeps new calls away, by probe; else 0.", ["probe"], registry=registry
        )

    def watch(self, probes: Sequence[Probe]) -> None:
        """Ask the probes whenever the metrics are read; they must not wait for anything."""
        for probe in probes:
            self._faults.labels(probe.name).set_function(_asked(probe))


def _asked(probe: Probe) -> Callable[[], float]:
    return lambda: float(probe.fault() is not None)

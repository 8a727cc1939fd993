"""The process: which build it is, and whether its event loop keeps up."""

import asyncio
import platform

from prometheus_client import CollectorRegistry, Gauge, Histogram

from recorder_service import __version__

_INTERVAL_S = 0.25
_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class ProcessMetrics:
    """Measures the event loop: everything that receives and acknowledges waits at least that long."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Start at zero."""
        self._lag = Histogram(
            "recorder_event_loop_lag_seconds",
            "How late the event loop wakes a task that asked for a moment; four times a second.",
            buckets=_BUCKETS_S,
            registry=registry,
        )
        build = Gauge("recorder_build_info", "1, with what runs as labels.", ["version", "python"], registry=registry)
        build.labels(__version__, platform.python_version()).set(1)

    async def watch_loop(self) -> None:
        """Measure for ever."""
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + _INTERVAL_S
            await asyncio.sleep(_INTERVAL_S)
            self._lag.observe(max(0.0, loop.time() - due_s))

"""The metrics of several processes as those of one: every series once a worker, told apart by a label."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping

import httpcore
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

_TIMEOUT_S = 3.0
_MAX_BYTES = 8 * 1024 * 1024
LABEL = "worker"


class MergedMetrics(Collector):
    """What the workers said when they were last asked.

    Series are not added up: a sum of counters falls when one of the processes starts anew, and looks like a burst.
    `sum without (worker) (...)` adds them up where they are read, after `rate`.
    """

    def __init__(self, ports: Callable[[], Mapping[str, int | None]]) -> None:
        """Ask the workers on loopback.

        Args:
            ports: Gives each worker's metrics port; None for one that does not serve now.
        """
        self._ports = ports
        self._texts: dict[str, str] = {}

    async def refresh(self) -> None:
        """Ask all workers at once; one that does not answer in time is left out and counts as down."""
        ports = self._ports()
        async with httpcore.AsyncConnectionPool() as pool:
            answers = await asyncio.gather(*(_text(pool, port) for port in ports.values()))
        self._texts = {name: text for name, text in zip(ports, answers, strict=True) if text is not None}

    def collect(self) -> Iterable[Metric]:
        """Give every family once, with the samples of all workers."""
        up = GaugeMetricFamily("recorder_worker_up", "Whether the worker answers, 1 or 0.", labels=[LABEL])
        families: dict[str, Metric] = {}
        for name in self._ports():
            up.add_metric([name], float(name in self._texts))
        for name, text in self._texts.items():
            for family in _labelled(text, name):
                known = families.setdefault(family.name, family)
                if known is not family:
                    known.samples.extend(family.samples)
        return [up, *families.values()]

    def describe(self) -> Iterable[Metric]:
        """Name nothing beforehand: what there is depends on the workers."""
        return ()


def _labelled(text: str, worker: str) -> Iterator[Metric]:
    for family in text_string_to_metric_families(text):
        if family.name.endswith("_created"):
            continue  # in the text format the starting times of counters look like gauges
        family.samples = [sample._replace(labels={**sample.labels, LABEL: worker}) for sample in family.samples]
        yield family


async def _text(pool: httpcore.AsyncConnectionPool, port: int | None) -> str | None:
    if port is None:
        return None
    with contextlib.suppress(TimeoutError, httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException):
        async with asyncio.timeout(_TIMEOUT_S):
            response = await pool.request("GET", f"http://127.0.0.1:{port}/metrics")
            if response.status == 200 and len(response.content) <= _MAX_BYTES:
                return response.content.decode()
    return None

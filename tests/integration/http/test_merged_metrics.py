"""The metrics of several processes behind one port, from real servers."""

import asyncio
from contextlib import AsyncExitStack

import httpcore
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.parser import text_string_to_metric_families

from recorder_service.http.app import create_operations_app
from recorder_service.http.merged_metrics import MergedMetrics
from recorder_service.http.server import HttpServer


def a_registry(count: int) -> CollectorRegistry:
    registry = CollectorRegistry()
    Counter("calls", "Calls.", ["code"], registry=registry).labels("OK").inc(count)
    Gauge("live", "Live.", registry=registry).set(count)
    Histogram("took_seconds", "Took.", buckets=(1, 2), registry=registry).observe(count)
    return registry


async def _scrape(port: int, accept: str = "") -> str:
    async with httpcore.AsyncConnectionPool() as pool:
        response = await pool.request("GET", f"http://127.0.0.1:{port}/metrics", headers={"accept": accept})
    assert response.status == 200
    return response.content.decode()


async def test_every_series_of_every_worker_is_shown_once() -> None:
    """Families once, samples by worker; one that is away counts as down and disturbs nobody."""
    async with AsyncExitStack() as stack:
        ports: dict[str, int | None] = {"gone": 1, "starting": None}
        for number in (1, 2):
            server = HttpServer(create_operations_app(a_registry(number), [], []), "127.0.0.1", 0)
            await stack.enter_async_context(server)
            ports[str(number)] = server.port
        merged = MergedMetrics(lambda: ports)
        registry = CollectorRegistry()
        registry.register(merged)
        front = HttpServer(create_operations_app(registry, [], [], merged.refresh), "127.0.0.1", 0)
        await stack.enter_async_context(front)
        text, openmetrics = await asyncio.gather(
            _scrape(front.port), _scrape(front.port, "application/openmetrics-text; version=1.0.0")
        )
    assert openmetrics.endswith("# EOF\n")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert set(families) == {"recorder_worker_up", "calls", "live", "took_seconds"}
    assert _values(families["recorder_worker_up"], "recorder_worker_up") == {"gone": 0, "starting": 0, "1": 1, "2": 1}
    assert _values(families["calls"], "calls_total") == {"1": 1, "2": 2}
    assert _values(families["live"], "live") == {"1": 1, "2": 2}
    assert _values(families["took_seconds"], "took_seconds_sum") == {"1": 1, "2": 2}


def _values(family: object, name: str) -> dict[str, float]:
    samples = [sample for sample in family.samples if sample.name == name]  # type: ignore[attr-defined]
    values = {sample.labels["worker"]: sample.value for sample in samples}
    assert len(values) == len(samples)
    return values

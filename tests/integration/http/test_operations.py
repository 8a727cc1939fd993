"""Health and metrics over a real server."""

import asyncio
import http.client
import json
from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from recorder_service.http.app import create_operations_app
from recorder_service.http.server import HttpServer


@dataclass
class Switch:
    """A probe that can be turned off."""

    name: str
    wrong: str | None = None

    def fault(self) -> str | None:
        return self.wrong


def ask(port: int, path: str, accept: str = "*/*") -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", path, headers={"Accept": accept})
    response = connection.getresponse()
    answer = response.status, response.headers["content-type"], response.read().decode()
    connection.close()
    return answer


@pytest.mark.parametrize(
    ("writer", "disk", "alive", "ready"),
    [(None, None, 200, 200), (None, "over the soft mark", 200, 503), ("stuck", None, 503, 503)],
)
async def test_health_follows_the_probes(writer: str | None, disk: str | None, alive: int, ready: int) -> None:
    """A full disk keeps calls away; only a dead part asks for a restart."""
    app = create_operations_app(CollectorRegistry(), [Switch("journal", writer)], [Switch("disk", disk)])
    async with HttpServer(app, "127.0.0.1", 0) as server:
        health = await asyncio.to_thread(ask, server.port, "/healthz")
        readiness = await asyncio.to_thread(ask, server.port, "/readyz")
    assert (health[0], readiness[0]) == (alive, ready)
    faults = {name: fault for name, fault in (("journal", writer), ("disk", disk)) if fault}
    assert json.loads(readiness[2]) == ({"status": "unavailable", "faults": faults} if faults else {"status": "ok"})


async def test_metrics_of_the_given_registry_are_exposed() -> None:
    """In the text format, and in OpenMetrics for those who ask; no other path exists."""
    registry = CollectorRegistry()
    Counter("recorder_downloads", "Downloads by outcome.", ["outcome"], registry=registry).labels("complete").inc(3)
    async with HttpServer(create_operations_app(registry, [], []), "127.0.0.1", 0) as server:
        text = await asyncio.to_thread(ask, server.port, "/metrics")
        openmetrics = await asyncio.to_thread(
            ask, server.port, "/metrics", "application/openmetrics-text;version=1.0.0"
        )
        nowhere = await asyncio.to_thread(ask, server.port, "/v1/files/x")
    assert (text[0], text[1].split(";")[0]) == (200, "text/plain")
    assert openmetrics[1].startswith("application/openmetrics-text")
    for families in (parse_text(text[2]), parse_openmetrics(openmetrics[2])):  # type: ignore[no-untyped-call]
        samples = {sample.name: sample.value for family in families for sample in family.samples}
        assert samples["recorder_downloads_total"] == 3
    assert nowhere[0] == 404

"""How long a message takes to become durable while many calls run in real time."""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.harness.client import Client
from tests.harness.commits import Commits
from tests.harness.server import Server
from tests.robustness.flat_calls import Settings, record_elsewhere
from tests.robustness.report import Result, Scenario

_GOAL = (
    "receive to durable p99 < 50 ms at 200 live G.711 calls of 20 ms messages on two cores (quick: 40 calls, < 250 ms)"
)
# The quick form also runs on machines that do other things.
_LIMIT_S = {True: 0.25, False: 0.05}
_ACK_INTERVAL_MS = 50.0
PRODUCT = ("recorder_service",)


async def run(seed: int, quick: bool, module: Sequence[str] = PRODUCT) -> Result:
    """Record from another process; the server's own histogram says how long each group's first message waited."""
    calls, seconds = (40, 4.0) if quick else (200, 60.0)
    with tempfile.TemporaryDirectory(prefix="robustness-") as directory:
        server = Server(Path(directory) / "data", module=module)
        try:
            await asyncio.to_thread(server.start)
            async with Client(server.ports.grpc) as client:
                tenant = await client.create_tenant(server.admin_token)
            before, cpu_s, began_s = Commits.of(server.ports.metrics), server.cpu_s(), time.monotonic()
            target = f"127.0.0.1:{server.ports.grpc}"
            figures = await record_elsewhere(Settings(target, tuple(tenant.metadata), calls, seconds))
            commits = Commits.of(server.ports.metrics).since(before)
            cpu = (server.cpu_s() - cpu_s) / (time.monotonic() - began_s)
        finally:
            await asyncio.to_thread(server.close)
    limit_s = _LIMIT_S[quick]
    loaded = figures.sent == figures.acknowledged == calls * round(seconds * 50)
    ok = loaded and figures.completed == calls and commits.share_within(limit_s) >= 0.99
    figure = (
        f"{calls} calls: receive to durable p99 <= {commits.bound_s(0.99) * 1000:g} ms, "
        f"{commits.share_within(limit_s):.2%} within {limit_s * 1000:g} ms; "
        f"ack p50 {figures.ack_p50_ms:g} p99 {figures.ack_p99_ms:g} ms (interval {_ACK_INTERVAL_MS:g}); "
        f"server {cpu:.2f} cores"
    )
    facts = {"commits": commits.counts, "cores": round(cpu, 2), "seed": seed}
    return Result("latency", figure, _GOAL, ok, {**facts, **asdict(figures)})


SCENARIOS = (Scenario("latency", _GOAL, run, ("tests.robustness.operational_bugs:groups_gather_too_long",)),)

"""How long a message takes to become durable while many calls run in real time."""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.bench import generator, messages
from tests.bench.load import Load
from tests.bench.messages import Form
from tests.harness.client import Client
from tests.harness.commits import Commits
from tests.harness.server import Server
from tests.robustness.flat_calls import Figures, Settings, record_elsewhere
from tests.robustness.report import Result, Scenario

from recorder_service.audio.formats import Encoding

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
            figures = await _recorded(Settings(target, tuple(tenant.metadata), calls, seconds))
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


async def _recorded(settings: Settings) -> Figures:
    """Record with the load generator of the benchmark, which costs the least; where there is no Go, with Python."""
    try:
        await asyncio.to_thread(generator.build)
    except generator.GeneratorMissing:
        return await record_elsewhere(settings)
    return await asyncio.to_thread(_generated, settings)


def _generated(settings: Settings) -> Figures:
    form = Form(
        20, settings.seconds, encoding=Encoding.MULAW, sample_rate_hz=8000, ncco={"split": "conversation"},
        ack_interval_ms=round(_ACK_INTERVAL_MS),
    )  # fmt: skip
    # Spread over a second, as calls are.
    load = Load(form, settings.calls, 1000 / settings.calls)
    with tempfile.TemporaryDirectory(prefix="robustness-") as directory:
        files = messages.write(form, settings.calls, Path(directory))
        traffic = generator.run(generator.Plan.of(settings.target, dict(settings.metadata), files, load))
    return Figures(
        sent=traffic.sent,
        acknowledged=traffic.acknowledged,
        completed=sum(call.completed > 0 for call in traffic.calls),
        late_ms=round(traffic.late_ms.p99, 1),
        ack_p50_ms=round(traffic.ack_ms.p50, 1),
        ack_p99_ms=round(traffic.ack_ms.p99, 1),
        errors=traffic.errors,
    )


SCENARIOS = (Scenario("latency", _GOAL, run, ("tests.robustness.operational_bugs:groups_gather_too_long",)),)

"""How long a message takes to become durable while many calls run in real time."""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
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
# Where the goal's level does not hold, the next one says how far the machine goes.
_LEVELS = {True: (40,), False: (200, 150)}
_SECONDS = {True: 4.0, False: 60.0}
_BEGINNINGS_PER_S = 50
PRODUCT = ("recorder_service",)


async def run(seed: int, quick: bool, module: Sequence[str] = PRODUCT) -> Result:
    """Record from another process; the server's own histogram says how long each group's first message waited."""
    limit_s, levels = _LIMIT_S[quick], []
    for calls in _LEVELS[quick]:
        levels.append(await _level(calls, _SECONDS[quick], limit_s, module))
        if levels[-1].holds:
            break
    figure = "; ".join(level.told(limit_s) for level in levels)
    return Result(
        "latency", figure, _GOAL, levels[0].holds, {"seed": seed, "levels": [asdict(level) for level in levels]}
    )


@dataclass(frozen=True, slots=True)
class _Level:
    """What came of so many calls at once."""

    calls: int
    cores: float
    within: float
    bound_ms: float
    figures: Figures
    holds: bool

    def told(self, limit_s: float) -> str:
        """Say it in a line."""
        return (
            f"{self.calls} calls: receive to durable p99 <= {self.bound_ms:g} ms, {self.within:.2%} within "
            f"{limit_s * 1000:g} ms; ack p50 {self.figures.ack_p50_ms:g} p99 {self.figures.ack_p99_ms:g} ms; "
            f"server {self.cores:.2f} cores"
        )


async def _level(calls: int, seconds: float, limit_s: float, module: Sequence[str]) -> _Level:
    """Record so many calls on a server of their own."""
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
            cores = (server.cpu_s() - cpu_s) / (time.monotonic() - began_s)
        finally:
            await asyncio.to_thread(server.close)
    loaded = figures.sent == figures.acknowledged == calls * round(seconds * 50) and figures.completed == calls
    within = commits.share_within(limit_s)
    return _Level(calls, round(cores, 2), within, commits.bound_s(0.99) * 1000, figures, loaded and within >= 0.99)


async def _recorded(settings: Settings) -> Figures:
    """Record with the load generator of the benchmark, which costs the least; where there is no Go, with Python."""
    try:
        await asyncio.to_thread(generator.build)
    except generator.GeneratorMissing:
        return await record_elsewhere(settings)
    return await asyncio.to_thread(_generated, settings)


def _generated(settings: Settings) -> Figures:
    form = Form(20, settings.seconds, encoding=Encoding.MULAW, sample_rate_hz=8000)
    load = Load(form, settings.calls, 1000 / _BEGINNINGS_PER_S)
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

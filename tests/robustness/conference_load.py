"""Many conferences at once in real time, each leg on a stream of its own: how long a message waits for its ack."""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import generator, messages
from tests.bench.load import Load
from tests.bench.messages import Form
from tests.bench.traffic import Traffic
from tests.harness.client import Client, Metadata
from tests.harness.server import Server
from tests.robustness.report import Result, Scenario

_GOAL = (
    "50 conferences of 6 legs in real time on two cores, begun within 10 s: no message waits longer than 500 ms for "
    "its acknowledgement (quick: 5 of 6 within 1 s)"
)
_LATE_MS = 500.0
# The wait is counted from sending a message to the acknowledgement that covers it: the interval is a part of it. Less
# than half of the default, and not the shortest: an acknowledgement costs more than taking a message.
_ACK_INTERVAL_MS = 200
PRODUCT = ("recorder_service",)


@dataclass(frozen=True, slots=True)
class Size:
    """How many conferences, of how many legs, for how long, begun within how much time."""

    conferences: int
    legs: int
    seconds: float
    within_s: float

    @property
    def load(self) -> Load:
        """What is sent: 100 ms of linear PCM in a message."""
        form = Form(
            100, self.seconds, legs=self.legs, conference=True, apart=True, ack_interval_ms=_ACK_INTERVAL_MS
        )  # fmt: skip
        return Load(form, self.conferences, self.within_s * 1000 / self.conferences)

    @property
    def messages(self) -> int:
        """All messages of audio."""
        return self.conferences * self.legs * self.load.form.message_count

    @property
    def leg_hours(self) -> float:
        """All audio."""
        return self.conferences * self.legs * self.seconds / 3600


FULL = Size(50, 6, 60.0, within_s=10.0)
QUICK = Size(5, 6, 6.0, within_s=1.0)


async def run(seed: int, quick: bool, module: Sequence[str] = PRODUCT) -> Result:
    """Send with the load generator of the benchmark. A run in which that was late itself does not count."""
    size = QUICK if quick else FULL
    await asyncio.to_thread(generator.build)
    with tempfile.TemporaryDirectory(prefix="robustness-") as directory:
        server = Server(Path(directory) / "data", module=module)
        try:
            await asyncio.to_thread(server.start)
            async with Client(server.ports.grpc) as client:
                tenant = await client.create_tenant(server.admin_token)
            cpu_s, began_s = server.cpu_s(), time.monotonic()
            target = f"127.0.0.1:{server.ports.grpc}"
            traffic = await asyncio.to_thread(_sent, size, target, tenant.metadata, Path(directory))
            cpu_s, took_s = server.cpu_s() - cpu_s, time.monotonic() - began_s
        finally:
            await asyncio.to_thread(server.close)
    return _judged(size, traffic, cpu_s, took_s, seed)


def _sent(size: Size, target: str, metadata: Metadata, directory: Path) -> Traffic:
    files = messages.write(size.load.form, size.conferences, directory)
    return generator.run(generator.Plan.of(target, dict(metadata), files, size.load))


def _judged(size: Size, traffic: Traffic, cpu_s: float, took_s: float, seed: int) -> Result:
    in_time = size.load.kept_pace(traffic)
    # A server that takes messages too slowly holds them up before they are sent: that must not look like short waits.
    behind_ms = max((call.closed - call.began) / 1e6 for call in traffic.calls) - size.seconds * 1000
    files = traffic.completed(size.legs)
    taken = traffic.sent == traffic.acknowledged == size.messages
    prompt = traffic.ack_ms.max <= _LATE_MS and behind_ms <= _LATE_MS
    per_leg_hour_s = cpu_s / size.leg_hours
    figure = (
        f"{size.conferences} conferences of {size.legs} legs, {size.seconds:g} s: message to ack p50 "
        f"{traffic.ack_ms.p50:.0f} p99 {traffic.ack_ms.p99:.0f} worst {traffic.ack_ms.max:.0f} ms (interval "
        f"{_ACK_INTERVAL_MS}); {per_leg_hour_s:.1f} CPU-s a leg-hour; {files} files; generator late p99 "
        f"{traffic.late_ms.p99:.1f} worst {traffic.late_ms.max:.0f} ms{'' if in_time else ': does not count'}"
    )
    details = {
        "sent": traffic.sent,
        "acknowledged": traffic.acknowledged,
        "files": files,
        "ack_p50_ms": traffic.ack_ms.p50,
        "ack_p99_ms": traffic.ack_ms.p99,
        "ack_worst_ms": traffic.ack_ms.max,
        "behind_ms": round(behind_ms, 1),
        "cpu_s_per_leg_hour": round(per_leg_hour_s, 2),
        "server_cores": round(cpu_s / took_s, 2),
        "generator_cores": round(traffic.cpu_s / took_s, 2),
        "late_p99_ms": traffic.late_ms.p99,
        "late_worst_ms": traffic.late_ms.max,
        "counts": in_time,
        "errors": traffic.errors[:10],
        "seed": seed,
    }
    ok = in_time and taken and prompt and files == size.conferences and not traffic.errors
    return Result("conference_load", figure, _GOAL, ok, details)


SCENARIOS = (
    Scenario("conference_load", _GOAL, run, ("tests.robustness.conference_bugs:streams_choose_their_own_interval",)),
)

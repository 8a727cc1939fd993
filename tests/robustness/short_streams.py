"""Very many very short calls, half of them cancelled at a random point: nothing of them may stay."""

import asyncio
import random
import re
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from tests.harness.client import EOF, Client
from tests.harness.files import fetch
from tests.harness.server import Server
from tests.robustness.flat_calls import closing, messages, opening, raw_stream
from tests.robustness.report import Result, Scenario

from recorder.v1 import recorder_service_pb2

_GOAL = (
    "20,000 short streams, half cancelled at random points: < 300 B of memory a stream (quick: 500, < 16 KiB), open "
    "files, background tasks and live recordings back to where they were"
)
_LIMIT_BYTES = {True: 16_384, False: 300}
_COUNTS = {True: 500, False: 20_000}
_AT_ONCE = 20
_MESSAGES = 5
_SETTLED_WITHIN_S = 30.0
# Room that is freed is given back at once: what stays is held, and not only kept by the allocator for later.
_GIVE_BACK = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_MMAP_THRESHOLD_": "65536"}
_GAUGE = re.compile(r'^(recorder_live_recordings|recorder_background_tasks)(?:{kind="call"})? (\S+)$', re.MULTILINE)
PRODUCT = ("recorder_service",)


@dataclass(frozen=True, slots=True)
class Held:
    """What a server holds at a moment."""

    streams: int
    rss_bytes: int
    files: int
    tasks: int
    live: int

    @classmethod
    def of(cls, server: Server, streams: int) -> "Held":
        """Look."""
        gauges = dict(_GAUGE.findall(fetch(f"http://127.0.0.1:{server.ports.metrics}/metrics").body.decode()))
        tasks, live = float(gauges["recorder_background_tasks"]), float(gauges["recorder_live_recordings"])
        return cls(streams, server.rss_bytes(), server.file_descriptors(), int(tasks), int(live))


async def run(seed: int, quick: bool, module: Sequence[str] = PRODUCT) -> Result:
    """Warm up, then measure after every tenth of the streams, each time when all has come to rest."""
    count = _COUNTS[quick]
    step = count // 10
    generator = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="robustness-") as directory:
        arguments = ["--resume-window-s", "0.2"]
        environment = {"RECORDER_LOG_LEVEL": "error", **_GIVE_BACK}
        server = Server(Path(directory) / "data", arguments=arguments, environment=environment, module=module)
        try:
            await asyncio.to_thread(server.start)
            async with Client(server.ports.grpc) as client:
                tenant = await client.create_tenant(server.admin_token)
                began_s = time.monotonic()
                found: list[Held] = []
                outcomes: dict[str, int] = {}
                for done in range(step, count + 1, step):
                    await _streams(client, tuple(tenant.metadata), generator, step, outcomes)
                    found.append(await _settled(server, done))
                elapsed_s, cpu_s = time.monotonic() - began_s, server.cpu_s()
        finally:
            await asyncio.to_thread(server.close)
    # The first three tenths warm up caches, pools and the allocator.
    warm = found[3:]
    slope = statistics.linear_regression([held.streams for held in warm], [held.rss_bytes for held in warm]).slope
    first, last = warm[0], warm[-1]
    flat = last.files <= first.files + 2 and last.tasks == 0 and last.live == 0
    loaded = sum(outcomes.values()) == count and min(outcomes.get(kind, 0) for kind in ("OK", "CANCELLED")) > count // 4
    ok = slope < _LIMIT_BYTES[quick] and flat and loaded
    figure = (
        f"{count} streams ({outcomes}) in {elapsed_s:.0f} s: {slope:.0f} B each, {first.files} -> {last.files} open "
        f"files, {last.tasks} tasks and {last.live} recordings left"
    )
    rss = [round(held.rss_bytes / (1 << 20), 2) for held in found]
    return Result(
        "short_streams",
        figure,
        _GOAL,
        ok,
        {"slope_bytes": round(slope), "rss_mib": rss, "cpu_s": round(cpu_s, 1), "seed": seed},
    )


async def _streams(
    client: Client,
    metadata: tuple[tuple[str, str], ...],
    generator: random.Random,
    count: int,
    outcomes: dict[str, int],
) -> None:
    """Run so many streams, some at a time; every second one is cancelled, at a point that the seed decides."""
    # The first message but two to the last: 0 cancels before anything is sent.
    points = [generator.randrange(_MESSAGES + 2) if index % 2 else None for index in range(count)]
    script = messages(_MESSAGES)

    async def some(mine: Sequence[int | None]) -> None:
        for point in mine:
            outcome = await _stream(client.channel, metadata, script, point, generator.uniform(0, 0.01))
            outcomes[outcome] = outcomes.get(outcome, 0) + 1

    await asyncio.gather(*(some(points[first::_AT_ONCE]) for first in range(_AT_ONCE)))


async def _stream(
    channel: grpc.aio.Channel,
    metadata: tuple[tuple[str, str], ...],
    script: Sequence[bytes],
    cancelled_at: int | None,
    pause_s: float,
) -> str:
    stream = raw_stream(channel, metadata)
    try:
        for index, message in enumerate((opening(), *script, closing(len(script) + 2))):
            if index == cancelled_at:
                await asyncio.sleep(pause_s)
                stream.cancel()
                break
            await stream.write(message)
        while (data := await stream.read()) is not EOF:
            recorder_service_pb2.RecordCallResponse.FromString(data)
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        pass
    except asyncio.CancelledError:
        if not stream.cancelled():
            raise
    return str((await stream.code()).name)


async def _settled(server: Server, streams: int) -> Held:
    """Wait until everything ended, or long enough."""
    deadline_s = time.monotonic() + _SETTLED_WITHIN_S
    while True:
        held = await asyncio.to_thread(Held.of, server, streams)
        if held.live == held.tasks == 0 or time.monotonic() > deadline_s:
            return held
        await asyncio.sleep(0.1)


SCENARIOS = (
    Scenario("short_streams", _GOAL, run, ("tests.robustness.operational_bugs:ended_recordings_keep_their_encoder",)),
)

"""Clients that never read and clients that flood: they cost little, and calls beside them do not suffer.

`python -m tests.robustness.stalled_clients SETTINGS` is the process of the bad ones.
"""

import asyncio
import contextlib
import json
import random
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import grpc
from tests.harness.client import Client, Tenant, leg
from tests.harness.commits import Commits
from tests.harness.files import fetch
from tests.harness.server import Server
from tests.robustness.flat_calls import messages, opening, raw_stream
from tests.robustness.live_calls import LiveCalls, p99_s
from tests.robustness.report import Result, Scenario

_GOAL = (
    "500 clients that never read and 500 that flood (quick: 50 + 50): < 300 MB more memory (quick: 150 MB), "
    "healthy calls lose nothing and are acknowledged within +20 % or 250 ms (p99; quick: 10 s)"
)
_MOST_BYTES = {True: 150_000_000, False: 300_000_000}
# The quick form also runs on machines that do other things: there it only shows that nobody is shut out.
_ACK_BOUND_S = {True: 10.0, False: 0.25}
_CHANNELS = 4
# One leg of 16 kHz, a WAV file: what encoders and resamplers hold is not what bad clients cost, and five hundred calls
# in real time have to be within what two cores can do.
_FLOOD_FRAMES = 16_000
_FLOOD_MESSAGES = 140
_CHUNK_S = 0.2
_CHUNK_FRAMES = 3200
_MESSAGES = 700
_TELL_S = 0.5
# What a client gets that asks for nothing else.
_ACK_INTERVAL_MS = 500
_OPENED_SHARE = 0.95
_OPENED_WITHIN_S = 60.0
# As the refusal of a server that has enough to do asks for.
_COME_BACK_S = 5.0
# The client's window for a stream: `opened` and some acknowledgements, then the server cannot write any more.
_WINDOW_BYTES = 1024
_NARROW = (("grpc.http2.lookahead_bytes", _WINDOW_BYTES), ("grpc.http2.bdp_probe", 0))
_LIVE = re.compile(r'^recorder_live_recordings(?:{kind="call"})? (\S+)$', re.MULTILINE)
PRODUCT = ("recorder_service",)


async def run(seed: int, quick: bool, module: Sequence[str] = PRODUCT) -> Result:
    """Measure healthy calls alone, then beside the bad ones."""
    each, seconds, healthy = (50, 6.0, 4) if quick else (500, 60.0, 10)
    limit = str(2 * each + 100)
    with tempfile.TemporaryDirectory(prefix="robustness-") as directory:
        environment = {"RECORDER_MAX_LIVE_RECORDINGS": limit}
        server = Server(Path(directory) / "data", environment=environment, module=module)
        try:
            await asyncio.to_thread(server.start)
            async with Client(server.ports.grpc) as client:
                tenant = await client.create_tenant(server.admin_token)
            async with LiveCalls(server.ports.grpc, tenant, seed) as calls:
                going = await calls.begin(healthy)
                began_s = time.monotonic()
                await asyncio.sleep(2 if quick else 10)
                before_s = p99_s(calls.waits_s(going, began_s, time.monotonic()))
                before_bytes = most_bytes = server.rss_bytes()
                async with _bad_ones(server, tenant, each) as told:
                    began_s, commits = time.monotonic(), Commits.of(server.ports.metrics)
                    opened = await _all_open(server, 2 * each)
                    until_s = time.monotonic() + seconds
                    while time.monotonic() < until_s:
                        await asyncio.sleep(0.1)
                        most_bytes = max(most_bytes, server.rss_bytes())
                    commits = Commits.of(server.ports.metrics).since(commits)
                    during_s = p99_s(calls.waits_s(going, began_s, time.monotonic()))
                late = await calls.hang_up(going, 60)
                verdict = await calls.verdict(going)
        finally:
            await asyncio.to_thread(server.kill)
    growth = most_bytes - before_bytes
    loaded = opened >= _OPENED_SHARE * 2 * each and told["flooded"] > each
    ack_ok = 0 < during_s <= max(1.2 * before_s, _ACK_BOUND_S[quick])
    ok = verdict.sound and late == 0 and growth < _MOST_BYTES[quick] and ack_ok and loaded
    figure = (
        f"{each} never read, {each} flood ({opened} open, {told['flooded']} floods taken, {told['refused']} refused): "
        f"+{growth / 1e6:.0f} MB; ack p99 {before_s * 1000:.0f} -> {during_s * 1000:.0f} ms "
        f"(durable p99 <= {commits.bound_s(0.99) * 1000:g} ms); "
        f"{verdict.lost} lost of {verdict.acknowledged}"
    )
    return Result(
        "stalled_clients",
        figure,
        _GOAL,
        ok,
        {**told, "commits": commits.counts, "growth_bytes": growth, "late": late, **asdict(verdict), "seed": seed},
    )


async def _all_open(server: Server, count: int) -> int:
    """Wait until the server has nearly so many recordings, or long enough; return how many it has."""
    until_s = time.monotonic() + _OPENED_WITHIN_S
    while (live := await asyncio.to_thread(_live, server)) < _OPENED_SHARE * count:
        if time.monotonic() > until_s:
            break
        await asyncio.sleep(_TELL_S)
    return live


def _live(server: Server) -> int:
    found = _LIVE.search(fetch(f"http://127.0.0.1:{server.ports.metrics}/metrics").body.decode())
    assert found is not None
    return int(float(found[1]))


@contextlib.asynccontextmanager
async def _bad_ones(server: Server, tenant: Tenant, each: int) -> AsyncIterator[dict[str, int]]:
    """Have the bad ones in a process of their own; what it tells last is in the dictionary."""
    settings = {"target": f"127.0.0.1:{server.ports.grpc}", "metadata": list(tenant.metadata), "each": each}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__, json.dumps(settings)),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    told: dict[str, int] = {}
    assert process.stdout is not None
    stdout = process.stdout

    async def follow() -> None:
        while line := await stdout.readline():
            told.update(json.loads(line))

    async with asyncio.timeout(30):
        told.update(json.loads(await stdout.readline()))
    following = asyncio.create_task(follow())
    try:
        yield told
    finally:
        process.kill()
        await process.wait()
        await following


class BadOnes:
    """Streams that do one thing wrong each."""

    def __init__(self, settings: dict[str, Any]) -> None:
        metadata = [(key, value) for key, value in settings["metadata"]]
        self._metadata = tuple(metadata)
        self._each = int(settings["each"])
        # Several connections: one would be throttled as one.
        self._channels = [
            grpc.aio.insecure_channel(settings["target"], (*_NARROW, ("grpc.use_local_subchannel_pool", 1)))
            for _ in range(_CHANNELS)
        ]
        self._normal = messages(_MESSAGES, _CHUNK_FRAMES, ("caller",), 2)
        self._floods = messages(_FLOOD_MESSAGES, _FLOOD_FRAMES, ("caller",), 2)
        self._tasks: list[asyncio.Task[None]] = []
        self.flooded = 0
        self.refused = 0

    async def run(self) -> None:
        """Misbehave until killed."""
        for index in range(self._each):
            channel = self._channels[index % _CHANNELS]
            tasks = (self._insist(self._never_read, channel), self._insist(self._flood, channel))
            self._tasks += [asyncio.create_task(task) for task in tasks]
            await asyncio.sleep(0.005)
        while True:
            sys.stdout.write(json.dumps({"flooded": self.flooded, "refused": self.refused}) + "\n")
            sys.stdout.flush()
            await asyncio.sleep(_TELL_S)

    async def _insist(self, misbehave: Callable[[Any], Awaitable[None]], channel: grpc.aio.Channel) -> None:
        """Misbehave, and come back when the server has no room, or gRPC does not hand the stream to it within 30 s."""
        while True:
            stream = raw_stream(channel, self._metadata)
            # A write to a stream that was refused fails; the status then says why.
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await stream.write(opening(legs=[leg()], ack_interval_ms=_ACK_INTERVAL_MS, format="wav"))
                await misbehave(stream)
            await stream.code()
            self.refused += 1
            await asyncio.sleep(_COME_BACK_S * random.uniform(1, 1.2))

    async def _never_read(self, stream: Any) -> None:
        """Send in real time and leave the answers where they are."""
        for message in self._normal:
            await stream.write(message)
            await asyncio.sleep(_CHUNK_S)

    async def _flood(self, stream: Any) -> None:
        """Send seconds of audio as fast as the line takes them, and leave the answers too."""
        for message in self._floods:
            await stream.write(message)
            self.flooded += 1


async def _misbehave(settings: dict[str, Any]) -> None:
    # Channels belong to the loop that runs when they are made.
    await BadOnes(settings).run()


SCENARIOS = (
    Scenario("stalled_clients", _GOAL, run, ("tests.robustness.operational_bugs:everything_received_is_kept_decoded",)),
)


if __name__ == "__main__":
    asyncio.run(_misbehave(json.loads(sys.argv[1])))

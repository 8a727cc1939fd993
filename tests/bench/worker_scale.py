"""How much more two workers carry than one: `python -m tests.bench.worker_scale [--calls N] [--seconds S]`.

A load generator on the same cores would decide the outcome of a race to saturation. So the same calls, in real time,
are put on one worker and on two, and the processor time of every worker is measured: a worker is full when it has used
up the core that its event loop can have. Two carry as many times the calls of one as one's time is a multiple of that
of the busier one of two.
"""

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.harness.client import Call, Client, Tenant, two_legs
from tests.harness.fleet import Fleet
from tests.harness.server import Server

_CHUNK_MS = 100
_SILENCE = bytes(16 * 2 * _CHUNK_MS)
_NCCO = {"action": "record"}
_ENVIRONMENT = {"RECORDER_DRAIN_GRACE_S": "0", "RECORDER_RENDER_THREADS": "1"}


@dataclass(frozen=True, slots=True)
class Load:
    """What the calls of one run cost.

    Attributes:
        workers: Processes that serve.
        calls: Calls in real time, two legs of 16 kHz in one message per 100 ms, mono MP3.
        cores_all: Processor time of all of them with the supervisor, per second.
        cores_busiest: Of the busiest worker.
        late_ms: How late the load generator itself was at worst: beyond a second the figures say nothing.
    """

    workers: int
    calls: int
    cores_all: float
    cores_busiest: float
    late_ms: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure one and two workers, and print a JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=20.0)
    wanted = parser.parse_args(arguments)
    loads = [asyncio.run(measure(workers, wanted.calls, wanted.seconds)) for workers in (1, 2)]
    ratio = loads[0].cores_busiest / loads[1].cores_busiest
    told: dict[str, Any] = {"loads": [asdict(load) for load in loads], "two_carry_times_one": round(ratio, 2)}
    sys.stdout.write(json.dumps(told) + "\n")


async def measure(workers: int, calls: int, seconds: float) -> Load:
    """Put calls on so many workers and measure for so long."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        data_dir = Path(directory) / "data"
        alone = Server(data_dir, environment=_ENVIRONMENT)
        with alone if workers == 1 else Fleet(data_dir, workers, environment=_ENVIRONMENT) as server:
            serving = [worker.pid for worker in server.workers] if isinstance(server, Fleet) else [server.pid]
            async with contextlib.AsyncExitStack() as stack:
                client = await stack.enter_async_context(Client(server.ports.grpc))
                tenant = await client.create_tenant(server.admin_token)
                lateness, over = [0.0], asyncio.Event()
                running = [
                    asyncio.create_task(_talk(server.ports.grpc, tenant, lateness, index / calls, over))
                    for index in range(calls)
                ]
                await asyncio.sleep(seconds / 4)
                began_s, before = time.monotonic(), [_cpu_s(pid) for pid in (*serving, server.pid)]
                await asyncio.sleep(seconds)
                elapsed_s, after = time.monotonic() - began_s, [_cpu_s(pid) for pid in (*serving, server.pid)]
                over.set()
                await asyncio.gather(*running, return_exceptions=True)
    used = [(end - begin) / elapsed_s for begin, end in zip(before, after, strict=True)]
    everybody = sum(used) if workers > 1 else used[0]
    return Load(workers, calls, round(everybody, 3), round(max(used[:-1]), 3), round(1000 * lateness[0], 1))


async def _talk(port: int, tenant: Tenant, lateness: list[float], offset_s: float, over: asyncio.Event) -> None:
    """Make one call in real time on a connection of its own, until it is over."""
    await asyncio.sleep(offset_s)
    async with Client(port) as client:
        call = Call(client, tenant.metadata)
        await call.open(legs=two_legs(), ncco=_NCCO, ack_interval_ms=500)
        reading = asyncio.create_task(call.rest())
        began_s = time.monotonic()
        try:
            index = 0
            while not over.is_set():
                at = index * 16 * _CHUNK_MS
                await call.audio(caller=(at, _SILENCE), callee=(at, _SILENCE))
                index += 1
                wait_s = began_s + index * _CHUNK_MS / 1000 - time.monotonic()
                lateness[0] = max(lateness[0], -wait_s)
                await asyncio.sleep(max(0.0, wait_s))
        finally:
            call.cancel()
            await asyncio.gather(reading, return_exceptions=True)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()

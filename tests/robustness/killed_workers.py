"""SIGKILL of workers, one after the other, under live calls that land anywhere: nothing acknowledged is lost."""

import asyncio
import os
import random
import signal
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.harness.client import Client
from tests.harness.fleet import Fleet
from tests.robustness.live_calls import LiveCalls
from tests.robustness.report import Result, Scenario

_GOAL = (
    "3 workers behind one port, killed again and again under live calls: 0 lost, 0 changed, every call completed, "
    "every worker back"
)
_WORKERS = 3
_MIN_MESSAGES_A_CALL = 50
_BACK_WITHIN_S = 60.0
_ENVIRONMENT = {"RECORDER_LEASE_S": "3", "RECORDER_RENDER_THREADS": "1"}


async def killed_workers(seed: int, quick: bool) -> Result:
    """Kill a worker every few seconds; each call resumes on a fresh connection, wherever that lands."""
    count, kills, between_s = (6, 3, 2.0) if quick else (40, 21, 5.0)
    chance = random.Random(seed)
    with (
        tempfile.TemporaryDirectory(prefix="robustness-") as directory,
        Fleet(Path(directory) / "data", _WORKERS, environment=_ENVIRONMENT) as fleet,
    ):
        async with Client(fleet.ports.grpc) as client:
            tenant = await client.create_tenant(fleet.admin_token)
        async with LiveCalls(fleet.ports.grpc, tenant, seed, scattered=True) as calls:
            running = await calls.begin(count)
            pids = [worker.pid for worker in fleet.workers]
            first = chance.randrange(_WORKERS)
            for kill in range(kills):
                await asyncio.sleep(between_s * chance.uniform(0.5, 1.5))
                # In turn: so each call is struck, wherever it landed.
                await _kill(fleet, pids, (first + kill) % _WORKERS)
            late = await calls.hang_up(running, 60)
            verdict = await calls.verdict(running)
        code = await asyncio.to_thread(fleet.terminate)
    lines = sum(call.account.lines for call in running)
    loaded = verdict.acknowledged >= count * _MIN_MESSAGES_A_CALL and lines > count
    ok = verdict.sound and late == 0 and code == 0 and loaded and set(verdict.ends) == {"HANGUP"}
    figure = (
        f"{kills} kills of {_WORKERS} workers under {count} calls on {lines} streams, {verdict.lost} lost of "
        f"{verdict.acknowledged} acknowledged, {verdict.changed} changed"
    )
    return Result("killed_workers", figure, _GOAL, ok, {"late": late, "code": code, **asdict(verdict), "seed": seed})


async def _kill(fleet: Fleet, pids: list[int], index: int) -> None:
    """Kill a worker and wait until it serves again."""
    before = len(fleet.came_back())
    os.kill(pids[index], signal.SIGKILL)
    async with asyncio.timeout(_BACK_WITHIN_S):
        while len(back := fleet.came_back()) == before:  # noqa: ASYNC110 - another process's log
            await asyncio.sleep(0.05)
    pids[index] = int(back[-1]["pid"])


SCENARIOS = (Scenario("killed_workers", _GOAL, killed_workers),)

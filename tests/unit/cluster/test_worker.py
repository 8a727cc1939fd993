"""One supervised process, with real processes."""

import asyncio
import os
import signal
import sys

import pytest

from recorder_service.cluster import worker as module
from recorder_service.cluster.worker import Worker, WorkerCommand

SERVES = """
import json, os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit({code}))
print(json.dumps({{"pid": os.getpid(), "metrics_port": 7}}), flush=True)
sys.stdin.read()
"""
STUBBORN = """
import json, os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(json.dumps({"pid": os.getpid(), "metrics_port": 7}), flush=True)
time.sleep(60)
"""


def a_worker(script: str) -> Worker:
    return Worker(WorkerCommand("1", (sys.executable, "-c", script), dict(os.environ)))


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_WAIT_S", 0.01)


async def test_process_that_serves_is_stopped_in_order() -> None:
    """Its exit code is kept, and it is not started again."""
    worker = a_worker(SERVES.format(code=0))
    running = asyncio.create_task(worker.run())
    await asyncio.wait_for(worker.ready(), 20)
    assert worker.serving is not None
    assert worker.serving.metrics_port == 7
    worker.stop()
    await asyncio.wait_for(running, 20)
    assert (worker.exit_code, worker.restarts) == (0, 0)


async def test_process_that_dies_is_started_again() -> None:
    """Killed twice, it serves a third time under another process id."""
    worker = a_worker(SERVES.format(code=3))
    running = asyncio.create_task(worker.run())
    seen: set[int] = set()
    async with asyncio.timeout(30):
        while len(seen) < 3:
            if worker.serving is not None and worker.serving.pid not in seen:
                seen.add(worker.serving.pid)
                if len(seen) < 3:
                    os.kill(worker.serving.pid, signal.SIGKILL)
            await asyncio.sleep(0.01)
    worker.stop()
    await asyncio.wait_for(running, 20)
    assert (worker.exit_code, worker.restarts) == (3, 2)


async def test_process_that_cannot_start_is_given_up() -> None:
    """What is wrong at the first start is wrong at the second: whoever started the fleet is told."""
    worker = a_worker("import sys; sys.exit(4)")
    await asyncio.wait_for(worker.run(), 20)
    assert (worker.exit_code, worker.restarts) == (4, 0)


async def test_process_that_does_not_end_is_killed() -> None:
    """SIGTERM does not reach it."""
    worker = a_worker(STUBBORN)
    running = asyncio.create_task(worker.run())
    await asyncio.wait_for(worker.ready(), 20)
    worker.stop()
    worker.kill()
    await asyncio.wait_for(running, 20)
    assert worker.exit_code == -signal.SIGKILL

"""Several processes as one service, with real processes."""

import asyncio
import os
import sys

import pytest
from tests.unit.cluster.test_worker import SERVES, STUBBORN

from recorder_service.cluster import supervisor as module
from recorder_service.cluster.supervisor import Supervisor
from recorder_service.cluster.worker import Worker, WorkerCommand
from recorder_service.errors import StartupError


def workers(*scripts: str) -> list[Worker]:
    return [
        Worker(WorkerCommand(str(number), (sys.executable, "-c", script), dict(os.environ)))
        for number, script in enumerate(scripts)
    ]


async def test_all_start_and_all_end_well() -> None:
    """The probe is well in between."""
    supervisor = Supervisor(workers(*[SERVES.format(code=0)] * 2), grace_s=5)
    assert supervisor.fault() is not None
    await asyncio.wait_for(supervisor.start(), 30)
    assert supervisor.fault() is None
    await asyncio.wait_for(supervisor.stop(), 30)
    assert supervisor.ended_well


async def test_one_that_cannot_start_ends_all() -> None:
    """The error names it."""
    supervisor = Supervisor(workers(SERVES.format(code=0), "import sys; sys.exit(4)"), grace_s=5)
    with pytest.raises(StartupError, match="worker 1 could not start"):
        await asyncio.wait_for(supervisor.start(), 30)
    assert [worker.serving for worker in supervisor.workers] == [None, None]


async def test_one_that_ends_badly_is_told() -> None:
    """The exit code of the whole depends on it."""
    supervisor = Supervisor(workers(SERVES.format(code=0), SERVES.format(code=1)), grace_s=5)
    await asyncio.wait_for(supervisor.start(), 30)
    await asyncio.wait_for(supervisor.stop(), 30)
    assert not supervisor.ended_well


async def test_one_that_does_not_end_is_killed_after_the_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others end in order."""
    monkeypatch.setattr(module, "_KILL_AFTER_S", 0.2)
    supervisor = Supervisor(workers(SERVES.format(code=0), STUBBORN), grace_s=0.3)
    await asyncio.wait_for(supervisor.start(), 30)
    await asyncio.wait_for(supervisor.stop(), 30)
    assert [worker.exit_code for worker in supervisor.workers] == [0, -9]

"""Several processes that are one service: started together, kept running, stopped together."""

import asyncio
from collections.abc import Sequence

import structlog

from recorder_service.cluster.worker import Worker
from recorder_service.errors import Reason, StartupError

log = structlog.get_logger(__name__)

_KILL_AFTER_S = 15.0


class Supervisor:
    """Keeps workers running. Also a probe of the operations port: well while any of them serves.

    Attributes:
        name: Names it among the probes.
        workers: Those it keeps running.
    """

    name = "workers"

    def __init__(self, workers: Sequence[Worker], *, grace_s: float) -> None:
        """Run these.

        Args:
            workers: Not started yet.
            grace_s: How long they may take to end in order, before they are killed some seconds later.
        """
        self.workers = tuple(workers)
        self._grace_s = grace_s
        self._tasks: list[asyncio.Task[None]] = []

    def fault(self) -> str | None:
        """Say that nobody serves."""
        return None if any(worker.serving for worker in self.workers) else "none serves"

    async def start(self) -> None:
        """Start all and wait until each serves.

        Raises:
            StartupError: INVALID_CONFIGURATION: one of them ended instead, and said why; the others are ended.
        """
        self._tasks = [asyncio.create_task(worker.run(), name=f"worker {worker.name}") for worker in self.workers]
        for worker, task in zip(self.workers, self._tasks, strict=True):
            ready = asyncio.create_task(worker.ready())
            await asyncio.wait((ready, task), return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                ready.cancel()
                await self.stop(now=True)
                message = f"worker {worker.name} could not start (exit code {worker.exit_code}): see what it said above"
                raise StartupError(Reason.INVALID_CONFIGURATION, message, details={"worker": worker.name})

    async def wait(self) -> None:
        """Wait until one of the workers is given up, which is no part of an orderly life."""
        await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)

    async def stop(self, *, now: bool = False) -> None:
        """Let all end in order, or at once; returns when all have ended."""
        for worker in self.workers:
            worker.stop()
            if now:
                worker.stop()
        _, late = await asyncio.wait(self._tasks, timeout=(0 if now else self._grace_s) + _KILL_AFTER_S)
        if late:
            log.error("workers_killed", count=len(late))
            for worker in self.workers:
                worker.kill()
            await asyncio.wait(late)

    def hasten(self) -> None:
        """Let those that are ending in order end at once."""
        for worker in self.workers:
            worker.stop()

    @property
    def ended_well(self) -> bool:
        """Whether every worker ended with exit code 0."""
        return all(worker.exit_code == 0 for worker in self.workers)

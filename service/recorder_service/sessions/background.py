"""Tasks that belong to the service and not to an RPC: a lost client must not stop them."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

import structlog

log = structlog.get_logger(__name__)
T = TypeVar("T")


class BackgroundTasks:
    """Owns tasks from their start to their end, and knows of each that failed."""

    def __init__(self) -> None:
        """Start without tasks."""
        self._tasks: set[asyncio.Task[object]] = set()
        self._closed = False

    def __len__(self) -> int:
        """Count the tasks that run."""
        return len(self._tasks)

    def spawn(self, work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
        """Start a task; after `close` none begins. An error in it is logged; it ends nobody else."""
        task = self._begin(work, name)
        task.add_done_callback(self._done)
        return task

    async def run(self, work: Coroutine[object, object, T], name: str) -> T:
        """Do work that goes on to its end even if the caller is cancelled; its error is the caller's."""
        task = self._begin(work, name)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def wait(self, timeout_s: float) -> bool:
        """Wait for all tasks, and say whether they ended in time."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        return not self._tasks

    async def close(self) -> None:
        """Cancel what still runs and wait for it; from now on nothing begins, whatever timer fires meanwhile."""
        self._closed = True
        while tasks := list(self._tasks):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=5)

    def _begin(self, work: Coroutine[object, object, T], name: str) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        if self._closed:
            task.cancel()
        return task

    def _done(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("background_task_failed", task=task.get_name().partition(":")[0], exc_info=error)

"""Blocking work in a bounded pool of named threads, with a deadline for whoever waits."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")


class Workers:
    """A fixed number of threads.

    A job's deadline begins when a thread is free for it, so that a queue does not look like a store that is away. A
    thread that nobody waits for any more still counts as busy until its job has ended.
    """

    def __init__(self, threads: int, *, name: str, queue_wait_s: float) -> None:
        """Start nothing yet.

        Args:
            threads: Jobs at once.
            name: Prefix of the threads' names.
            queue_wait_s: Longest wait for a free thread.
        """
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._free = asyncio.Semaphore(threads)
        self._queue_wait_s = queue_wait_s

    async def run(self, job: Callable[[threading.Event], _T], *, wait_s: float) -> _T:
        """Run a job and return its result; when nobody waits any more, the event it was given is set.

        Raises:
            TimeoutError: No thread was free in time, or the job took too long.
        """
        async with asyncio.timeout(self._queue_wait_s):
            await self._free.acquire()
        stop = threading.Event()
        loop = asyncio.get_running_loop()

        def done(_: Future[_T]) -> None:
            with contextlib.suppress(RuntimeError):  # The loop was closed meanwhile: nobody waits for a thread.
                loop.call_soon_threadsafe(self._free.release)

        try:
            future = self._executor.submit(job, stop)
        except BaseException:
            self._free.release()
            raise
        future.add_done_callback(done)
        try:
            async with asyncio.timeout(wait_s):
                return await asyncio.wrap_future(future)
        finally:
            stop.set()

    async def aclose(self) -> None:
        """Take no more work, and end the threads once their current jobs are done."""
        await asyncio.to_thread(self._executor.shutdown, cancel_futures=True)

"""Threads for blocking work."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator

import pytest

from recorder_service.storage.workers import Workers


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    made = Workers(1, name="work", queue_wait_s=1)
    yield made
    await made.aclose()


async def test_result_and_error_come_back(workers: Workers) -> None:
    """From a thread with a name."""
    assert (await workers.run(lambda _: threading.current_thread().name, wait_s=1)).startswith("work")
    with pytest.raises(ZeroDivisionError):
        await workers.run(lambda _: 1 // 0, wait_s=1)


async def test_deadline_begins_when_a_thread_is_free(workers: Workers) -> None:
    """Standing in a queue does not count."""
    jobs = [workers.run(lambda _: time.sleep(0.15), wait_s=0.25) for _ in range(4)]
    await asyncio.gather(*jobs)


async def test_job_that_nobody_waits_for_is_told(workers: Workers) -> None:
    """By its event, after a deadline and after a cancel."""
    stops: list[threading.Event] = []

    def job(stop: threading.Event) -> None:
        stops.append(stop)
        stop.wait(5)

    with pytest.raises(TimeoutError):
        await workers.run(job, wait_s=0.05)
    task = asyncio.create_task(workers.run(job, wait_s=5))
    while len(stops) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert all(stop.is_set() for stop in stops)


async def test_thread_that_hangs_counts_as_busy(workers: Workers) -> None:
    """Who comes next waits for it, but not for ever, and goes on once it is free."""
    hang = threading.Event()
    with pytest.raises(TimeoutError):
        await workers.run(lambda _: hang.wait(10), wait_s=0.05)
    began_s = time.monotonic()
    with pytest.raises(TimeoutError):
        await workers.run(lambda _: None, wait_s=5)
    assert 0.9 < time.monotonic() - began_s < 2
    hang.set()
    await workers.run(lambda _: None, wait_s=1)


async def test_waiter_who_is_cancelled_takes_no_thread(workers: Workers) -> None:
    """Neither one who stands in the queue."""
    hang = threading.Event()
    first = asyncio.create_task(workers.run(lambda _: hang.wait(10), wait_s=5))
    await asyncio.sleep(0.01)
    ran: list[int] = []
    second = asyncio.create_task(workers.run(lambda _: ran.append(1), wait_s=5))
    await asyncio.sleep(0.01)
    second.cancel()
    hang.set()
    await first
    with pytest.raises(asyncio.CancelledError):
        await second
    await workers.run(lambda _: None, wait_s=1)
    assert ran == []

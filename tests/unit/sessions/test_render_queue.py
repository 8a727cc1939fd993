"""Batches of one recording on their way through real threads."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.unit.sessions.recordings import a_recording

from recorder_service.audio.rendition import Rendition
from recorder_service.audio.timeline import Block
from recorder_service.errors import Overloaded, Reason
from recorder_service.finishing.spool import SpoolDirectory
from recorder_service.sessions.audio_path import AudioPath
from recorder_service.sessions.path_factory import PathFactory
from recorder_service.sessions.render_queue import Lead, RenderQueue
from recorder_service.sessions.workers import Workers

SECOND = bytes(32_000)


@pytest.fixture
def workers() -> Iterator[ThreadPoolExecutor]:
    """Two threads."""
    with ThreadPoolExecutor(2) as workers:
        yield workers


@pytest.fixture
def path(tmp_path: Path) -> AudioPath:
    """A real path."""
    factory = PathFactory(SpoolDirectory(tmp_path / "spool"), max_recording_s=3600, render=Rendition)
    return factory.build(a_recording()).path


def _talk(path: AudioPath, seconds: range) -> None:
    for second in seconds:
        path.place("caller", second * 8000, b"\xff" * 8000)
        path.place("callee", second * 16_000, SECOND)


async def test_batches_run_one_at_a_time_and_in_order(
    path: AudioPath, workers: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often it is pushed."""
    running, most = 0, 0
    ended: list[int] = []
    lock = threading.Lock()
    run = path.run

    def watched(steps: Any) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        run(steps)
        ended.extend(step.end_frame for step in steps if isinstance(step, Block))
        with lock:
            running -= 1

    monkeypatch.setattr(AudioPath, "run", lambda _, steps: watched(steps))
    queue = RenderQueue(uuid4(), path, Workers(workers, workers, 2), on_ended=lambda: None)
    for second in range(30):
        _talk(path, range(second, second + 1))
        queue.push()
        await asyncio.sleep(0)
    await queue.complete(30 * 16_000)
    assert most == 1
    assert ended == sorted(ended)
    assert path.ended_frame == 30 * 16_000


async def test_sender_waits_while_rendering_lags(path: AudioPath, workers: ThreadPoolExecutor) -> None:
    """And goes on once there is room."""
    gate = threading.Event()
    blocked = [workers.submit(gate.wait, 10) for _ in range(2)]
    queue = RenderQueue(uuid4(), path, Workers(workers, workers, 2), on_ended=lambda: None)
    _talk(path, range(3))
    queue.push()
    before = queue.congested
    _talk(path, range(3, 40))
    assert (before, queue.congested) == (False, True)
    waiting = asyncio.create_task(queue.room())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    gate.set()
    await asyncio.wait_for(waiting, 5)
    await queue.complete(40 * 16_000)
    assert all(future.done() for future in blocked)


async def test_end_by_a_rule_is_told_once_on_the_loop(path: AudioPath, workers: ThreadPoolExecutor) -> None:
    """The limit of this path is an hour; nobody has to ask."""
    told: list[int] = []
    queue = RenderQueue(
        uuid4(), path, Workers(workers, workers, 2), on_ended=lambda: told.append(threading.get_ident())
    )
    path.advance(2 * 3600 * 16_000)
    queue.push()
    async with asyncio.timeout(20):
        while not told:  # noqa: ASYNC110 - a thread's
            await asyncio.sleep(0.01)
    queue.push()
    await asyncio.sleep(0.05)
    assert told == [threading.get_ident()]


async def test_spool_that_fails_is_reported_at_the_end_and_holds_nobody_up(
    path: AudioPath, workers: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is acknowledged is in the journal: ingest goes on."""
    monkeypatch.setattr(path.spool, "append", _full)
    queue = RenderQueue(uuid4(), path, Workers(workers, workers, 2), on_ended=lambda: None)
    _talk(path, range(10))
    queue.push()
    while not queue.idle:  # noqa: ASYNC110 - a thread's
        await asyncio.sleep(0.01)
    _talk(path, range(10, 40))
    queue.push()
    assert not queue.congested
    with pytest.raises(Overloaded) as refused:
        await queue.complete(40 * 16_000)
    assert refused.value.reason is Reason.DISK_FULL


async def test_call_that_was_replayed_goes_on_in_real_time(path: AudioPath, workers: ThreadPoolExecutor) -> None:
    """What was rendered again at the start is nothing its sender is ahead by."""
    gate = threading.Event()
    with ThreadPoolExecutor(1) as patient:
        patient.submit(gate.wait, 10)
        queue = RenderQueue(uuid4(), path, Workers(workers, patient, 1), on_ended=lambda: None)
        _talk(path, range(60))
        path.run(path.take_steps())
        for second in range(60, 62):
            _talk(path, range(second, second + 1))
            queue.push()
            async with asyncio.timeout(5):
                while not queue.idle:  # noqa: ASYNC110 - a thread's
                    await asyncio.sleep(0.01)
        gate.set()
    assert path.waiting_steps == 0


def test_sender_in_real_time_is_never_a_backlog() -> None:
    """Nor one whose clock is fast by 200 ppm, after any number of hours."""
    lead = Lead(0, 0.0)
    assert not any(lead.is_backlog(round(second * 16_000 * 1.0002), second) for second in range(24 * 3600))


def test_sender_ahead_of_real_time_is_a_backlog_until_the_clock_has_come_up_to_it() -> None:
    """Ten seconds of audio at once; then real time."""
    lead = Lead(0, 0.0)
    ahead = [lead.is_backlog((10 + second) * 16_000, second) for second in range(600)]
    assert ahead[0]
    assert not ahead[-1]


def test_call_that_was_kept_waiting_is_no_backlog() -> None:
    """All of twenty seconds comes at once after twenty seconds of nothing, and goes on in real time."""
    lead = Lead(0, 0.0)
    assert not lead.is_backlog(20 * 16_000, 20.0)
    assert not lead.is_backlog(21 * 16_000, 21.0)


def test_not_more_than_half_a_minute_is_forgiven() -> None:
    """Whoever was silent for an hour may not flood for an hour."""
    lead = Lead(0, 0.0)
    assert not lead.is_backlog(0, 3600.0)
    assert lead.is_backlog(40 * 16_000, 3601.0)


def _full(_: bytes) -> None:
    raise OSError(28, "No space left on device")

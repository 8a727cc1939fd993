"""Calls in real time beside backlogs, on real threads and a real render process."""

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.unit.sessions.recordings import a_recording

from recorder_service.audio.rendition import Rendition
from recorder_service.errors import Overloaded, Reason, Unavailable
from recorder_service.finishing.spool import SpoolDirectory
from recorder_service.rendering.process import RenderProcess
from recorder_service.rendering.wire import Request, Wire
from recorder_service.sessions.audio_path import AudioPath
from recorder_service.sessions.path_factory import PathFactory
from recorder_service.sessions.render_queue import RenderQueue
from recorder_service.sessions.workers import Workers

BACKLOG_S = 12
SECOND = bytes(32_000)


@dataclass
class Threads:
    """One thread for each kind of work; `gate` holds up the one for backlogs."""

    prompt: ThreadPoolExecutor
    patient: ThreadPoolExecutor
    gate: threading.Event

    def hold(self) -> None:
        """Let no backlog have its turn until the gate is opened."""
        self.patient.submit(self.gate.wait, 20)


@pytest.fixture
def threads() -> Iterator[Threads]:
    """Two threads."""
    with ThreadPoolExecutor(1) as prompt, ThreadPoolExecutor(1) as patient:
        threads = Threads(prompt, patient, threading.Event())
        yield threads
        threads.gate.set()


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many recordings went on each trip to a render process."""
    trips: list[int] = []
    take = RenderProcess.take

    def watched(host: RenderProcess, takes: Any) -> Any:
        trips.append(len(takes))
        return take(host, takes)

    monkeypatch.setattr(RenderProcess, "take", watched)
    return trips


def a_path(directory: Path, process: RenderProcess | None = None) -> AudioPath:
    render = Rendition if process is None else process.begin
    factory = PathFactory(SpoolDirectory(directory / "spool"), max_recording_s=3600, render=render)
    return factory.build(a_recording(recording_id=uuid4())).path


def a_queue(path: AudioPath, workers: Workers) -> RenderQueue:
    return RenderQueue(UUID(int=1), path, workers, on_ended=lambda: None)


def talk(path: AudioPath, seconds: int) -> None:
    for second in range(seconds):
        path.place("caller", second * 8000, b"\xff" * 8000)
        path.place("callee", second * 16_000, SECOND)


async def test_call_in_real_time_is_rendered_and_ended_while_others_have_backlogs(
    tmp_path: Path, threads: Threads
) -> None:
    """However many there are: it shares no thread with them."""
    workers = Workers(threads.prompt, threads.patient, 1)
    threads.hold()
    floods = [a_path(tmp_path) for _ in range(5)]
    for flood in floods:
        talk(flood, BACKLOG_S)
        a_queue(flood, workers).push()
    path = a_path(tmp_path)
    queue = a_queue(path, workers)
    talk(path, 2)
    queue.push()
    async with asyncio.timeout(10):
        await queue.complete(2 * 16_000)
    assert path.ended_frame == 2 * 16_000
    assert all(flood.ended_frame is None for flood in floods)


async def test_backlog_is_worked_off_in_turns(
    tmp_path: Path, threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has its turn before one has a second, and everything is rendered in the end."""
    workers = Workers(threads.prompt, threads.patient, 1)
    turns: list[int] = []
    run = AudioPath.run

    def watched(path: AudioPath, steps: Any) -> None:
        turns.append(paths.index(path))
        run(path, steps)

    monkeypatch.setattr(AudioPath, "run", watched)
    paths = [a_path(tmp_path) for _ in range(3)]
    queues = [a_queue(path, workers) for path in paths]
    threads.hold()
    for path, queue in zip(paths, queues, strict=True):
        talk(path, BACKLOG_S)
        queue.push()
    threads.gate.set()
    await asyncio.gather(*(queue.complete(BACKLOG_S * 16_000) for queue in queues))
    assert turns[:3] == [0, 1, 2]
    assert [path.ended_frame for path in paths] == [BACKLOG_S * 16_000] * 3


async def test_the_more_lag_behind_the_fewer_steps_may_wait(tmp_path: Path, threads: Threads) -> None:
    """One may have 16 seconds waiting, hundreds together hardly more than that each in seconds."""
    workers = Workers(threads.prompt, threads.patient, 1)
    threads.hold()
    alone = workers.most_waiting_steps
    waiting = []
    for _ in range(100):
        path = a_path(tmp_path)
        talk(path, 6)
        waiting.append(workers.run(path, backlog=True))
    among_many = workers.most_waiting_steps
    threads.gate.set()
    await asyncio.gather(*waiting)
    await asyncio.sleep(0)
    assert (alone, among_many, workers.most_waiting_steps) == (16, 5, 16)


async def test_the_more_wait_in_real_time_the_fewer_steps_each(tmp_path: Path, threads: Threads) -> None:
    """A machine that is too slow makes senders wait before its memory is full."""
    workers = Workers(threads.prompt, threads.patient, 1)
    held = threading.Event()
    threads.prompt.submit(held.wait, 10)
    waiting = []
    for _ in range(103):
        talk(path := a_path(tmp_path), 2)
        waiting.append(workers.run(path))
    among_many = workers.most_waiting_steps
    held.set()
    await asyncio.gather(*waiting)
    assert (among_many, workers.most_waiting_steps) == (5, 16)


async def test_nothing_begins_once_it_is_closed(tmp_path: Path, threads: Threads) -> None:
    """The threads are about to go: what waits is cancelled, whoever asks for more is told so at once."""
    workers = Workers(threads.prompt, threads.patient, 1)
    threads.hold()
    paths = [a_path(tmp_path) for _ in range(3)]
    for path in paths:
        talk(path, BACKLOG_S)
    running, waiting = workers.run(paths[0], backlog=True), workers.run(paths[1], backlog=True)
    workers.close()
    talk(late := a_path(tmp_path), 1)
    refused = workers.run(late)
    threads.gate.set()
    await asyncio.wait((running,), timeout=10)
    assert (running.exception(), waiting.cancelled(), refused.cancelled()) == (None, True, True)


async def test_those_of_one_process_go_there_together(
    tmp_path: Path, threads: Threads, process: RenderProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one message, and each file is what it is alone."""
    together: list[int] = []
    send = Wire.send

    def watched(wire: Wire, message: Any) -> None:
        if isinstance(message, Request) and any(work.steps for work in message.works):
            together.append(len(message.works))
        send(wire, message)

    monkeypatch.setattr(Wire, "send", watched)
    paths = [await asyncio.to_thread(a_path, tmp_path / str(index), process) for index in range(10)]
    alone = a_path(tmp_path)
    workers = Workers(threads.prompt, threads.patient, 1)
    for path in (*paths, alone):
        talk(path, 2)
    held = threading.Event()
    threads.prompt.submit(held.wait, 10)
    running = [workers.run(path) for path in (*paths, alone)]
    held.set()
    await asyncio.gather(*running)
    assert together == [1, 9]
    written = [path.spool.path.read_bytes() for path in (*paths, alone)]  # type: ignore[attr-defined] # real files
    assert len(set(written)) == 1
    assert len(written[0]) > 1000


async def test_fault_of_one_is_not_that_of_those_it_went_with(
    tmp_path: Path, threads: Threads, process: RenderProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that refuses one file's bytes; then a process that dies, which all are told."""
    paths = [await asyncio.to_thread(a_path, tmp_path / str(index), process) for index in range(3)]
    workers = Workers(threads.prompt, threads.patient, 1)

    async def outcomes() -> list[type[BaseException] | None]:
        for path in paths:
            talk(path, 2 + path.furthest_frame // 16_000)
        found = await asyncio.gather(*(workers.run(path) for path in paths), return_exceptions=True)
        return [None if one is None else type(one) for one in found]

    monkeypatch.setattr(paths[1].spool, "append", _full)
    assert await outcomes() == [None, OSError, None]
    process._process.kill()
    await process.ended()
    assert await outcomes() == [Unavailable] * 3


async def test_nobody_may_begin_while_rendering_is_seconds_late(tmp_path: Path, threads: Threads) -> None:
    """With what waits in real time; a backlog does not count."""
    workers = Workers(threads.prompt, threads.patient, 1)
    held = threading.Event()
    threads.prompt.submit(held.wait, 10)
    threads.hold()
    running = []
    for backlog in (True, True, False, False):
        talk(path := a_path(tmp_path), 2)
        running.append(workers.run(path, backlog=backlog))
    at_once = workers.refusal()
    await asyncio.sleep(5.1)
    refused = workers.refusal()
    held.set()
    threads.gate.set()
    await asyncio.gather(*running)
    assert isinstance(refused, Overloaded)
    assert (at_once, refused.reason, workers.refusal()) == (None, Reason.OVERLOADED, None)
    assert re.search(r"is [5-9]\.\d s late", refused.message)


def _full(_: bytes) -> None:
    raise OSError(28, "No space left on device")


async def test_backlog_has_its_turn_though_there_is_always_something_in_real_time(
    tmp_path: Path, threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After sixteen batches that went ahead, long before there is nothing else to do."""
    ran: list[AudioPath] = []
    run = AudioPath.run

    def watched(path: AudioPath, steps: Any) -> None:
        time.sleep(0.01)
        ran.append(path)
        run(path, steps)

    monkeypatch.setattr(AudioPath, "run", watched)
    workers = Workers(threads.prompt, threads.patient, 1)
    prompt = [a_path(tmp_path) for _ in range(60)]
    for path in prompt:
        talk(path, 1)
    flood = a_path(tmp_path)
    talk(flood, BACKLOG_S)
    running = [workers.run(path) for path in prompt]
    running.append(workers.run(flood, backlog=True))
    async with asyncio.timeout(20):
        await asyncio.gather(*running)
    assert 16 <= ran.index(flood) < 40


async def test_seconds_of_calls_in_real_time_wait_for_each_other_and_go_together(
    tmp_path: Path, threads: Threads, process: RenderProcess, trips: list[int]
) -> None:
    """One trip to the render process serves them all; none waits long."""
    workers = Workers(threads.prompt, threads.patient, 1)
    paths = [a_path(tmp_path, process) for _ in range(5)]
    for path in paths:
        talk(path, 2)
    began_s = time.monotonic()
    await asyncio.gather(*(workers.run(path, urgent=False) for path in paths))
    assert trips == [5]
    assert time.monotonic() - began_s < 5


async def test_end_goes_ahead_of_seconds_that_wait_for_each_other(
    tmp_path: Path, threads: Threads, process: RenderProcess, trips: list[int]
) -> None:
    """It does not even take them along: it would be answered after them."""
    workers = Workers(threads.prompt, threads.patient, 1)
    others = [a_path(tmp_path, process) for _ in range(3)]
    ending = a_path(tmp_path, process)
    for path in (*others, ending):
        talk(path, 2)
    waiting = [workers.run(path, urgent=False) for path in (*others, ending)]
    workers.hurry(ending)
    await waiting[-1]
    assert not any(turn.done() for turn in waiting[:-1])
    await asyncio.gather(*waiting)
    assert trips == [1, 3]


async def test_end_takes_the_last_seconds_along(
    tmp_path: Path, threads: Threads, process: RenderProcess, trips: list[int]
) -> None:
    """What a call in real time has left needs no trip of its own."""
    workers = Workers(threads.prompt, threads.patient, 1)
    path = a_path(tmp_path, process)
    talk(path, 2)
    path.finish(2 * 16_000)
    finished = await workers.complete(path, 2 * 16_000)
    assert trips == []
    spooled = path.seal(finished)
    assert spooled is not None
    assert spooled.frames == 2 * 16_000

"""Turns at a store that works, is away, comes back, or dislikes one file."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from recorder_service.errors import Conflict, Reason, Unavailable
from recorder_service.finishing import uploads
from recorder_service.finishing.uploads import Uploads
from recorder_service.persistence import persist

Work = Callable[[], Coroutine[Any, Any, None]]


class Place:
    """Stores for 1 ms each, unless it is away."""

    def __init__(self) -> None:
        self.away = False
        self.asked = 0
        self.stored = 0
        self.at_once = self.most_at_once = 0

    async def store(self) -> None:
        """Store a file."""
        self.asked += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0.001)
        self.at_once -= 1
        if self.away:
            raise Unavailable(Reason.STORAGE_FAILED, "away")
        self.stored += 1


def keep(turns: Uploads, work: Work) -> asyncio.Task[None]:
    """Store a file as the finisher does."""
    return asyncio.create_task(persist(lambda: turns.attempt(work), "store_away", "a recording", rest=turns.rest))


async def test_only_so_many_are_stored_at_once() -> None:
    """The others wait for a turn."""
    place, turns = Place(), Uploads(3)
    await asyncio.gather(*(keep(turns, place.store) for _ in range(30)))
    assert (place.stored, place.most_at_once) == (30, 3)


async def test_store_that_is_away_is_asked_as_rarely_for_a_hundred_files_as_for_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a backlog costs does not grow with it."""
    monkeypatch.setattr(uploads, "_LONGEST_PAUSE_S", 0.2)
    place, turns = Place(), Uploads(2)
    place.away = True
    tasks = [keep(turns, place.store) for _ in range(100)]
    await asyncio.sleep(0.5)
    before = place.asked
    await asyncio.sleep(1.0)
    # Two in each of five pauses, and one pause more.
    assert 2 <= place.asked - before <= 2 * 6
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_all_that_wait_are_stored_once_the_store_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody sits out the long wait that it had earned by then."""
    monkeypatch.setattr(uploads, "_LONGEST_PAUSE_S", 0.2)
    monkeypatch.setattr("recorder_service.persistence._FIRST_WAIT_S", 60.0)
    monkeypatch.setattr("recorder_service.persistence._LONGEST_WAIT_S", 60.0)
    place, turns = Place(), Uploads(4)
    place.away = True
    tasks = [keep(turns, place.store) for _ in range(20)]
    await asyncio.sleep(0.5)
    place.away = False
    one_more = keep(turns, place.store)
    async with asyncio.timeout(5):
        await asyncio.gather(one_more, *tasks)
    assert place.stored == 21


async def test_file_that_always_fails_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """It pauses everybody for 50 ms at the most, and rarely; it is not woken by each success of another."""
    monkeypatch.setattr("recorder_service.persistence._FIRST_WAIT_S", 0.02)
    place, turns = Place(), Uploads(2)
    tries = 0

    async def count() -> None:
        nonlocal tries
        tries += 1
        raise Unavailable(Reason.STORAGE_FAILED, "this one never")

    bad = keep(turns, count)
    began_s = time.monotonic()
    for _ in range(100):
        await keep(turns, place.store)
    assert time.monotonic() - began_s < 2.0
    assert tries < 12
    bad.cancel()
    await asyncio.gather(bad, return_exceptions=True)


async def test_error_that_is_not_of_the_store_pauses_nobody() -> None:
    """It is told to whoever asked, and that is all."""

    async def conflict() -> None:
        raise Conflict(Reason.RECORDING_LIVE, "not now")

    place, turns = Place(), Uploads(1)
    for _ in range(20):
        with pytest.raises(Conflict):
            await turns.attempt(conflict)
    began_s = time.monotonic()
    await turns.attempt(place.store)
    assert time.monotonic() - began_s < 0.05


async def test_cancelled_attempt_gives_its_turn_back() -> None:
    """As at a shutdown, or when a client is gone."""
    turns = Uploads(1)
    stuck = asyncio.create_task(turns.attempt(lambda: asyncio.sleep(60)))
    await asyncio.sleep(0)
    stuck.cancel()
    await asyncio.gather(stuck, return_exceptions=True)
    place = Place()
    async with asyncio.timeout(1):
        await turns.attempt(place.store)
    assert place.stored == 1

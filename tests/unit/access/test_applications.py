import asyncio
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from tests.unit.access.token_workshop import NOW, OURS

from recorder_service.access.applications import RememberedApplications
from recorder_service.domain.application import Application
from recorder_service.errors import NotFound, Reason, Unavailable


class Source:
    """Answers when it is let; counts questions."""

    def __init__(self) -> None:
        self.known = {OURS: Application(OURS, "a", "12ab34cd", "s" * 64, NOW, NOW)}
        self.asked: list[UUID] = []
        self.reached = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()
        self.error: Exception | None = None

    async def get(self, application_id: UUID) -> Application:
        self.asked.append(application_id)
        self.reached.set()
        found = self.known.get(application_id)
        await self.open.wait()
        if self.error is not None:
            raise self.error
        if found is None:
            raise NotFound(Reason.APPLICATION_NOT_FOUND, "none")
        return found


class Seconds:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def remembering(source: Source, seconds: Seconds, size: int = 10) -> RememberedApplications:
    return RememberedApplications(source, 30, size, seconds)


async def test_answer_counts_from_when_it_was_asked_for() -> None:
    """A slow source does not make an answer live longer than promised."""
    source, seconds = Source(), Seconds()
    remembered = remembering(source, seconds)
    source.open.clear()
    asking = asyncio.create_task(remembered.find(OURS))
    await source.reached.wait()
    seconds.now_s = 20
    source.open.set()
    assert await asking is not None
    seconds.now_s = 29
    await remembered.find(OURS)
    seconds.now_s = 30
    await remembered.find(OURS)
    assert len(source.asked) == 2


async def test_miss_is_remembered_for_five_seconds() -> None:
    """Guessing ids costs the catalog little, and a new application is seen soon."""
    source, seconds = Source(), Seconds()
    remembered, new = remembering(source, seconds), uuid4()
    assert await remembered.find(new) is None
    source.known[new] = replace(source.known[OURS], application_id=new)
    assert await remembered.find(new) is None
    seconds.now_s = 5
    assert await remembered.find(new) is not None


async def test_memory_is_bounded() -> None:
    """The application that was not asked for longest is forgotten."""
    source, seconds = Source(), Seconds()
    remembered = remembering(source, seconds, size=2)
    others = [uuid4() for _ in range(2)]
    for application_id in (OURS, others[0], OURS, others[1], OURS, others[0]):
        await remembered.find(application_id)
    assert source.asked == [OURS, others[0], others[1], others[0]]


async def test_asker_that_goes_away_disturbs_nobody() -> None:
    """A cancelled request does not cancel the question that others wait for."""
    source = Source()
    remembered = remembering(source, Seconds())
    source.open.clear()
    first, second = (asyncio.create_task(remembered.find(OURS)) for _ in range(2))
    await source.reached.wait()
    first.cancel()
    await asyncio.sleep(0)
    source.open.set()
    assert await second is not None
    assert first.cancelled()
    assert len(source.asked) == 1


async def test_answer_from_before_a_change_is_not_remembered() -> None:
    """`forget` during a question: its answer may be old, so the next caller asks again."""
    source = Source()
    remembered = remembering(source, Seconds())
    source.open.clear()
    asking = asyncio.create_task(remembered.find(OURS))
    await source.reached.wait()
    remembered.forget(OURS)
    source.open.set()
    await asking
    await remembered.find(OURS)
    assert len(source.asked) == 2


async def test_failure_is_not_remembered() -> None:
    """When the source is back the next call succeeds."""
    source = Source()
    remembered = remembering(source, Seconds())
    source.error = Unavailable(Reason.CATALOG_FAILED, "away")
    with pytest.raises(Unavailable):
        await remembered.find(OURS)
    source.error = None
    assert await remembered.find(OURS) is not None


async def test_known_application_outlives_a_source_that_is_away() -> None:
    """While the catalog is away a call can be resumed with the keys known before, for an hour; a stranger cannot."""
    source, seconds = Source(), Seconds()
    remembered = remembering(source, seconds)
    known = await remembered.find(OURS)
    source.error = Unavailable(Reason.CATALOG_FAILED, "away")
    seconds.now_s = 31
    assert await remembered.find(OURS) == known
    seconds.now_s = 3631
    with pytest.raises(Unavailable):
        await remembered.find(OURS)
    with pytest.raises(Unavailable):
        await remembered.find(UUID(int=7))

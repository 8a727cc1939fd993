import asyncio

from recorder_service.webhooks.slots import Slots


def new_slots(total: int, per_endpoint: int) -> tuple[Slots, list[int]]:
    freed: list[int] = []
    return Slots(total, per_endpoint, lambda: freed.append(1)), freed


async def test_both_limits_are_kept() -> None:
    """Neither one endpoint nor all together get more than their share."""
    slots, _ = new_slots(3, 2)
    assert [slots.try_take("a") for _ in range(3)] == [True, True, False]
    assert slots.busy_endpoints() == {"a"}
    assert [slots.try_take("b") for _ in range(2)] == [True, False]
    assert slots.free == 0


async def test_slot_given_back_goes_to_who_waits() -> None:
    """A waiter gets it as soon as it is free, and whoever picks is told."""
    slots, freed = new_slots(1, 1)
    assert slots.try_take("a")
    waiting = asyncio.create_task(slots.take("b", 5))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    slots.give_back("a")
    assert await waiting
    assert freed == [1]


async def test_waiting_ends_in_time() -> None:
    """No slot within the time: False, and nothing is taken."""
    slots, _ = new_slots(1, 1)
    assert slots.try_take("a")
    assert not await slots.take("a", 0.02)
    slots.give_back("a")
    assert slots.free == 1
    assert slots.busy_endpoints() == frozenset()


async def test_many_waiters_share_one_slot_one_after_the_other() -> None:
    """Nobody is forgotten and two never hold it together."""
    slots, _ = new_slots(1, 1)
    holding = 0

    async def work() -> None:
        nonlocal holding
        assert await slots.take("a", 5)
        holding += 1
        assert holding == 1
        await asyncio.sleep(0)
        holding -= 1
        slots.give_back("a")

    await asyncio.gather(*(work() for _ in range(50)))
    assert slots.free == 1

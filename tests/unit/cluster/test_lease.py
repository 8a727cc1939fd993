"""A lease: held, over, fenced."""

import asyncio

import pytest

from recorder_service.cluster import lease as module
from recorder_service.cluster.lease import Lease, clock_s
from recorder_service.domain.node import Claim
from recorder_service.errors import Conflict, Reason, RecorderError, Unavailable

CLAIM = Claim("node-1", 3)


class Table:
    """Renewals that answer as they are told to."""

    def __init__(self) -> None:
        self.answer: bool | RecorderError = True
        self.addresses: list[str] = []
        self.renewed = asyncio.Event()
        self.left = 0

    async def renew(self, claim: Claim, lease_s: float, address: str) -> bool:
        """Answer."""
        if isinstance(self.answer, RecorderError):
            raise self.answer
        self.addresses.append(address)
        self.renewed.set()
        return self.answer

    async def leave(self, claim: Claim) -> None:
        """Count."""
        self.left += 1


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock of the lease, to be set."""
    now = [1000.0]
    monkeypatch.setattr(module, "clock_s", lambda: now[0])
    return now


def a_lease(table: Table, fenced: list[str] | None = None) -> Lease:
    told = [] if fenced is None else fenced
    return Lease(table, CLAIM, 9, taken_s=1000.0, on_fenced=lambda: told.append("fenced"))


async def test_lease_lasts_from_when_it_was_asked_for(now: list[float]) -> None:
    """Not from the answer, which may have come late."""
    lease = a_lease(Table())
    now[0] = 1008.9
    lease.check()
    assert lease.fault() is None
    now[0] = 1009.0
    with pytest.raises(Unavailable) as refused:
        lease.check()
    assert refused.value.reason is Reason.CATALOG_FAILED
    assert lease.fault() == "over"


async def test_lease_that_was_over_is_held_again_after_a_renewal(now: list[float]) -> None:
    """A database that was away for minutes ends no call."""
    table = Table()
    lease = a_lease(table)
    table.answer = Unavailable(Reason.CATALOG_FAILED, "away")
    now[0] = 1300.0
    await lease.renew()
    assert lease.fault() == "over"
    table.answer = True
    await lease.renew()
    assert lease.fault() is None


async def test_lease_is_steady_once_it_has_run_for_as_long_as_one_lasts(now: list[float]) -> None:
    """After a database that was away it begins anew: others that live had no time to renew theirs yet."""
    table = Table()
    lease = a_lease(table)
    steady = []
    for at in (1000.0, 1006.0, 1009.0, 1100.0, 1106.0, 1109.0):
        now[0] = at
        await lease.renew()
        steady.append(lease.steady)
    assert steady == [False, False, True, False, False, True]
    now[0] = 1200.0
    assert not lease.steady


async def test_epoch_that_moved_on_fences_for_good(now: list[float]) -> None:
    """Told once; a renewal that would succeed afterwards changes nothing."""
    table, told = Table(), list[str]()
    lease = a_lease(table, told)
    table.answer = False
    await lease.renew()
    await lease.renew()
    assert told == ["fenced"]
    assert lease.fault() == "fenced"
    table.answer = True
    await lease.renew()
    with pytest.raises(Conflict) as refused:
        lease.check()
    assert refused.value.reason is Reason.NODE_FENCED


async def test_refused_write_fences_from_another_thread(now: list[float]) -> None:
    """The guard runs in the database's threads."""
    told: list[str] = []
    lease = a_lease(Table(), told)
    await asyncio.to_thread(lease.lose)
    # What another thread asked the loop for is done in its next turn.
    await asyncio.sleep(0)
    assert told == ["fenced"]
    assert lease.fenced


async def test_address_goes_with_every_renewal(now: list[float]) -> None:
    """One that was told while the catalog was away is not lost."""
    table = Table()
    lease = a_lease(table)
    table.answer = Unavailable(Reason.CATALOG_FAILED, "away")
    await lease.advertise("127.0.0.1:7")
    table.answer = True
    await lease.renew()
    assert table.addresses == ["127.0.0.1:7"]


async def test_lease_is_left_unless_it_was_lost(now: list[float]) -> None:
    """A fenced node touches nothing."""
    table = Table()
    lease = a_lease(table)
    await lease.leave()
    assert table.left == 1
    table.answer = False
    await lease.renew()
    await lease.leave()
    assert table.left == 1


async def test_lease_is_renewed_three_times_in_its_length() -> None:
    """By the real clock."""
    table = Table()
    lease = Lease(table, CLAIM, 0.3, taken_s=clock_s(), on_fenced=lambda: None)
    running = asyncio.create_task(lease.run())
    async with asyncio.timeout(10):
        while len(table.addresses) < 4:
            await table.renewed.wait()
            table.renewed.clear()
    running.cancel()
    assert lease.held

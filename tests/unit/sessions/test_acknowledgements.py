"""Acknowledgements: cumulative, only of what is durable, and not too often."""

import asyncio
from collections.abc import Sequence
from typing import cast
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder_service.errors import BadInput, Conflict, Reason, RecorderError
from recorder_service.sessions.acknowledgements import Acknowledgements
from recorder_service.sessions.journal_port import Journal
from recorder_service.sessions.notices import Ack, Notice


class MemoryJournal:
    """A journal that is durable up to where the test says."""

    def __init__(self) -> None:
        self.durable_lsn = 0
        self.queued_bytes = 0
        self._last = 0

    def append(self, recording: UUID, kind: int, payload: bytes | Sequence[bytes | memoryview]) -> int:
        """Number an entry."""
        self._last += 1
        return self._last

    async def wait_durable(self, lsn: int, timeout_s: float) -> None:
        """Be durable."""
        self.durable_lsn = max(self.durable_lsn, lsn)

    def release(self, recording: UUID) -> int:
        """Forget."""
        return self._last


class Heard:
    """An outlet that keeps what it is given."""

    def __init__(self) -> None:
        self.acks: list[int] = []

    def send(self, notice: Notice) -> None:
        """Keep an acknowledgement."""
        assert isinstance(notice, Ack)
        self.acks.append(notice.sequence)

    def fail(self, error: RecorderError) -> None:
        """Fail the test."""
        raise error


def _pair() -> tuple[Acknowledgements, MemoryJournal]:
    journal = MemoryJournal()
    return Acknowledgements(cast("Journal", journal)), journal


def test_requests_are_due_one_after_the_other() -> None:
    """The next one is, seen ones are not, a jump and 0 are refused naming the expected number."""
    acks, _ = _pair()
    acks.accept(1)
    acks.accept(2)
    assert acks.is_due(3)
    assert not acks.is_due(1)
    assert not acks.is_due(2)
    with pytest.raises(Conflict) as jumped:
        acks.is_due(4)
    assert jumped.value.reason is Reason.SEQUENCE_GAP
    with pytest.raises(BadInput) as zero:
        acks.is_due(0)
    for error in (jumped.value, zero.value):
        assert error.details["expected_sequence"] == "3"
        assert error.details["field"] == "sequence"


async def test_only_what_is_durable_is_told() -> None:
    """The journal decides."""
    acks, journal = _pair()
    heard = Heard()
    acks.attach(heard, 60)
    for lsn in (5, 7, 9):
        acks.accept(lsn)
    acks.tell()
    assert heard.acks == []
    journal.durable_lsn = 8
    acks.tell()
    acks.tell()
    assert heard.acks == [2]
    journal.durable_lsn = 9
    acks.tell()
    assert heard.acks == [2, 3]
    acks.detach()


async def test_acknowledgement_comes_by_itself_within_the_interval() -> None:
    """One for many requests."""
    acks, journal = _pair()
    heard = Heard()
    acks.attach(heard, 0.05)
    for lsn in range(1, 21):
        acks.accept(lsn)
    journal.durable_lsn = 20
    await asyncio.sleep(0.2)
    assert heard.acks == [20]


async def test_acknowledgements_of_many_calls_fall_on_a_common_grid() -> None:
    """So that one turn of the loop tells them all; none comes more than a tenth of the interval early."""
    loop, interval_s = asyncio.get_running_loop(), 0.5
    for _ in range(5):
        acks, _journal = _pair()
        acks.attach(Heard(), interval_s)
        acks.accept(1)
        assert acks._timer is not None
        due_s = acks._timer.when()
        steps = due_s / (interval_s / 10)
        assert abs(steps - round(steps)) < 0.1
        assert 0.85 * interval_s < due_s - loop.time() <= interval_s
        acks.detach()
        await asyncio.sleep(0.013)


async def test_requests_that_become_durable_late_are_told_later() -> None:
    """The timer looks again until all is told, then rests."""
    acks, journal = _pair()
    heard = Heard()
    acks.attach(heard, 0.05)
    acks.accept(1)
    await asyncio.sleep(0.15)
    assert heard.acks == []
    journal.durable_lsn = 1
    await asyncio.sleep(0.15)
    assert heard.acks == [1]
    assert acks._timer is None


async def test_new_stream_is_not_told_what_opened_told_it() -> None:
    """The old stream hears nothing more, the new one only news."""
    acks, journal = _pair()
    old, new = Heard(), Heard()
    acks.attach(old, 0.05)
    acks.accept(1)
    journal.durable_lsn = 1
    acks.attach(new, 0.05)
    acks.accept(2)
    journal.durable_lsn = 2
    await asyncio.sleep(0.15)
    assert (old.acks, new.acks) == ([], [2])
    acks.detach()


async def test_requests_after_the_end_are_durable_with_the_end() -> None:
    """They leave nothing to write down."""
    acks, journal = _pair()
    heard = Heard()
    acks.attach(heard, 60)
    acks.accept(1)
    acks.pass_over()
    acks.pass_over()
    journal.durable_lsn = 1
    acks.tell()
    acks.conclude(2)
    journal.durable_lsn = 2
    acks.tell()
    assert heard.acks == [1, 3]
    acks.detach()


def test_restored_requests_are_durable() -> None:
    """In whatever order the entries name them: an entry of no request changes nothing."""
    acks, _ = _pair()
    for sequence in (1, 2, 5, 4):
        acks.restore(sequence)
    assert acks.next_sequence == 6
    assert acks.durable() == 5


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 12)), max_size=30))
def test_what_is_told_never_falls_and_is_never_ahead_of_the_disk(steps: list[tuple[int, int]]) -> None:
    """Random progress of requests and disk against counting by hand."""
    acks, journal = _pair()
    heard = Heard()
    acks._outlet = heard  # without a loop: no timer
    acks._timer = cast("asyncio.TimerHandle", object())
    lsns: list[int] = []
    for skipped, durable in steps:
        lsns.append((lsns[-1] if lsns else 0) + skipped)
        acks.accept(lsns[-1])
        journal.durable_lsn = max(journal.durable_lsn, min(durable, lsns[-1]))
        acks.tell()
        expected = sum(lsn <= journal.durable_lsn for lsn in lsns)
        assert (heard.acks[-1] if heard.acks else 0) == expected
    assert heard.acks == sorted(set(heard.acks))


def test_numbers_go_on_after_damage_where_the_client_says() -> None:
    """What was acknowledged and then lost cannot be sent again: one jump is taken, and no second one."""
    acks = Acknowledgements(cast("Journal", MemoryJournal()))
    acks.restore(4)
    acks.lose()
    assert acks.is_due(9)
    assert acks.next_sequence == 9
    with pytest.raises(Conflict):
        acks.is_due(11)


def test_damage_between_requests_leaves_no_jump() -> None:
    """A request that was found behind the damage says where the numbers are."""
    acks = Acknowledgements(cast("Journal", MemoryJournal()))
    acks.lose()
    acks.restore(4)
    with pytest.raises(Conflict):
        acks.is_due(6)

"""Rounds: what waits in the inboxes of streams is dealt with together, in order, and soon."""

import asyncio
import time

import pytest

from recorder_service.api.rounds import Inbox, Rounds

INTERVAL_S = 0.05


class Desk:
    """What inboxes bring their messages to: notes what came when, and when it arrived."""

    def __init__(self, rounds: Rounds, bad: str = "") -> None:
        self.rounds = rounds
        self.bad = bad
        self.taken: list[str] = []
        self.at_s: list[float] = []
        self.arrived_s: list[float] = []
        self.failures: list[Exception] = []

    def inbox(self) -> Inbox[str]:
        return Inbox(self.rounds, self.take, self.failures.append)

    def take(self, message: str) -> None:
        if message == self.bad:
            raise ValueError(message)
        self.taken.append(message)
        self.at_s.append(time.monotonic())
        self.arrived_s.append(self.rounds.arrival_s())


async def test_messages_of_several_streams_are_taken_at_once_after_the_interval() -> None:
    """Not sooner, and not a multiple of it later; whatever comes after the round waits for the next."""
    desk, began_s = Desk(Rounds(INTERVAL_S)), time.monotonic()
    first, second = desk.inbox(), desk.inbox()
    first.put("a")
    await asyncio.sleep(INTERVAL_S / 2)
    second.put("b")
    assert desk.taken == []
    await asyncio.sleep(INTERVAL_S)
    assert desk.taken == ["a", "b"]
    assert desk.at_s[0] - began_s >= INTERVAL_S - 0.005
    assert desk.at_s[1] - desk.at_s[0] < INTERVAL_S / 4
    first.put("c")
    await asyncio.sleep(0)
    assert desk.taken == ["a", "b"]
    await asyncio.sleep(2 * INTERVAL_S)
    assert desk.taken == ["a", "b", "c"]


async def test_second_message_of_a_stream_takes_the_first_along_at_once() -> None:
    """A stream that is behind would never catch up else."""
    desk = Desk(Rounds(10.0))
    inbox = desk.inbox()
    for message in "abcdef":
        inbox.put(message)
    assert desk.taken == list("abcdef")


async def test_stream_that_emptied_its_inbox_may_put_more_for_the_same_round() -> None:
    """It is taken once, and the round comes when it would have come."""
    desk = Desk(Rounds(INTERVAL_S))
    inbox = desk.inbox()
    inbox.put("a")
    inbox.empty()
    assert desk.taken == ["a"]
    inbox.put("b")
    await asyncio.sleep(2 * INTERVAL_S)
    assert desk.taken == ["a", "b"]


async def test_what_a_message_meets_in_a_round_is_told_and_disturbs_no_other_stream() -> None:
    """The other inboxes of the round are dealt with all the same."""
    desk = Desk(Rounds(INTERVAL_S), bad="x")
    for message in "axb":
        desk.inbox().put(message)
    await asyncio.sleep(2 * INTERVAL_S)
    assert desk.taken == ["a", "b"]
    assert [str(failure) for failure in desk.failures] == ["x"]


async def test_what_a_message_meets_now_is_raised_and_those_after_it_are_dropped() -> None:
    """Whoever brought them learns of the first; nothing comes after a hole."""
    desk = Desk(Rounds(10.0), bad="x")
    inbox = desk.inbox()
    inbox.put("x")
    with pytest.raises(ValueError, match="x"):
        inbox.put("a")
    inbox.empty()
    assert (desk.taken, desk.failures) == ([], [])


async def test_dropped_messages_are_never_taken() -> None:
    """Neither in the round that they waited for."""
    desk = Desk(Rounds(INTERVAL_S))
    inbox = desk.inbox()
    inbox.put("a")
    inbox.drop()
    await asyncio.sleep(2 * INTERVAL_S)
    assert desk.taken == []


async def test_arrival_is_when_the_message_came_that_has_waited_longest_and_now_elsewhere() -> None:
    """What is measured from there is never too good."""
    rounds, began_s = Rounds(INTERVAL_S), time.monotonic()
    desk = Desk(rounds)
    desk.inbox().put("a")
    await asyncio.sleep(2 * INTERVAL_S)
    assert began_s <= desk.arrived_s[0] < began_s + INTERVAL_S / 2
    assert rounds.arrival_s() >= began_s + 2 * INTERVAL_S


async def test_without_rounds_messages_are_taken_as_they_come() -> None:
    """An interval of 0 holds none."""
    assert not Rounds(0).held
    assert Rounds(INTERVAL_S).held
    desk = Desk(Rounds(0))
    desk.inbox().put("a")
    assert desk.taken == ["a"]

"""Taking a lease at start."""

from pathlib import Path

import pytest

from recorder_service.cluster.joining import Applicant, join, place_of
from recorder_service.domain.node import Claim, NodeState, Role
from recorder_service.errors import Reason, StartupError


class Table:
    """One node's row; `renewing` is somebody who lives."""

    def __init__(self, state: NodeState | None, *, renewing: bool = False) -> None:
        self.state = state
        self.renewing = renewing
        self.looks = 0
        self.refusals = 0

    async def find(self, node_id: str) -> NodeState | None:
        """Return the row; the lease of one who does not live is over at the second look."""
        self.looks += 1
        if self.state is not None and self.looks > 1 and not self.renewing:
            return NodeState(self.state.claim, "", self.state.place, -1.0)
        return self.state

    async def take(self, node_id: str, role: Role, place: str, lease_s: float, *, over: Claim | None) -> Claim | None:
        """Give the next epoch."""
        if self.refusals:
            self.refusals -= 1
            return None
        return Claim(node_id, 1 if over is None else over.epoch + 1)


def a_state(place: str, lease_left_s: float = 0.05) -> NodeState:
    return NodeState(Claim("n", 4), "", place, lease_left_s)


def an_applicant(*, patient: bool = True) -> Applicant:
    return Applicant("n", Role.ALL, "here", 10, patient)


async def test_first_start_takes_the_first_epoch() -> None:
    """Nobody is waited for."""
    assert (await join(Table(None), an_applicant())).claim == Claim("n", 1)


async def test_holder_of_the_same_lock_is_gone_and_not_waited_for() -> None:
    """A killed node comes back at once, though its lease still runs."""
    table = Table(a_state("here", 1000), renewing=True)
    assert (await join(table, an_applicant())).claim == Claim("n", 5)
    assert table.looks == 1


async def test_lease_of_another_place_is_waited_for() -> None:
    """A volume that moved to another machine: only the end of the lease tells."""
    table = Table(a_state("there"))
    assert (await join(table, an_applicant())).claim == Claim("n", 5)
    assert table.looks == 2


async def test_node_that_lives_somewhere_else_is_left_alone() -> None:
    """Two nodes on copies of one directory: the second is refused with the way out."""
    with pytest.raises(StartupError) as refused:
        await join(Table(a_state("there"), renewing=True), an_applicant())
    assert refused.value.reason is Reason.DIRECTORY_LOCKED
    assert "node-id" in refused.value.message


async def test_impatient_applicant_does_not_wait() -> None:
    """`recorder recover` says how long the lease lasts."""
    table = Table(a_state("there", 7.0))
    with pytest.raises(StartupError) as refused:
        await join(table, an_applicant(patient=False))
    assert table.looks == 1
    assert "7 s more" in refused.value.message


async def test_race_that_is_lost_again_and_again_ends() -> None:
    """Each time somebody else began an epoch in between."""
    table = Table(None)
    table.refusals = 2
    assert (await join(table, an_applicant())).claim == Claim("n", 1)
    table.refusals = 1000
    with pytest.raises(StartupError):
        await join(table, an_applicant())


def test_place_tells_copies_apart(tmp_path: Path) -> None:
    """The same file is the same place, a copy of it is another."""
    (tmp_path / "lock").touch()
    (tmp_path / "copy").touch()
    assert place_of(tmp_path / "lock") == place_of(tmp_path / "lock")
    assert place_of(tmp_path / "lock") != place_of(tmp_path / "copy")

"""The short forms of what several nodes must withstand, and the bug they must find."""

import pytest
from tests.robustness import killed_workers, stale_owner
from tests.robustness.planted import planted

SEED = 20_261_122


@pytest.mark.slow
async def test_killed_workers_lose_nothing() -> None:
    """Each of three workers, once."""
    result = await killed_workers.killed_workers(SEED, quick=True)
    assert result.ok, result


@pytest.mark.slow
async def test_stale_owner_writes_nothing() -> None:
    """One node that stood still."""
    result = await stale_owner.stale_owner(SEED, quick=True)
    assert result.ok, result


@pytest.mark.slow
async def test_guard_that_sleeps_is_found() -> None:
    """Stale writes get through."""
    (bug,) = stale_owner.SCENARIOS[0].bugs
    result = await stale_owner.stale_owner(SEED, quick=True, module=planted(bug))
    assert not result.ok
    assert result.details["changed"], result

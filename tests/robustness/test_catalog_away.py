"""The short form of a database that goes away, and the bug it must find."""

import pytest
from tests.robustness import catalog_away
from tests.robustness.planted import planted

SEED = 20_261_122


@pytest.mark.slow
async def test_database_that_is_away_ends_no_call_and_loses_nothing() -> None:
    """Killed for ten seconds, then restarted: live calls go on, ended ones are told of when it is back."""
    result = await catalog_away.run(SEED, quick=True)
    assert result.ok, result


@pytest.mark.slow
async def test_facts_that_are_told_once_only_are_found() -> None:
    """A recording that ends while the database is away and gives up telling so is missed afterwards."""
    (bug,) = catalog_away.SCENARIOS[0].bugs
    result = await catalog_away.run(SEED, quick=True, module=planted(bug))
    assert not result.ok, result

"""Random SIGKILLs under a conference in their short form, and the bugs they must find."""

import secrets
from dataclasses import replace

import pytest
from tests.robustness import conference_kills
from tests.robustness.planted import planted

FEW = replace(conference_kills.QUICK, rounds=1, kills=2, seconds=5, commit_interval_s=0.2)


@pytest.mark.slow
async def test_killed_conferences_give_the_undisturbed_file() -> None:
    """Ten senders on streams of their own, two formats, two kills each."""
    result = await conference_kills.run(secrets.randbits(32), quick=True)
    assert result.ok, result


@pytest.mark.slow
@pytest.mark.parametrize("bug", conference_kills.SCENARIOS[0].bugs)
async def test_kills_of_conferences_find(bug: str) -> None:
    """Two kills under one conference are enough."""
    result = await conference_kills.kill(replace(FEW, module=planted(bug)), 1)
    assert not result.ok, result
    assert result.details["findings"], result

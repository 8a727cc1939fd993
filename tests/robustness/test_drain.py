"""The short form of going down in order, and the bugs it must find."""

import pytest
from tests.robustness import drain
from tests.robustness.planted import planted

SEED = 20_261_122


@pytest.mark.slow
async def test_signalled_server_goes_down_in_order_and_a_second_signal_stops_it_at_once() -> None:
    """Health, `drain`, refusals, the grace, exit code 0, and the same audio after the restart."""
    result = await drain.drain(SEED, quick=True)
    assert result.ok, result


@pytest.mark.slow
async def test_grace_that_nobody_gets_is_found() -> None:
    """Calls that hang up are cut instead."""
    (bug,) = drain.SCENARIOS[0].bugs
    result = await drain.drain(SEED, quick=True, module=planted(bug))
    assert not result.ok


@pytest.mark.slow
async def test_restarts_again_and_again_lose_nothing() -> None:
    """Two restarts with live calls."""
    result = await drain.rolling(SEED, quick=True)
    assert result.ok, result


@pytest.mark.slow
async def test_replay_that_stops_early_is_found() -> None:
    """Messages of the journal are missing after the restart."""
    (bug,) = drain.SCENARIOS[1].bugs
    result = await drain.rolling(SEED, quick=True, module=planted(bug))
    assert not result.ok
    assert result.details["lost"] + result.details["changed"] > 0, result

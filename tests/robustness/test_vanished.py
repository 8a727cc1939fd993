"""The short form of callers that vanish, and the bugs it must find."""

import asyncio

import pytest
from tests.robustness import vanished
from tests.robustness.planted import planted
from tests.robustness.privileges import lacking_networks

SEED = 20_261_122


@pytest.mark.slow
async def test_vanished_callers_are_noticed_and_never_taken_for_a_hang_up() -> None:
    """Cancel, deadline, SIGKILL and half-close in each state of a stream."""
    result = await vanished.peers(SEED, quick=True)
    assert result.ok, result


@pytest.mark.slow
async def test_end_of_stream_taken_for_a_hang_up_is_found() -> None:
    """Every state but `closed` ends wrongly."""
    (bug,) = vanished.SCENARIOS[0].bugs
    result = await vanished.peers(SEED, quick=True, module=planted(bug))
    assert not result.ok
    assert any("HANGUP" in wrong for wrong in result.details["wrong"]), result


@pytest.mark.slow
async def test_cut_link_is_noticed_in_20_s_and_a_server_that_asks_nobody_is_found() -> None:
    """No FIN and no RST comes. Both servers wait side by side."""
    if (lacking := lacking_networks()) is not None:
        pytest.skip(f"no network namespace: {lacking}")
    (bug,) = vanished.SCENARIOS[1].bugs
    right, wrong = await asyncio.gather(
        vanished.link(SEED, quick=True), vanished.link(SEED + 1, quick=True, module=planted(bug))
    )
    assert right.ok, right
    assert not wrong.ok, wrong

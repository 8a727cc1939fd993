"""The short form of clients that never read or flood, and the bug it must find."""

import pytest
from tests.robustness import stalled_clients
from tests.robustness.planted import planted

SEED = 20_261_122


@pytest.mark.slow
async def test_stalled_and_flooding_clients_cost_little_and_harm_nobody() -> None:
    """50 that never read and 50 that flood beside healthy calls."""
    result = await stalled_clients.run(SEED, quick=True)
    assert result.ok, result


@pytest.mark.slow
async def test_audio_that_piles_up_in_memory_is_found() -> None:
    """What is received is kept, decoded."""
    (bug,) = stalled_clients.SCENARIOS[0].bugs
    result = await stalled_clients.run(SEED, quick=True, module=planted(bug))
    assert not result.ok
    assert result.details["growth_bytes"] > 150_000_000, result

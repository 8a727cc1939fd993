"""The short form of the latency run, and the bug it must find."""

import pytest
from tests.robustness import latency
from tests.robustness.planted import planted

SEED = 20_261_122
_BUSY_MS = 50


@pytest.mark.slow
async def test_messages_are_durable_soon_while_many_calls_run() -> None:
    """40 calls in real time from another process; the server's own histogram tells."""
    result = await latency.run(SEED, quick=True)
    if result.details["late_ms"] > _BUSY_MS:
        pytest.skip(f"the machine is too busy to send in time: {result.figure}")
    assert result.ok, result


@pytest.mark.slow
async def test_groups_that_gather_too_long_are_found() -> None:
    """Two syncs a second keep nobody within 250 ms."""
    (bug,) = latency.SCENARIOS[0].bugs
    result = await latency.run(SEED, quick=True, module=planted(bug))
    assert not result.ok

"""The short form of many conferences at once, and the bug it must find."""

import pytest
from tests.robustness import conference_load
from tests.robustness.planted import planted

SEED = 20_261_122


@pytest.mark.slow
async def test_no_message_of_many_conferences_waits_long_for_its_acknowledgement() -> None:
    """Five of six legs in real time from another process, each leg on a stream of its own."""
    result = await conference_load.run(SEED, quick=True)
    if not result.details["counts"]:
        pytest.skip(f"the machine is too busy to send in time: {result.figure}")
    assert result.ok, result


@pytest.mark.slow
async def test_acknowledgements_that_come_when_they_like_are_found() -> None:
    """Everything is recorded, but a second late."""
    (bug,) = conference_load.SCENARIOS[0].bugs
    result = await conference_load.run(SEED, quick=True, module=planted(bug))
    assert not result.ok
    assert result.details["ack_worst_ms"] > 500, result

"""The short form of an S3 store in trouble, and the bug it must find."""

import pytest
from tests.robustness import store_faults
from tests.robustness.planted import planted

SEED = 20_261_122


@pytest.mark.slow
async def test_s3_in_trouble_loses_nothing_and_holds_nobody_up() -> None:
    """Refused, unreachable, a black hole, 503, slow, bodies cut: all files are there soon after."""
    result = await store_faults.run(SEED, quick=True)
    assert result.ok, result


@pytest.mark.slow
async def test_minio_that_is_stopped_and_started_again_loses_nothing() -> None:
    """Calls begin, go on and end meanwhile; all files are there soon after."""
    result = await store_faults.run_minio(SEED, quick=True)
    assert result.ok, result


@pytest.mark.slow
async def test_errors_of_the_store_that_are_ignored_are_found() -> None:
    """Recordings are told available whose files are nowhere."""
    (bug,) = store_faults.SCENARIOS[0].bugs
    result = await store_faults.run(SEED, quick=True, module=planted(bug))
    assert not result.ok
    assert result.details["unfinished"], result

"""The short form of full disks, and the bugs it must find."""

import pytest
from tests.robustness import disk_full
from tests.robustness.planted import planted
from tests.robustness.privileges import lacking_mounts

SEED = 20_261_122


@pytest.fixture(autouse=True)
def mounts() -> None:
    """Skip loudly where no small disk can be mounted."""
    if (lacking := lacking_mounts()) is not None:
        pytest.skip(f"no small disk: {lacking}")


@pytest.mark.slow
async def test_marks_refuse_starts_and_end_calls_in_order_without_loss() -> None:
    """64 MB filled past both marks under load, then freed."""
    result = await disk_full.marks(SEED, quick=True)
    assert result.ok, result


@pytest.mark.slow
async def test_disk_filled_to_the_last_byte_loses_nothing_and_heals_without_restart() -> None:
    """ENOSPC under load with the marks off; some hang up meanwhile; then a kill, so that memory cannot help."""
    result = await disk_full.no_room(SEED, quick=True)
    assert result.ok, result


@pytest.mark.slow
async def test_marks_that_refuse_nobody_are_found() -> None:
    """Starts are accepted past the soft mark."""
    (bug,) = disk_full.SCENARIOS[0].bugs
    result = await disk_full.marks(SEED, quick=True, module=planted(bug))
    assert not result.ok
    assert result.details["refused_s"] is None or result.details["refused_s"] > 1


@pytest.mark.slow
async def test_acknowledgement_of_what_a_full_disk_refused_is_found() -> None:
    """Acknowledged messages are not in the file after the kill."""
    (bug,) = disk_full.SCENARIOS[1].bugs
    result = await disk_full.no_room(SEED, quick=True, module=planted(bug))
    assert not result.ok
    assert result.details["lost"] + result.details["changed"] > 0, result

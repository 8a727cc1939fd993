"""The short form of the long conference, and the bug it must find."""

import pytest
from tests.robustness import conference_alignment
from tests.robustness.planted import find

from recorder_service.sessions.sender_clock import SenderClock

SEED = 20_261_122


@pytest.mark.slow
async def test_channels_stay_where_they_belong() -> None:
    """Ten minutes of media time with clocks that are up to 200 ppm off."""
    result = await conference_alignment.aligned(SEED, quick=True)
    assert result.ok, result


@pytest.mark.slow
async def test_drift_that_is_not_corrected_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """200 ppm make 120 ms in ten minutes."""
    monkeypatch.setattr(SenderClock, "observe", SenderClock.observe)
    (bug,) = conference_alignment.SCENARIOS[0].bugs
    find(bug)()
    result = await conference_alignment.aligned(SEED, quick=True)
    assert not result.ok
    assert max(result.details["worst_ms"].values()) > 50, result

"""The short form of very many short streams, and the bug it must find."""

import pytest
from tests.robustness import short_streams
from tests.robustness.planted import planted

SEED = 20_261_122


@pytest.mark.slow
async def test_short_and_cancelled_streams_leave_nothing_behind() -> None:
    """500 streams, every second one cancelled somewhere."""
    result = await short_streams.run(SEED, quick=True)
    assert result.ok, result


@pytest.mark.slow
async def test_recordings_that_keep_their_encoder_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """200 streams are enough to see it."""
    monkeypatch.setattr(short_streams, "_COUNTS", {True: 200})
    (bug,) = short_streams.SCENARIOS[0].bugs
    result = await short_streams.run(SEED, quick=True, module=planted(bug))
    assert not result.ok
    assert result.details["slope_bytes"] > 16_384, result

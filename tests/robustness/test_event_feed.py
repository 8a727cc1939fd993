"""The short form of the event feed under writers that commit in any order, and the bugs it must find."""

import pytest
from tests.robustness import event_feed

SEED = 20_261_122


@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_feed_has_no_holes_and_keeps_its_order(engine: str) -> None:
    """Sixteen writers, two readers that go back at random: nothing lost, nothing out of order, nothing changed."""
    result = await event_feed.run(SEED, quick=True, engine=engine)
    assert result.ok, result
    assert result.details["resumes"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("bug", event_feed.SCENARIOS[1].bugs)
async def test_wrong_order_is_found(bug: str) -> None:
    """Row numbers taken for the order of commits, and numbers given before waiting, both turn the run red."""
    result = await event_feed.run(SEED, quick=True, engine="postgresql", bug=bug)
    assert not result.ok, result

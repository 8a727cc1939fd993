"""The short form of an endpoint that hangs, and that it finds an endpoint that may take every worker."""

import pytest
from tests.robustness import webhook_fairness


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_endpoint_that_hangs_slows_nobody(engine: str) -> None:
    """One of twenty hangs: the others are served as fast as before."""
    result = await webhook_fairness.run(0, quick=True, engine=engine)
    assert result.ok, result


@pytest.mark.slow
async def test_endpoint_that_takes_every_worker_is_found() -> None:
    """Without a bound for each endpoint, the one that hangs takes all slots."""
    result = await webhook_fairness.run(0, quick=True, engine="sqlite", per_endpoint=32)
    assert not result.ok, result

"""Random SIGKILLs under live calls, in their short form: `python -m tests.robustness --only kills` is the long one."""

import secrets

from tests.robustness.kills import run


async def test_random_kills_lose_and_change_nothing() -> None:
    """Every file equals the undisturbed one; callers that never came back keep all that was acknowledged."""
    result = await run(secrets.randbits(32), quick=True)
    assert result.ok, result

"""Faults at single system calls: a sample; `python -m tests.robustness --only syscall_kills` takes them all."""

import secrets

from tests.robustness.struck_server import Point
from tests.robustness.syscalls import run_errors, run_kills, strike_kills


async def test_kill_at_any_system_call_loses_nothing() -> None:
    """A sample of the writes, syncs, renames and unlinks of a call and of a recovery."""
    result = await run_kills(secrets.randbits(32), quick=True)
    assert result.ok, result


async def test_failed_sync_is_neither_acknowledged_nor_tried_again() -> None:
    """Once, and for good: the service goes on elsewhere, or stops; what was acknowledged is there."""
    result = await run_errors(secrets.randbits(32), quick=True)
    assert result.ok, result


async def test_call_goes_on_whose_start_only_the_catalog_knew() -> None:
    """Killed after the catalog's commit and before the journal's first entry: request 1 is not asked for again."""
    result = await strike_kills(1, at=[Point("journal", "pwritev2", 1)])
    assert result.ok, result

"""Proof that the scenarios see what they are there for: with a planted bug each of them turns red."""

from dataclasses import replace

import pytest
from tests.robustness import kills, syscalls
from tests.robustness.planted import planted
from tests.robustness.struck_server import Point

FEW = replace(
    kills.QUICK,
    kills=1,
    kills_a_round=1,
    callers=4,
    floor=3,
    start_kill_share=0,
    leavers_share=0,
    commit_interval_s=0.2,
)

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("bug", ["ack_before_write", "restore_without_audio"])
async def test_random_kills_find(bug: str) -> None:
    """Acknowledging what is not written yet; going on without what was received before the kill."""
    result = await kills.kill(replace(FEW, module=planted(bug)), 1)
    assert not result.ok, result
    assert result.details["findings"], result


async def test_kill_while_sealing_finds_release_before_seal() -> None:
    """The journal is given up before the file is durable."""
    result = await syscalls.strike_kills(1, at=[Point("spool", "fsync", 1)], module=planted("release_before_seal"))
    assert result.details["findings"], result


# strace counts by thread: a sync on a timer's thread is always the first one.
@pytest.mark.parametrize(("bug", "when"), [("ack_before_fsync", 1), ("retry_fsync_after_error", 6)])
async def test_failed_sync_finds(bug: str, when: int) -> None:
    """Acknowledging without waiting for the sync; believing the second answer of a failed one."""
    result = await syscalls.strike_errors(1, at=[Point("journal", "fdatasync", when)], module=planted(bug))
    assert result.details["findings"], result

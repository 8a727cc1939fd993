"""The short form of the crash states, and the bugs it must find."""

import random
from pathlib import Path

import pytest
from tests.robustness import crash_states, traced_server
from tests.robustness.power_loss import Disk
from tests.robustness.syscall_trace import moments

_TRACE = r"""1 openat(AT_FDCWD, "\x2f\x64\x2f\x61", O_WRONLY|O_CREAT|O_CLOEXEC, 0600) = 3<\x2f\x64\x2f\x61>
1 pwrite64(3<\x2f\x64\x2f\x61>, "\x68\x69", 2, 0) = 2
1 fdatasync(3<\x2f\x64\x2f\x61> <unfinished ...>
2 pwrite64(3<\x2f\x64\x2f\x61>, "\x21", 1, 2) = 1
1 <... fdatasync resumed>) = 0
1 fsync(4<\x2f\x64>) = 0
1 fsync(3<\x2f\x64\x2f\x61>) = -1 EIO (Input/output error)
"""


def _disk(tmp_path: Path, lines: int) -> Disk:
    trace = tmp_path / "trace"
    trace.write_text("".join(_TRACE.splitlines(keepends=True)[:lines]))
    disk = Disk("/d", lambda path: False)
    for moment in moments(trace):
        disk.see(moment)
    return disk


def test_name_without_directory_sync_may_be_lost(tmp_path: Path) -> None:
    """A synced file whose directory was not synced may be gone."""
    disk = _disk(tmp_path, 5)
    assert disk.loses_power("kept", "lost", random.Random(1)).files == {}
    assert disk.loses_power("lost", "kept", random.Random(1)).files == {"a": b"hi"}


def test_write_during_a_sync_may_be_lost(tmp_path: Path) -> None:
    """A sync covers what was written before it began, and a failed one nothing."""
    disk = _disk(tmp_path, 7)
    assert disk.loses_power("lost", "lost", random.Random(1)).files == {"a": b"hi"}
    assert disk.loses_power("kept", "lost", random.Random(1)).files == {"a": b"hi!"}


@pytest.mark.slow
async def test_nothing_acknowledged_is_lost_in_any_crash_state() -> None:
    """Every rebuilt state opens, with all that was acknowledged by then."""
    (scenario,) = crash_states.SCENARIOS
    result = await crash_states.run(20_261_122, quick=True)
    assert result.ok, result
    assert result.name == scenario.name


@pytest.mark.slow
@pytest.mark.parametrize("bug", crash_states.SCENARIOS[0].bugs)
async def test_planted_bug_is_found_in_crash_states(bug: str) -> None:
    """Acknowledging before the sync, or without that of the directory, loses acknowledged requests."""
    assert bug.startswith(traced_server.__name__)
    result = await crash_states.explore(1, crash_states.Effort(states=50, served=0, messages=10), bug)
    assert not result.ok
    assert set(result.details["faults"]) == {"lost"}, result

"""The short form of the damaged journals, and the bugs it must find."""

import pytest
from tests.robustness import corruption, damaged_server
from tests.robustness.planted import find

from recorder_service.journal import groups, reader


@pytest.mark.slow
def test_every_damage_is_found_and_costs_only_what_it_hit() -> None:
    """Flips, zeros, truncations and rewritten journals."""
    result = corruption.run(20_261_122, quick=True)
    assert result.ok, result


@pytest.mark.slow
@pytest.mark.parametrize("bug", corruption.SCENARIOS[0].bugs)
def test_planted_bug_is_found_in_damaged_journals(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups whose check is not compared are made up; a reader that stops at damage loses what is behind it."""
    monkeypatch.setattr(reader, "decode_group", groups.decode_group)
    monkeypatch.setattr(reader.SegmentReader, "_search", reader.SegmentReader._search)
    find(bug)()
    result = corruption.explore(1, sample=60, fuzzed=0)
    assert not result.ok


@pytest.mark.slow
async def test_damaged_recording_is_finished_with_silence_and_told() -> None:
    """A real server finishes what a damaged journal holds; all other audio is the same to the sample."""
    result = await damaged_server.run(20_261_122, quick=True)
    assert result.ok, result


@pytest.mark.slow
async def test_planted_bug_is_found_in_damaged_recordings() -> None:
    """A hole that nobody tells of is missing from `damage`."""
    (bug,) = damaged_server.SCENARIOS[0].bugs
    result = await damaged_server.explore(1, 1, bug)
    assert not result.ok
    assert set(result.details["faults"]) == {"told"}, result

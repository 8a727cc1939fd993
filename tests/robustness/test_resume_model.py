"""The short form of the resume model, and the bugs it must find."""

import pytest
from tests.robustness import resume_model
from tests.robustness.planted import find

from recorder_service.sessions.acknowledgements import Acknowledgements


@pytest.mark.slow
def test_resume_sends_no_gap_and_no_duplicate() -> None:
    """Cuts, lost acks, repeats, jumps, two lines and restarts: the file is that of an undisturbed call."""
    result = resume_model.run(20_261_122, quick=True)
    assert result.ok, result


@pytest.mark.slow
@pytest.mark.parametrize("bug", resume_model.SCENARIOS[0].bugs)
def test_planted_bug_violates_the_model(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Acks of what is not durable, forgotten numbers and repeats that count are each found."""
    for name in ("durable", "restore", "is_due"):
        monkeypatch.setattr(Acknowledgements, name, getattr(Acknowledgements, name))
    find(bug)()
    result = resume_model.explore(1, 60)
    assert not result.ok
    assert result.details["violation"]

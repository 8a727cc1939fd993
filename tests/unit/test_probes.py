"""Probes: only what a restart can mend is a reason for one."""

from dataclasses import dataclass

import pytest

from recorder_service.journal.writer import JournalState
from recorder_service.probes import AdmissionProbe, JournalProbe, StandingProbe


@dataclass
class Journal:
    """A journal in any state."""

    state: JournalState = JournalState.RUNNING
    writing: bool = True
    queued_bytes: int = 0
    durable_lsn: int = 7


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_journal_that_makes_no_progress_for_a_minute_is_stuck() -> None:
    """Its thread hangs in the disk; a minute that is half as long is a slow disk."""
    journal, clock = Journal(), Clock()
    probe = JournalProbe(journal, clock)
    assert probe.fault() is None
    journal.queued_bytes = 100
    clock.now_s += 30
    assert probe.fault() is None
    clock.now_s += 31
    assert probe.fault() == "stuck"
    journal.durable_lsn += 1
    assert probe.fault() is None


def test_idle_journal_is_never_stuck() -> None:
    """Nothing to write is no stall."""
    clock = Clock()
    probe = JournalProbe(Journal(), clock)
    clock.now_s += 3600
    assert probe.fault() is None


def test_full_disk_is_no_reason_for_a_restart() -> None:
    """The writer waits for room by itself."""
    journal, clock = Journal(JournalState.DISK_FULL, queued_bytes=100), Clock()
    probe = JournalProbe(journal, clock)
    clock.now_s += 3600
    assert probe.fault() is None


@pytest.mark.parametrize(
    "journal", [Journal(JournalState.FAILED), Journal(JournalState.CLOSED), Journal(writing=False)], ids=repr
)
def test_journal_that_cannot_write_any_more_has_failed(journal: Journal) -> None:
    """Failed, closed, or its thread is gone."""
    assert JournalProbe(journal).fault() == "failed"


def test_standing_goes_from_starting_over_recovering_and_well_to_draining() -> None:
    """In this order, and each in words."""
    probe = StandingProbe()
    told = [probe.fault()]
    probe.recovering()
    told.append(probe.fault())
    probe.ready()
    told.append(probe.fault())
    probe.draining()
    assert [*told, probe.fault()] == ["starting", "recovering", None, "draining"]


@pytest.mark.parametrize(("full", "fault"), [(True, "as many recordings run as may"), (False, None)])
def test_admission_says_when_the_node_is_full(full: bool, fault: str | None) -> None:
    """And only then."""

    @dataclass
    class Admission:
        full: bool

    assert AdmissionProbe(Admission(full)).fault() == fault

"""The event loop's side of the queue."""

from pathlib import Path

import pytest
from tests.unit.journal.building import A, B, settings, shelf_in

from recorder_service.errors import Overloaded, Reason
from recorder_service.journal.groups import ENTRY_BYTES, KIND_RELEASED
from recorder_service.journal.intake import Intake
from recorder_service.journal.ownership import Epoch
from recorder_service.journal.recovery import recover
from recorder_service.journal.writer import JournalState, Writer


def intake_in(directory: Path, **changes: float) -> tuple[Intake, Writer]:
    """An intake whose writer is not started, so that its queue can be looked at."""
    with shelf_in(directory) as shelf:
        writer = Writer(shelf, settings(**changes))
    writer.state = JournalState.RUNNING
    return Intake(writer, settings(**changes), recover(directory, Epoch(0, None)).report), writer


def test_entries_are_numbered_in_the_journal_and_in_their_recording(tmp_path: Path) -> None:
    """LSNs grow over all recordings, running numbers within each."""
    intake, writer = intake_in(tmp_path)
    assert [intake.append(name, 5, b"x") for name in (A, B, A)] == [1, 2, 3]
    assert list(writer.queue) == [(A.bytes, 0, 5, b"x"), (B.bytes, 0, 5, b"x"), (A.bytes, 1, 5, b"x")]
    assert intake.queued_bytes == 3 * (ENTRY_BYTES + 1)


def test_full_disk_refuses_entries_and_takes_releases(tmp_path: Path) -> None:
    """A release is what makes room."""
    intake, writer = intake_in(tmp_path)
    intake.append(A, 5, b"x")
    writer.state = JournalState.DISK_FULL
    with pytest.raises(Overloaded) as caught:
        intake.append(A, 5, b"x")
    assert caught.value.reason is Reason.DISK_FULL
    assert caught.value.retry_after_s is not None
    assert intake.release(A) == 2
    assert writer.queue[-1] == (A.bytes, 1, KIND_RELEASED, b"")
    assert intake.recordings() == []


def test_sleeping_writer_is_woken_once(tmp_path: Path) -> None:
    """Further entries cost no wake-up."""
    intake, writer = intake_in(tmp_path)
    writer.idle = True
    intake.append(A, 5, b"x")
    assert not writer.idle
    assert writer._wake.is_set()
    writer._wake.clear()
    intake.append(A, 5, b"x")
    assert not writer._wake.is_set()


def test_refused_entry_uses_up_no_number(tmp_path: Path) -> None:
    """The next accepted one follows the last accepted one."""
    intake, writer = intake_in(tmp_path, queue_bytes=4096)
    assert intake.append(A, 5, bytes(3000)) == 1
    with pytest.raises(Overloaded):
        intake.append(A, 5, bytes(3000))
    writer.done_bytes = intake.queued_bytes
    assert intake.append(A, 5, bytes(3000)) == 2
    assert [item[1] for item in writer.queue] == [0, 1]


def test_forgotten_recording_is_dropped(tmp_path: Path) -> None:
    """With it goes the memory it took."""
    intake, _ = intake_in(tmp_path)
    intake.append(A, 5, b"x")
    intake.forget(A.bytes)
    assert intake.recordings() == []
    assert intake.oldest_unreleased is None

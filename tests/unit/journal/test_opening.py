"""Opening a journal's directory."""

import errno
from pathlib import Path

import pytest
from tests.unit.journal.building import settings

from recorder_service.errors import Reason, StartupError
from recorder_service.journal.opening import open_directory
from recorder_service.journal.segments import segment_numbers


def test_new_directory_is_private_and_ready(tmp_path: Path) -> None:
    """It is made with its parents, and a first segment stands in it."""
    directory = tmp_path / "a" / "j"
    opened = open_directory(directory, settings())
    assert directory.stat().st_mode & 0o777 == 0o700
    assert segment_numbers(directory) == [1]
    assert (opened.report.epoch, opened.report.next_lsn, opened.report.segment_count) == (1, 1, 0)
    opened.shelf.close()
    opened.lock.release()


def test_directory_that_cannot_be_made_is_a_startup_error(tmp_path: Path) -> None:
    """The message says what to check."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StartupError, match="check that the directory is writable"):
        open_directory(tmp_path / "file" / "j", settings())


def test_failed_opening_gives_the_lock_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails at the first segment stops the start, and the next try is not locked out."""

    def failing(_: int) -> None:
        raise OSError(errno.EIO, "made to fail")

    with monkeypatch.context() as patch:
        patch.setattr("recorder_service.journal.segments.os.fdatasync", failing)
        with pytest.raises(StartupError, match="made to fail") as caught:
            open_directory(tmp_path, settings())
    assert caught.value.reason is Reason.JOURNAL_FAILED
    opened = open_directory(tmp_path, settings())
    opened.shelf.close()
    opened.lock.release()


def test_each_start_has_a_higher_epoch(tmp_path: Path) -> None:
    """Even when the epoch file is lost: the segments carry it too."""
    epochs = []
    for _ in range(3):
        opened = open_directory(tmp_path, settings())
        epochs.append(opened.report.epoch)
        opened.shelf.close()
        opened.lock.release()
        (tmp_path / "epoch").unlink()
    assert epochs == [1, 2, 3]

"""The lock and the epoch of a journal's directory."""

from pathlib import Path

import pytest

from recorder_service.errors import Reason, StartupError
from recorder_service.journal.groups import Seal
from recorder_service.journal.ownership import DirectoryLock, Epoch, read_epoch, write_epoch


def test_lock_is_held_once(tmp_path: Path) -> None:
    """The second one is refused with the holder's name, and taken once the first is released."""
    lock = DirectoryLock(tmp_path)
    with pytest.raises(StartupError, match=r"in use by process \d+ on") as caught:
        DirectoryLock(tmp_path)
    assert caught.value.reason is Reason.DIRECTORY_LOCKED
    lock.release()
    lock.release()
    DirectoryLock(tmp_path).release()


@pytest.mark.parametrize("epoch", [Epoch(3, None), Epoch(4, Seal(7, 1234, 99))])
def test_epoch_reads_back(tmp_path: Path, epoch: Epoch) -> None:
    """With and without an orderly close."""
    write_epoch(tmp_path, epoch)
    assert read_epoch(tmp_path) == epoch


@pytest.mark.parametrize(
    "data", [None, b"", b"{}", b"[1]", b"\xff", b'{"epoch": "x"}', b'{"epoch": 1, "closed_at": 5}']
)
def test_unreadable_epoch_is_none(tmp_path: Path, data: bytes | None) -> None:
    """A damaged file must not stop a start."""
    if data is not None:
        (tmp_path / "epoch").write_bytes(data)
    assert read_epoch(tmp_path) == Epoch(0, None)


def test_damaged_epoch_counts_as_missing(tmp_path: Path) -> None:
    """A digit that is another would say a wrong end, and hide what lies behind it."""
    write_epoch(tmp_path, Epoch(4, Seal(7, 1234, 99)))
    path = tmp_path / "epoch"
    path.write_bytes(path.read_bytes().replace(b"1234", b"1224"))
    assert read_epoch(tmp_path) == Epoch(0, None)

"""The file under construction, on the real file system."""

import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.journal.building import memory_directory

from recorder_service.audio.finished import Finished
from recorder_service.errors import Overloaded, Reason
from recorder_service.finishing.spool import SpoolDirectory, SpoolFile

ID = uuid.UUID(int=7)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[SpoolFile]:
    """A file that has begun with a placeholder of four bytes."""
    spool = SpoolDirectory(tmp_path / "spool").create(ID)
    spool.append(b"head")
    yield spool
    spool.discard()


@settings(deadline=None)
@given(pieces=st.lists(st.binary(max_size=50)), tail=st.binary(max_size=50))
def test_sealed_file_is_header_pieces_and_tail(pieces: list[bytes], tail: bytes) -> None:
    """Size and hash are those of the bytes on the disk."""
    with memory_directory() as directory:
        spool = SpoolDirectory(directory).create(ID)
        spool.append(b"head")
        for piece in pieces:
            spool.append(piece)
        sealed = spool.seal(Finished(tail, b"HEAD"), frames=9)
        data = sealed.path.read_bytes()
        assert data == b"HEAD" + b"".join(pieces) + tail
        assert (sealed.size_bytes, sealed.frames) == (len(data), 9)
        assert sealed.sha256 == hashlib.sha256(data).hexdigest()


def test_only_its_owner_reads_it(spool: SpoolFile) -> None:
    """It holds a conversation."""
    assert spool.path.stat().st_mode & 0o777 == 0o600
    assert spool.path.parent.stat().st_mode & 0o777 == 0o700


def test_file_begun_again_is_empty(spool: SpoolFile, tmp_path: Path) -> None:
    """An older attempt is scrap."""
    again = SpoolFile(spool.path)
    assert again.path.stat().st_size == 0
    again.discard()


def test_removing_it_twice_is_harmless(spool: SpoolFile) -> None:
    """Sealed or not."""
    spool.discard()
    spool.discard()
    assert not spool.path.exists()


def test_sealed_file_outlives_a_restart_and_scrap_does_not(tmp_path: Path) -> None:
    """What was sealed need not be rendered again."""
    directory = SpoolDirectory(tmp_path)
    whole, scrap = directory.create(ID), directory.create(uuid.UUID(int=8))
    whole.append(b"head")
    scrap.append(b"half")
    sealed = whole.seal(Finished(b"tail", b"HEAD"), frames=5)
    (tmp_path / "x.tmp").write_bytes(b"")
    again = SpoolDirectory(tmp_path)
    assert again.sealed(ID) == sealed
    assert again.sealed(uuid.UUID(int=8)) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{ID}.sealed", f"{ID}.spool"]
    sealed.discard()
    sealed.discard()
    assert list(tmp_path.iterdir()) == []
    scrap.discard()


def test_sealed_file_that_does_not_fit_its_note_is_scrap(tmp_path: Path) -> None:
    """Then it is made anew."""
    spool = SpoolDirectory(tmp_path).create(ID)
    spool.seal(Finished(b"tail", b""), frames=5).path.write_bytes(b"tai")
    assert SpoolDirectory(tmp_path).sealed(ID) is None
    assert list(tmp_path.iterdir()) == []


def test_foreign_file_in_the_directory_does_not_stop_the_service(tmp_path: Path) -> None:
    """A file system's own directory, an editor's copy: neither is ours."""
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    directory = SpoolDirectory(tmp_path)
    assert directory.sealed(ID) is None
    directory.create(ID).discard()


def test_full_disk_is_waited_for_and_then_nothing_is_missing(spool: SpoolFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes wait in memory; sealing is asked for again."""
    monkeypatch.setattr(os, "pwrite", _full)
    spool.append(b"body")
    finished = Finished(b"tail", b"HEAD")
    for _ in range(2):
        with pytest.raises(Overloaded) as refused:
            spool.seal(finished, frames=1)
        assert refused.value.reason is Reason.DISK_FULL
    monkeypatch.undo()
    sealed = spool.seal(finished, frames=1)
    assert sealed.path.read_bytes() == b"HEADbodytail"
    sealed.discard()


def _full(*_: object) -> int:
    raise OSError(28, "No space left on device")

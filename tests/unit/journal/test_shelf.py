"""Segments begun, filled, and deleted."""

import errno
from pathlib import Path

import pytest
from tests.unit.journal.building import A, B, C, entry, read_all, release, settings, shelf_in, store

from recorder_service.journal.segments import segment_numbers


def test_segments_rotate_at_their_length(tmp_path: Path) -> None:
    """A new one begins when the present one has reached it; nothing is lost in between."""
    with shelf_in(tmp_path, settings(segment_bytes=4096)) as shelf:
        for index in range(20):
            store(shelf, entry(A, index, bytes(1000)))
        assert shelf.size_bytes == sum(path.stat().st_size for path in tmp_path.glob("*.journal"))
    assert len(segment_numbers(tmp_path)) == 5
    report, entries, holes = read_all(tmp_path)
    assert len(entries[A]) == 20
    assert (report.damage, report.torn_bytes, holes) == ((), 0, [])


def test_release_outlives_the_segment_it_stands_in(tmp_path: Path) -> None:
    """A's release lies in a segment that is deleted, its entries in one that stays: it must not come back."""
    with shelf_in(tmp_path) as shelf:
        store(shelf, entry(A, 0), entry(B, 0))
        shelf.rotate()
        store(shelf, entry(C, 0), release(A))
        shelf.rotate()
        store(shelf, release(C))
        assert 2 not in segment_numbers(tmp_path)
        assert 1 in segment_numbers(tmp_path)
    for _ in range(2):
        with shelf_in(tmp_path):
            pass
    report, entries, _ = read_all(tmp_path)
    assert set(report.recordings) == {B}
    assert entries == {B: [(0, b"2:0")]}


def test_last_release_empties_the_present_segment(tmp_path: Path) -> None:
    """Audio of finished recordings does not wait for the next call before it goes."""
    with shelf_in(tmp_path) as shelf:
        store(shelf, entry(A, 0, b"private" * 100))
        store(shelf, release(A))
        assert list(shelf.forgotten) == [A.bytes]
    assert b"private" not in b"".join(path.read_bytes() for path in tmp_path.glob("*.journal"))


def test_middle_segment_is_deleted_while_older_ones_stay(tmp_path: Path) -> None:
    """One recording that cannot be stored does not hold on to all that came after it."""
    with shelf_in(tmp_path) as shelf:
        store(shelf, entry(A, 0))
        for index, name in enumerate((B, C)):
            shelf.rotate()
            store(shelf, entry(name, 0))
            store(shelf, release(name))
            assert len(segment_numbers(tmp_path)) == 2, index
        store(shelf, entry(A, 1))
    report, entries, holes = read_all(tmp_path)
    assert (entries, holes, report.damage) == ({A: [(0, b"1:0"), (1, b"1:1")]}, [], ())


def test_empty_segments_of_restarts_are_deleted(tmp_path: Path) -> None:
    """A process that starts a hundred times leaves no hundred files."""
    with shelf_in(tmp_path) as shelf:
        store(shelf, entry(A, 0))
    for _ in range(5):
        with shelf_in(tmp_path):
            assert len(segment_numbers(tmp_path)) == 2


def test_failed_rotation_keeps_the_old_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The segment that was let go of is not written again, even if the new one may be there after all."""
    with shelf_in(tmp_path) as shelf:
        store(shelf, entry(A, 0))
        with monkeypatch.context() as patch:

            def failing(_: Path) -> None:
                raise OSError(errno.EIO, "made to fail")

            patch.setattr("recorder_service.journal.segments.sync_directory", failing)
            patch.setattr(Path, "unlink", lambda self, missing_ok=False: None)
            with pytest.raises(OSError, match="made to fail"):
                shelf.rotate()
        assert segment_numbers(tmp_path) == [1, 2]
        store(shelf, entry(A, 1))
        assert segment_numbers(tmp_path) == [1, 2, 3]
    report, entries, holes = read_all(tmp_path)
    assert (entries[A], holes, report.damage) == ([(0, b"1:0"), (1, b"1:1")], [], ())


def test_undeletable_segment_is_deleted_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error while deleting costs no more than the room, until the next release."""
    with shelf_in(tmp_path) as shelf:
        store(shelf, entry(A, 0), entry(B, 0))
        shelf.rotate()
        store(shelf, entry(C, 0))
        with monkeypatch.context() as patch:

            def failing(self: Path, *, missing_ok: bool = False) -> None:
                raise OSError(errno.EPERM, "made to fail")

            patch.setattr(Path, "unlink", failing)
            store(shelf, release(A), release(B))
        assert 1 in segment_numbers(tmp_path)
        store(shelf, release(C))
        assert 1 not in segment_numbers(tmp_path)

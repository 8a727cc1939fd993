"""Reading recordings back."""

from pathlib import Path

from tests.unit.journal.building import A, B, entry, shelf_in, store

from recorder_service.journal.groups import Seal
from recorder_service.journal.replay import Entry, Hole, replay
from recorder_service.journal.segments import segment_path


def test_holes_are_yielded_where_they_are(tmp_path: Path) -> None:
    """Before the first entry, between entries, and after the last one."""
    with shelf_in(tmp_path) as shelf:
        store(shelf, entry(A, 2), entry(A, 3), entry(B, 0))
        store(shelf, entry(A, 6))
    items = list(replay(tmp_path, [(1, None)], {A: 9}))
    places = [item if isinstance(item, Hole) else item.index for item in items]
    assert places == [Hole(A, 0, 2), 2, 3, Hole(A, 4, 2), 6, Hole(A, 7, 2)]


def test_entries_carry_lsn_and_kind(tmp_path: Path) -> None:
    """LSNs count all recordings' entries."""
    with shelf_in(tmp_path) as shelf:
        store(shelf, entry(A, 0), entry(B, 0), entry(A, 1))
    items = list(replay(tmp_path, [(1, None)], {A: 2}))
    assert items == [Entry(A, 0, 1, 7, b"1:0"), Entry(A, 1, 3, 7, b"1:1")]


def test_nothing_beyond_the_seal_is_read(tmp_path: Path) -> None:
    """A group that is not durable yet, or never was, does not count."""
    with shelf_in(tmp_path) as shelf:
        store(shelf, entry(A, 0))
        end = segment_path(tmp_path, 1).stat().st_size
        store(shelf, entry(A, 1))
    assert len(list(replay(tmp_path, [(1, Seal(1, end, 0))], {A: 0}))) == 1

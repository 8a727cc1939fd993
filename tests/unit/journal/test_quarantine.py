"""Setting bytes aside."""

from pathlib import Path

import pytest
from tests.unit.journal.building import A, entry, shelf_in, store

from recorder_service.journal.groups import Group
from recorder_service.journal.quarantine import cut, set_aside, settle
from recorder_service.journal.reader import SegmentReader
from recorder_service.journal.segments import segment_path


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "j"
    path.mkdir()
    with shelf_in(path) as shelf:
        store(shelf, entry(A, 0, bytes(range(256)) * 1000))
        store(shelf, entry(A, 1))
    return path


def test_copy_is_exact_and_made_once(directory: Path) -> None:
    """A second start finds the copy of the first."""
    data = segment_path(directory, 1).read_bytes()
    with SegmentReader(segment_path(directory, 1), 1) as reader:
        copy = set_aside(reader, directory, 100, 200_100, "damaged")
        assert copy is not None
        made = copy.stat().st_ino
        assert set_aside(reader, directory, 100, 200_100, "damaged") == copy
    assert copy.name == "00000000000000000001-00000000000000000100.damaged"
    assert copy.read_bytes() == data[100:200_100]
    assert copy.stat().st_ino == made


def test_half_made_copy_is_made_anew(directory: Path) -> None:
    """A start that was killed while copying leaves nothing that passes for a copy."""
    short = directory / "00000000000000000001-00000000000000000100.torn"
    short.write_bytes(b"short")
    with SegmentReader(segment_path(directory, 1), 1) as reader:
        copy = set_aside(reader, directory, 100, 300, "torn")
    assert copy == short
    assert short.stat().st_size == 200


def test_nothing_beyond_the_file_is_copied(directory: Path) -> None:
    """Bytes that are missing altogether cannot be set aside."""
    size = segment_path(directory, 1).stat().st_size
    with SegmentReader(segment_path(directory, 1), 1) as reader:
        assert set_aside(reader, directory, size, size + 100, "damaged") is None


def test_settled_group_is_unchanged(directory: Path) -> None:
    """Writing it again changes no byte."""
    path = segment_path(directory, 1)
    before = path.read_bytes()
    with SegmentReader(path, 1) as reader:
        groups = [group for group in reader.groups() if isinstance(group, Group)]
        settle(reader, directory, groups[-1])
    assert path.read_bytes() == before
    cut(directory, 1, groups[-1].place.offset)
    assert path.read_bytes() == before[: groups[-1].place.offset]

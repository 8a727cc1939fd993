"""Reading one segment, whatever is in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.journal.building import A, B, entry, memory_directory, shelf_in, store

from recorder_service.journal.groups import GROUP_MAGIC, HEADER_BYTES, PREAMBLE_BYTES, Group, GroupPlace, encode_group
from recorder_service.journal.reader import BadRange, SegmentReader
from recorder_service.journal.segments import segment_path


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    with memory_directory() as directory:
        yield directory


def whole_segment(directory: Path) -> bytes:
    directory.mkdir(exist_ok=True)
    with shelf_in(directory) as shelf:
        for index in range(4):
            store(shelf, entry(A, index), entry(B, index))
    path = max(directory.glob("*.journal"))
    data = path.read_bytes()
    path.unlink()
    return data


def read(path: Path, number: int = 1) -> list[Group | BadRange]:
    with SegmentReader(path, number) as reader:
        return list(reader.groups())


def covered(items: list[Group | BadRange]) -> None:
    """Groups and bad ranges follow each other without a byte between them."""
    position = PREAMBLE_BYTES
    for item in items:
        start = item.start if isinstance(item, BadRange) else item.place.offset
        if isinstance(item, BadRange) and item.start < PREAMBLE_BYTES:
            continue
        assert start == position
        position = item.end


@settings(max_examples=300, deadline=None)
@given(data=st.binary(max_size=2000))
def test_random_bytes_never_make_a_group(memory: Path, data: bytes) -> None:
    """Any file is read to its end: no group, no error, no endless loop."""
    path = memory / "random"
    path.write_bytes(data)
    items = read(path)
    assert all(isinstance(item, BadRange) for item in items)
    covered(items)


@settings(max_examples=300, deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=40), st.integers(0, 60)), max_size=6))
def test_spliced_segment_is_read_to_its_end(memory: Path, changes: list[tuple[int, bytes, int]]) -> None:
    """Bytes replaced, inserted and removed anywhere: only groups that were written come out."""
    whole = whole_segment(memory / "spliced")
    path = memory / "spliced" / "segment"
    number = int.from_bytes(whole[24:32], "little")
    path.write_bytes(whole)
    written = {group.crc for group in read(path, number) if isinstance(group, Group)}
    assert len(written) == 5
    data = whole
    for at, text, removed in changes:
        data = data[:at] + text + data[at + removed :]
    path.write_bytes(data)
    items = read(path, number)
    covered(items)
    assert {group.crc for group in items if isinstance(group, Group)} <= written


def test_group_inside_a_payload_is_never_read(tmp_path: Path) -> None:
    """A caller who sends a perfect group as its audio gains nothing when the group around it is damaged."""
    directory = tmp_path / "j"
    directory.mkdir()
    with shelf_in(directory) as shelf:
        store(shelf, entry(A, 0))
        offset = segment_path(directory, 1).stat().st_size + HEADER_BYTES + 32
        forged = b"".join(encode_group(GroupPlace(1, offset, 0, 1, 0, 0, 0, 0), [entry(B, 0)])[:2])
        store(shelf, entry(A, 1, forged))
        store(shelf, entry(A, 2))
    path = segment_path(directory, 1)
    data = bytearray(path.read_bytes())
    data[offset - 1] ^= 1
    path.write_bytes(data)
    items = read(path)
    read_back = [
        item[0] for group in items if isinstance(group, Group) and not group.checkpoint for item in group.entries()
    ]
    assert read_back == [A.bytes, A.bytes]
    assert [item for item in items if isinstance(item, BadRange)]


def test_search_through_magics_stays_cheap(tmp_path: Path) -> None:
    """A file full of group magics costs one look at each, not one check of a body."""
    path = tmp_path / "magics"
    path.write_bytes(GROUP_MAGIC * 200_000)
    assert [type(item) for item in read(path)] == [BadRange, BadRange]


def test_unreadable_block_is_damage_not_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that cannot read a block costs the group in it."""
    directory = tmp_path / "j"
    directory.mkdir()
    with shelf_in(directory) as shelf:
        for index in range(3):
            store(shelf, entry(A, index))
    path = segment_path(directory, 1)
    bad = [item for item in read(path) if isinstance(item, Group)][2].place.offset
    import os

    real = os.pread

    def failing(descriptor: int, size: int, offset: int) -> bytes:
        if offset <= bad < offset + size:
            raise OSError(5, "made to fail")
        return real(descriptor, size, offset)

    monkeypatch.setattr("recorder_service.journal.reader.os.pread", failing)
    items = read(path)
    assert [item.start for item in items if isinstance(item, BadRange)] == [bad]


def test_segment_read_up_to_its_seal(tmp_path: Path) -> None:
    """What lies beyond the seal does not exist; what is short of it is reported."""
    directory = tmp_path / "j"
    directory.mkdir()
    with shelf_in(directory) as shelf:
        for index in range(3):
            store(shelf, entry(A, index))
    path = segment_path(directory, 1)
    groups = [item for item in read(path) if isinstance(item, Group)]
    with SegmentReader(path, 1, groups[1].end) as reader:
        assert list(reader.groups()) == groups[:2]
    with SegmentReader(path, 1, groups[-1].end + 10) as reader:
        last = list(reader.groups())[-1]
    assert last == BadRange(groups[-1].end, groups[-1].end + 10, "the file was cut short")

"""Recovery: what a crash, a bit flip, or a lost file does to a journal."""

import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from tests.unit.journal.building import (
    A,
    B,
    C,
    Read,
    copy_to,
    entry,
    memory_directory,
    read_all,
    release,
    shelf_in,
    store,
)

from recorder_service.errors import Reason, StartupError
from recorder_service.journal import Hole
from recorder_service.journal.groups import FORMAT_VERSION, Group, decode_preamble, encode_preamble
from recorder_service.journal.reader import SegmentReader
from recorder_service.journal.segments import segment_numbers, segment_path

# Per group: which entries it holds. Two segments of three groups each.
GROUPS = [
    [entry(A, 0), entry(B, 0)],
    [entry(A, 1), entry(C, 0), entry(B, 1)],
    [entry(C, 1), entry(A, 2)],
    [entry(A, 3), entry(B, 2)],
    [entry(B, 3), entry(B, 4), entry(C, 2)],
    [entry(A, 4)],
]
WHOLE: Read = {
    A: [(index, f"1:{index}".encode()) for index in range(5)],
    B: [(index, f"2:{index}".encode()) for index in range(5)],
    C: [(index, f"3:{index}".encode()) for index in range(3)],
}


@pytest.fixture
def memory() -> Iterator[Path]:
    with memory_directory() as directory:
        yield directory


def build(directory: Path, *, closed: bool = True) -> None:
    directory.mkdir()
    with shelf_in(directory) as shelf:
        for number, group in enumerate(GROUPS):
            if number == 3:
                shelf.rotate()
            store(shelf, *group)
        if closed:
            shelf.seal()


def places(directory: Path) -> dict[tuple[int, int], list[tuple[bytes, int]]]:
    """For every byte of every segment: the recordings and numbers that the group around it holds."""
    found: dict[tuple[int, int], list[tuple[bytes, int]]] = {}
    for number in segment_numbers(directory):
        with SegmentReader(segment_path(directory, number), number) as reader:
            for group in reader.groups():
                assert isinstance(group, Group)
                held = [] if group.checkpoint else [(item[0], item[1]) for item in group.entries()]
                found |= dict.fromkeys(((number, at) for at in range(group.place.offset, group.end)), held)
    return found


def without(lost: list[tuple[bytes, int]]) -> Read:
    return {name: [item for item in items if (name.bytes, item[0]) not in lost] for name, items in WHOLE.items()}


def numbers_of(holes: list[Hole]) -> set[tuple[bytes, int]]:
    return {
        (hole.recording.bytes, number)
        for hole in holes
        for number in range(hole.index, hole.index + hole.missing_count)
    }


def test_closed_journal_is_read_back_whole(tmp_path: Path) -> None:
    """Every entry of every recording, in order, with nothing to report."""
    build(tmp_path / "j")
    report, entries, holes = read_all(tmp_path / "j")
    assert (entries, holes, report.damage, report.torn_bytes) == (WHOLE, [], (), 0)
    assert [facts.entry_count for facts in report.recordings.values()] == [5, 5, 3]
    assert report.next_lsn == 14


def test_crashed_journal_is_read_back_whole(tmp_path: Path) -> None:
    """What was durable needs no seal."""
    build(tmp_path / "j", closed=False)
    report, entries, holes = read_all(tmp_path / "j")
    assert (entries, holes, report.damage, report.torn_bytes) == (WHOLE, [], (), 0)


def test_tail_torn_at_every_byte_is_set_aside_and_cut(memory: Path) -> None:
    """Only the last group is lost, its bytes are kept, and a second recovery finds nothing to do."""
    build(memory / "whole", closed=False)
    path = segment_path(memory / "whole", 2)
    with SegmentReader(path, 2) as reader:
        last = [group for group in reader.groups() if isinstance(group, Group)][-1]
    expected = without([(A.bytes, 4)])
    for size in range(last.place.offset + 1, last.end):
        copy_to(memory / "whole", memory / "torn")
        torn = segment_path(memory / "torn", 2)
        data = torn.read_bytes()[:size]
        torn.write_bytes(data)
        report, entries, holes = read_all(memory / "torn")
        assert (entries, holes, report.damage) == (expected, [], ())
        assert report.torn_bytes == size - last.place.offset
        assert report.torn_copy is not None
        assert report.torn_copy.read_bytes() == data[last.place.offset :]
        assert torn.stat().st_size == last.place.offset
        again, entries, holes = read_all(memory / "torn")
        assert (entries, holes, again.damage, again.torn_bytes) == (expected, [], (), 0)


# Every byte is inverted; single bits and zeros hit every third one, which is enough to find a check that is not there.
@pytest.mark.parametrize(("mask", "step"), [(0xFF, 1), (0x01, 3), (None, 3)], ids=["inverted", "one bit", "zeroed"])
def test_every_changed_byte_is_found_and_costs_only_its_group(memory: Path, mask: int | None, step: int) -> None:
    """All other entries are read, and the holes name exactly what is lost; also at a second start."""
    build(memory / "whole")
    held = places(memory / "whole")
    for number in (1, 2):
        whole = segment_path(memory / "whole", number).read_bytes()
        for at in range(0, len(whole), step):
            changed = 0 if mask is None else whole[at] ^ mask
            if changed == whole[at]:
                continue
            copy_to(memory / "whole", memory / "bad")
            segment_path(memory / "bad", number).write_bytes(whole[:at] + bytes([changed]) + whole[at + 1 :])
            lost = held.get((number, at), [])
            for _ in range(1 if at % 10 else 2):
                report, entries, holes = read_all(memory / "bad", list(WHOLE))
                assert report.damage, f"byte {at} of segment {number}"
                assert not report.torn_bytes
                assert entries == without(lost)
                assert numbers_of(holes) - doubts(report.recordings) == set(lost)


def doubts(recordings: object) -> set[tuple[bytes, int]]:
    """The numbers that recovery counts as missing because it cannot know."""
    assert isinstance(recordings, dict)
    return {(name.bytes, facts.next_index - 1) for name, facts in recordings.items() if facts.tail_in_doubt}


def test_segment_cut_short_at_every_byte_is_found(memory: Path) -> None:
    """The next segment and the close both vouch for the length."""
    build(memory / "whole")
    held = places(memory / "whole")
    for number in (1, 2):
        whole = segment_path(memory / "whole", number).read_bytes()
        for size in range(len(whole)):
            copy_to(memory / "whole", memory / "bad")
            segment_path(memory / "bad", number).write_bytes(whole[:size])
            lost = [item for at in range(size, len(whole)) for item in held.get((number, at), [])]
            report, entries, holes = read_all(memory / "bad", list(WHOLE))
            assert report.damage
            assert not report.torn_bytes
            assert entries == without(lost)
            assert numbers_of(holes) - doubts(report.recordings) <= set(lost)
            if number == 1:
                assert numbers_of(holes) == set(lost)


@hypothesis_settings(max_examples=150, deadline=None)
@given(tail=st.binary(max_size=600), zeros=st.integers(0, 600), kept=st.integers(0, 300))
def test_any_unacknowledged_tail_is_torn_and_never_read(tail: bytes, zeros: int, kept: int) -> None:
    """A power cut may leave any part of the last group, zeros, or noise behind it: only that group is lost."""
    with memory_directory() as memory:
        build(memory / "j", closed=False)
        path = segment_path(memory / "j", 2)
        with SegmentReader(path, 2) as reader:
            last = [group for group in reader.groups() if isinstance(group, Group)][-1]
        whole = path.read_bytes()
        kept = min(kept, last.end - last.place.offset - 1)
        left = whole[: last.place.offset + kept] + bytes(zeros) + tail
        if left.startswith(whole):
            left = left[: last.end - 1]
        path.write_bytes(left)
        report, entries, holes = read_all(memory / "j")
    assert (entries, holes, report.damage) == (without([(A.bytes, 4)]), [], ())
    assert report.torn_bytes == len(left) - last.place.offset


def test_damage_below_a_durable_mark_is_copied_and_read_past(tmp_path: Path) -> None:
    """A later group proves that the bad one was durable: it is never cut, even without a close."""
    directory = tmp_path / "j"
    build(directory, closed=False)
    path = segment_path(directory, 2)
    with SegmentReader(path, 2) as reader:
        hit = [group for group in reader.groups() if isinstance(group, Group)][2]
    data = bytearray(path.read_bytes())
    data[hit.end - 1] ^= 1
    path.write_bytes(data)
    for _ in range(2):
        report, entries, _ = read_all(directory)
        damage = report.damage[0]
        assert (damage.offset, damage.size_bytes) == (hit.place.offset, hit.end - hit.place.offset)
        assert (damage.first_lsn, damage.last_lsn) == (hit.place.first_lsn, hit.place.first_lsn + 2)
        assert damage.quarantine is not None
        assert damage.quarantine.read_bytes() == data[hit.place.offset : hit.end]
        assert path.read_bytes() == data
        assert entries[A] == WHOLE[A]
        assert entries[B] == WHOLE[B][:3]
    assert report.recordings[B].tail_in_doubt
    assert not report.recordings[A].tail_in_doubt


def test_doubt_stays_on_record_over_starts(tmp_path: Path) -> None:
    """A recording that may have lost its last entries has a hole at every later start, and goes on after it."""
    directory = tmp_path / "j"
    build(directory, closed=False)
    path = segment_path(directory, 2)
    data = path.read_bytes().replace(b"3:2", b"3:x")
    path.write_bytes(data)
    with shelf_in(directory) as shelf:
        store(shelf, entry(C, 3))
    for _ in range(2):
        report, entries, holes = read_all(directory)
        assert Hole(C, 2, 1) in holes
        assert entries[C] == [*WHOLE[C][:2], (3, b"3:3")]
        assert report.recordings[C].missing_count == 1


def test_lost_segment_is_found_by_the_counts(tmp_path: Path) -> None:
    """The next segment's checkpoint says how many entries each recording had."""
    directory = tmp_path / "j"
    build(directory)
    segment_path(directory, 1).unlink()
    _, entries, holes = read_all(directory)
    assert set(holes) == {Hole(A, 0, 3), Hole(B, 0, 2), Hole(C, 0, 2)}
    assert entries[A] == WHOLE[A][3:]


def test_wholly_destroyed_segment_keeps_a_copy(tmp_path: Path) -> None:
    """Noise instead of a segment is damage, whatever it is."""
    directory = tmp_path / "j"
    build(directory)
    path = segment_path(directory, 2)
    noise = bytes(number % 256 for number in range(path.stat().st_size))
    path.write_bytes(noise)
    report, entries, _ = read_all(directory)
    assert entries[A] == WHOLE[A][:3]
    copies = [damage.quarantine.read_bytes() for damage in report.damage if damage.quarantine]
    assert b"".join(copies) == noise


def test_tail_beyond_a_seal_is_never_read(tmp_path: Path) -> None:
    """A group that a failed fdatasync left behind was written again elsewhere: here it counts as abandoned."""
    directory = tmp_path / "j"
    build(directory)
    path = segment_path(directory, 1)
    with SegmentReader(path, 1) as reader:
        first = [group for group in reader.groups() if isinstance(group, Group)][1]
    copied = path.read_bytes()[first.place.offset : first.end]
    path.write_bytes(path.read_bytes() + copied)
    report, entries, holes = read_all(directory)
    assert report.abandoned_bytes == len(copied)
    assert (entries, holes, report.damage) == (WHOLE, [], ())


def test_swapped_group_does_not_pass(tmp_path: Path) -> None:
    """A valid group in the wrong place, as a misdirected write leaves it, is damage."""
    directory = tmp_path / "j"
    build(directory)
    path = segment_path(directory, 1)
    with SegmentReader(path, 1) as reader:
        groups = [group for group in reader.groups() if isinstance(group, Group)]
    data = path.read_bytes()
    path.write_bytes(
        data[: groups[1].place.offset] + data[groups[3].place.offset : groups[3].end] + data[groups[2].place.offset :]
    )
    report, entries, _ = read_all(directory)
    assert report.damage
    assert [index for index, _ in entries[A]][-2:] == [3, 4]


def test_leftover_of_a_killed_creation_is_removed(tmp_path: Path) -> None:
    """A file that never got its name holds nothing that was acknowledged."""
    directory = tmp_path / "j"
    build(directory)
    leftover = segment_path(directory, 3).with_suffix(".new")
    leftover.write_bytes(b"half a preamble")
    read_all(directory)
    assert not leftover.exists()


def test_newer_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    """An intact preamble of another version is no damage."""
    directory = tmp_path / "j"
    build(directory)
    path = segment_path(directory, 2)
    found = decode_preamble(path.read_bytes())
    assert found is not None
    head = bytearray(encode_preamble(found[1]))
    head[8] = FORMAT_VERSION + 1
    head[-4:] = zlib.crc32(head[:-4]).to_bytes(4, "little")
    path.write_bytes(head + path.read_bytes()[len(head) :])
    before = path.read_bytes()
    with pytest.raises(StartupError, match="start the version that wrote it") as caught:
        read_all(directory)
    assert caught.value.reason is Reason.SCHEMA_TOO_NEW
    assert path.read_bytes() == before


def test_released_recording_is_not_reported(tmp_path: Path) -> None:
    """A durable release outlives the process."""
    directory = tmp_path / "j"
    build(directory)
    with shelf_in(directory) as shelf:
        store(shelf, release(A))
    report, _, _ = read_all(directory)
    assert set(report.recordings) == {B, C}

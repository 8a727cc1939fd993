"""Segment files as they are written."""

import errno
import os
from pathlib import Path

import pytest
from tests.unit.journal.building import A, entry

from recorder_service.journal.groups import Group, Seal
from recorder_service.journal.reader import SegmentReader
from recorder_service.journal.segments import SegmentFile, segment_numbers, segment_path, write_all, write_durably


def create(directory: Path, number: int = 1, previous: Seal | None = None) -> SegmentFile:
    return SegmentFile.create(directory, number, epoch=1, first_lsn=1, previous=previous, checkpoint=[])


def groups_of(directory: Path, number: int = 1) -> list[Group]:
    with SegmentReader(segment_path(directory, number), number) as reader:
        items = list(reader.groups())
    groups = [item for item in items if isinstance(item, Group)]
    assert groups == items
    return groups


def test_new_segment_is_durable_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Content first, then the name, then the directory; only then the first group can follow."""
    steps: list[str] = []
    for name in ("pwritev", "fdatasync", "fsync"):
        real = getattr(os, name)

        def traced(descriptor: int, *rest: object, _real: object = real, _name: str = name) -> object:
            kind = "directory" if Path(f"/proc/self/fd/{descriptor}").is_dir() else "file"
            steps.append(f"{_name} {kind}")
            return _real(descriptor, *rest)  # type: ignore[operator]

        monkeypatch.setattr(f"recorder_service.journal.segments.os.{name}", traced)
    real_rename = Path.rename

    def rename(self: Path, target: Path) -> Path:
        steps.append("rename")
        return real_rename(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    create(tmp_path).close()
    assert steps == ["pwritev file", "pwritev file", "fdatasync file", "rename", "fsync directory"]


def test_groups_chain_and_name_their_durable_mark(tmp_path: Path) -> None:
    """Each repeats the CRC before it, from segment to segment, and vouches for all bytes before it."""
    first = create(tmp_path)
    first.commit([entry(A, 0)], 1)
    first.commit([entry(A, 1)], 2)
    first.close()
    second = create(tmp_path, 2, first.seal())
    second.close()
    groups = groups_of(tmp_path)
    assert [group.place.previous_crc for group in groups] == [0, groups[0].crc, groups[1].crc]
    assert [group.place.durable_before for group in groups] == [group.place.offset for group in groups]
    following = groups_of(tmp_path, 2)[0]
    assert following.place.previous_crc == groups[-1].crc
    assert (following.place.previous_segment, following.place.previous_end) == (1, groups[-1].end)


def test_dead_segment_refuses_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failed sync it is neither written nor synced again."""
    segment = create(tmp_path)
    calls = []

    def failing(descriptor: int) -> None:
        calls.append(descriptor)
        raise OSError(errno.EIO, "made to fail")

    monkeypatch.setattr("recorder_service.journal.segments.os.fdatasync", failing)
    end = segment.end
    for _ in range(3):
        with pytest.raises(OSError, match=r"made to fail|never written again"):
            segment.commit([entry(A, 0)], 1)
    segment.close()
    assert segment.dead
    assert segment.end == end
    assert len(calls) == 1


def test_full_disk_at_a_write_leaves_the_segment_usable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The half-written group is cut off again; the next one takes its place."""
    segment = create(tmp_path)
    real = os.pwritev

    def full(descriptor: int, parts: list[bytes], offset: int) -> int:
        real(descriptor, [parts[0][:20]], offset)
        raise OSError(errno.ENOSPC, "made to fail")

    with monkeypatch.context() as patch:
        patch.setattr("recorder_service.journal.segments.os.pwritev", full)
        with pytest.raises(OSError, match="made to fail"):
            segment.commit([entry(A, 0)], 1)
    assert not segment.dead
    assert segment.path.stat().st_size == segment.end
    segment.commit([entry(A, 0)], 1)
    segment.close()
    assert len(groups_of(tmp_path)) == 2


def test_failed_creation_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the temporary file and not the name."""

    def failing(_: int) -> None:
        raise OSError(errno.EIO, "made to fail")

    monkeypatch.setattr("recorder_service.journal.segments.os.fsync", failing)
    with pytest.raises(OSError, match="made to fail"):
        create(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_short_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel may take fewer bytes than it is given."""
    real, real_one = os.pwritev, os.pwrite
    monkeypatch.setattr(
        "recorder_service.journal.segments.os.pwritev", lambda fd, parts, at: real(fd, [parts[0][:3]], at)
    )
    monkeypatch.setattr("recorder_service.journal.segments.os.pwrite", lambda fd, data, at: real_one(fd, data[:2], at))
    with (tmp_path / "file").open("wb") as stream:
        assert write_all(stream.fileno(), (b"abcde", b"fghij"), 0) == 10
    assert (tmp_path / "file").read_bytes() == b"abcdefghij"


def test_only_segments_are_listed(tmp_path: Path) -> None:
    """Other names in the directory are none of the journal's segments."""
    for name in ("lock", "epoch", "1.journal", f"{3:020d}.journal", f"{2:020d}.journal", f"{4:020d}.new"):
        (tmp_path / name).write_bytes(b"")
    assert segment_numbers(tmp_path) == [2, 3]


def test_file_is_replaced_whole(tmp_path: Path) -> None:
    """No temporary file is left behind."""
    for data in (b"first and longer", b"second"):
        write_durably(tmp_path / "file", data)
    assert (tmp_path / "file").read_bytes() == b"second"
    assert len(list(tmp_path.iterdir())) == 1

"""Reads recordings back from the segments that hold them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from recorder_service.journal.groups import MAX_KIND, Group, Seal
from recorder_service.journal.reader import SegmentReader
from recorder_service.journal.segments import segment_path


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as it was appended.

    Attributes:
        recording: Whose it is.
        index: Its running number in the recording: 0, 1, 2 …
        lsn: Its number in the journal.
        kind: As given to `append`.
        payload: As given to `append`.
    """

    recording: UUID
    index: int
    lsn: int
    kind: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Hole:
    """Entries that were durable and are lost to damage.

    Attributes:
        recording: Whose they were.
        index: Running number of the first one lost.
        missing_count: How many.
    """

    recording: UUID
    index: int
    missing_count: int


def replay(
    directory: Path, segments: Sequence[tuple[int, Seal | None]], recordings: Mapping[UUID, int]
) -> Iterator[Entry | Hole]:
    """Yield the entries of some recordings, each recording's in order, in one pass over the segments.

    One group is in memory at a time. Blocks: run it in a thread.

    Args:
        directory: The journal's.
        segments: Numbers and ends, oldest first.
        recordings: What to read, and the running number each had reached at least; entries missing before it are
            reported as a hole at the end.
    """
    names = {recording.bytes: recording for recording in recordings}
    expected = dict.fromkeys(names, 0)
    for number, seal in segments:
        with SegmentReader(segment_path(directory, number), number, seal.end if seal else None) as reader:
            for group in reader.groups():
                if isinstance(group, Group) and not group.checkpoint:
                    yield from _entries(group, names, expected)
    for raw, index in expected.items():
        reached = recordings[names[raw]]
        if index < reached:
            yield Hole(names[raw], index, reached - index)


def _entries(group: Group, names: Mapping[bytes, UUID], expected: dict[bytes, int]) -> Iterator[Entry | Hole]:
    for lsn, (raw, index, kind, payload) in enumerate(group.entries(), group.place.first_lsn):
        recording = names.get(raw)
        if recording is None or kind > MAX_KIND or index < expected[raw]:
            continue
        if index > expected[raw]:
            yield Hole(recording, expected[raw], index - expected[raw])
        expected[raw] = index + 1
        yield Entry(recording, index, lsn, kind, payload)

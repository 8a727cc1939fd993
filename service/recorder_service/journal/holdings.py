"""Which recording lies in which segments, and so which segments may be deleted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from recorder_service.journal.groups import (
    KIND_PRESENT,
    KIND_RELEASED,
    MAX_KIND,
    PendingEntry,
    Seal,
    seal_entry,
)


@dataclass(slots=True)
class HeldSegment:
    """A segment that exists.

    Attributes:
        created_ns: Unix time; 0 if its preamble is lost.
        seal: Where it ends; None while it is written.
        size_bytes: Length of the file.
        present: Recordings with entries in it.
        live: Those of them that are not released.
    kept: Holds damage of which there is no copy: never deleted.
    """

    created_ns: int
    seal: Seal | None = None
    size_bytes: int = 0
    present: set[bytes] = field(default_factory=set)
    live: set[bytes] = field(default_factory=set)
    kept: bool = False


@dataclass(slots=True)
class HeldRecording:
    """A recording with entries in a segment.

    Attributes:
        next_index: The running number its next entry has.
        segments: Where its entries lie, oldest first; a list, as a set takes three times the memory for one number.
        released: Its file is stored; its entries are no longer needed.
    """

    next_index: int = 0
    segments: list[int] = field(default_factory=list)
    released: bool = False


class Holdings:
    """The journal's only index: per recording its segments and a count, never one record per entry.

    Built by recovery and then changed by the writer's thread alone. `segments_of` may be called from any thread.
    """

    def __init__(self) -> None:
        self.segments: dict[int, HeldSegment] = {}
        self.recordings: dict[bytes, HeldRecording] = {}

    def add(self, segment: int, entries: Sequence[PendingEntry]) -> list[bytes]:
        """Note entries that are durable in a segment.

        Returns:
            The recordings that the entries release.
        """
        latest: dict[bytes, int] = {}
        released: list[bytes] = []
        for recording, index, kind, _ in entries:
            if kind <= MAX_KIND:
                latest[recording] = index + 1
            elif kind == KIND_RELEASED:
                released.append(recording)
        for recording, next_index in latest.items():
            self.hold(segment, recording, next_index)
        for recording in released:
            self.release(recording)
        return released

    def hold(self, segment: int, recording: bytes, next_index: int) -> None:
        """Note that a segment has entries of a recording, up to before `next_index`."""
        held = self.recordings.get(recording)
        if held is None:
            held = self.recordings[recording] = HeldRecording()
        held.next_index = max(held.next_index, next_index)
        if not held.segments or held.segments[-1] != segment:
            held.segments.append(segment)
        place = self.segments[segment]
        place.present.add(recording)
        if not held.released:
            place.live.add(recording)

    def release(self, recording: bytes) -> None:
        """Note that a recording's entries are no longer needed; an unknown one is ignored."""
        held = self.recordings.get(recording)
        if held is None:
            return
        held.released = True
        for number in held.segments:
            self.segments[number].live.discard(recording)
        if not held.segments:
            del self.recordings[recording]

    def spent(self) -> list[int]:
        """List the sealed segments in which every recording is released."""
        return [
            number
            for number, segment in self.segments.items()
            if segment.seal is not None and not segment.live and not segment.kept
        ]

    def drop(self, number: int) -> list[bytes]:
        """Forget a deleted segment.

        Returns:
            Released recordings of which nothing is left.
        """
        gone: list[bytes] = []
        for recording in self.segments.pop(number).present:
            held = self.recordings[recording]
            held.segments.remove(number)
            if held.released and not held.segments:
                del self.recordings[recording]
                gone.append(recording)
        return gone

    def segments_of(self, recordings: Sequence[bytes]) -> list[int]:
        """List the segments with entries of any of the recordings, oldest first."""
        numbers: set[int] = set()
        for recording in recordings:
            held = self.recordings.get(recording)
            numbers.update(tuple(held.segments) if held else ())
        return sorted(number for number in numbers if number in self.segments)

    def checkpoint(self, also_released: Sequence[bytes] = ()) -> list[PendingEntry]:
        """Build what every segment begins with: all seals, releases and counts.

        Because each segment repeats the releases that still matter, any older segment can be deleted without its
        recordings coming back; because it repeats the counts, a reader knows what damage took.

        Args:
            also_released: Recordings whose release is accepted but not yet written as an entry.
        """
        return list(self._checkpoint(frozenset(also_released)))

    def _checkpoint(self, also_released: frozenset[bytes]) -> Iterator[PendingEntry]:
        for segment in self.segments.values():
            if segment.seal is not None:
                yield seal_entry(segment.seal)
        for recording, held in self.recordings.items():
            released = held.released or recording in also_released
            yield recording, held.next_index, KIND_RELEASED if released else KIND_PRESENT, b""

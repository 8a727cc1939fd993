"""Counts each recording's entries during recovery, and so finds which recordings damage has taken entries from."""

from collections.abc import Iterator
from dataclasses import dataclass

from recorder_service.journal.groups import KIND_PRESENT, KIND_RELEASED, MAX_KIND, Group
from recorder_service.journal.holdings import HeldRecording, Holdings


@dataclass(slots=True)
class Count:
    """One recording's entries so far.

    Attributes:
        seen: Entries read.
        next_index: The running number expected next.
        missing: Entries that were skipped in the running numbers.
        doubts: How many damages lay before the last word about this recording.
        in_doubt: Damage followed that last word.
    """

    seen: int = 0
    next_index: int = 0
    missing: int = 0
    doubts: int = 0
    in_doubt: bool = False


class Census:
    """Follows every recording through the segments and fills the holdings."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings
        self._counts: dict[bytes, Count] = {}
        self._doubts = 0

    def doubt(self) -> None:
        """Note damage that may have taken entries of any recording."""
        self._doubts += 1

    def entries(self, group: Group) -> None:
        """Count a group's entries."""
        segment = group.place.segment
        present = self._holdings.segments[segment].present
        for recording, index, _, kind, _ in group.headers:
            if kind > MAX_KIND:
                self._release(recording)
                continue
            count = self._counts.get(recording)
            if count is None or index != count.next_index or count.doubts != self._doubts:
                count = self._reach(recording, index)
            if index == count.next_index:
                count.next_index = index + 1
                count.seen += 1
            if recording not in present:
                self._holdings.hold(segment, recording, index + 1)

    def checkpoint(self, group: Group) -> None:
        """Compare the counts so far with what the writer knew at this point."""
        listed: set[bytes] = set()
        for recording, index, _, kind, _ in group.headers:
            if kind == KIND_PRESENT:
                self._reach(recording, index)
            elif kind == KIND_RELEASED:
                self._release(recording)
            else:
                continue
            listed.add(recording)
        for recording in [other for other in self._counts if other not in listed]:
            # Older checkpoints may still name a recording whose last segment is long deleted.
            self._forget_if_empty(recording)

    def finish(self) -> Iterator[tuple[bytes, Count]]:
        """Yield the unreleased recordings with their counts, and carry these over to the holdings."""
        for recording, count in self._counts.items():
            held = self._holdings.recordings.setdefault(recording, HeldRecording())
            if held.released:
                continue
            if count.doubts < self._doubts:
                count.in_doubt = True
                count.missing += 1
                count.next_index += 1
            held.next_index = count.next_index
            yield recording, count

    def _release(self, recording: bytes) -> None:
        self._holdings.release(recording)
        self._forget_if_empty(recording)

    def _reach(self, recording: bytes, index: int) -> Count:
        count = self._counts.get(recording)
        if count is None:
            count = self._counts[recording] = Count()
        if index > count.next_index:
            count.missing += index - count.next_index
            count.next_index = index
        count.doubts = self._doubts
        return count

    def _forget_if_empty(self, recording: bytes) -> None:
        if recording in self._counts and not self._counts[recording].seen:
            del self._counts[recording]

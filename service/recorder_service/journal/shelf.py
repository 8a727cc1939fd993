"""The journal's segments as the writer's thread handles them: begun, filled, given up, deleted."""

import contextlib
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from recorder_service.journal.groups import PendingEntry, Seal
from recorder_service.journal.holdings import HeldSegment, Holdings
from recorder_service.journal.ownership import Epoch, write_epoch
from recorder_service.journal.reserve import Reserve
from recorder_service.journal.segments import SegmentFile, segment_path, sync_directory
from recorder_service.journal.settings import JournalSettings


class Shelf:
    """Owns every file of a journal but the lock. Used by one thread, except for what says otherwise.

    Attributes:
        next_lsn: LSN of the next entry to be stored.
        size_bytes: Length of all segments; read from any thread.
        deleted_count: Segments deleted since the start; read from any thread.
        forgotten: Released recordings of which nothing is left; taken by any thread.
    """

    def __init__(
        self,
        directory: Path,
        *,
        settings: JournalSettings,
        holdings: Holdings,
        epoch: int,
        next_lsn: int,
        next_number: int,
        last: Seal | None,
    ) -> None:
        self.next_lsn = next_lsn
        self.size_bytes = sum(segment.size_bytes for segment in holdings.segments.values())
        self.deleted_count = 0
        self.forgotten: deque[bytes] = deque()
        self._directory = directory
        self._segment_bytes = settings.segment_bytes
        self._reserve = Reserve(directory, settings.reserve_bytes)
        self._holdings = holdings
        self._epoch = epoch
        self._next_number = next_number
        self._last = last
        self._segment: SegmentFile | None = None

    def prepare(self) -> None:
        """Begin the first segment of this start and delete what is released.

        Raises:
            OSError: The disk fails or is full; in the second case all may go on, the segment is begun when needed.
        """
        self.keep_reserve()
        self.rotate()
        self._delete_spent()

    def store(self, entries: Sequence[PendingEntry]) -> list[bytes]:
        """Make a group of entries durable.

        Returns:
            The recordings that the entries release; give them to `let_go`.

        Raises:
            OSError: The group is not durable. It may be stored again, after `retire_dead`.
        """
        segment = self._segment
        if segment is None or segment.end >= self._segment_bytes:
            segment = self.rotate()
        before = segment.end
        segment.commit(entries, self.next_lsn)
        self._note_size(segment, segment.end - before)
        self.next_lsn += len(entries)
        return self._holdings.add(segment.number, entries)

    def rotate(self, released: Sequence[bytes] = ()) -> SegmentFile:
        """Let go of the present segment and begin the next one.

        The present one is given up first and for good: the new one says where it ends, and even after an error the
        new one may be there.

        Args:
            released: Recordings whose release is not yet stored as an entry; the new segment's checkpoint has it.

        Raises:
            OSError: There is no new segment; the next `store` tries again.
        """
        self._retire()
        number = self._next_number
        self._next_number += 1
        segment = SegmentFile.create(
            self._directory,
            number,
            epoch=self._epoch,
            first_lsn=self.next_lsn,
            previous=self._last,
            checkpoint=self._holdings.checkpoint(released),
        )
        self._segment = segment
        self._holdings.segments[number] = HeldSegment(segment.created_ns)
        self._note_size(segment, segment.end)
        return segment

    def retire_dead(self) -> None:
        """Let go of the present segment if it failed."""
        if self._segment is not None and self._segment.dead:
            self._retire()

    def let_go(self, released: Sequence[bytes]) -> None:
        """Delete what released recordings no longer need."""
        segment = self._segment
        if not released or segment is None:
            return
        self._forget(released)
        held = self._holdings.segments[segment.number]
        if held.present and not held.live:
            # Audio that is no longer needed should not lie here until the next call comes.
            with contextlib.suppress(OSError):
                self.rotate()
        self._delete_spent()

    def let_go_early(self, released: Sequence[bytes]) -> None:
        """On a full disk, write releases ahead of everything else and delete what they free, using the reserve.

        A release is only asked for when the recording is stored, so none of its entries is needed any more.

        Raises:
            OSError: There is no room even for that.
        """
        held = self._holdings.recordings
        if all(recording not in held or held[recording].released for recording in released):
            return
        self._reserve.give_up()
        self.rotate(released)
        self._forget(released)
        self._delete_spent()
        self.keep_reserve()

    def keep_reserve(self) -> None:
        """Put the reserve back if there is room for it.

        Raises:
            OSError: The disk fails.
        """
        self._reserve.set_up()

    def give_up_reserve(self) -> None:
        """Use the reserve's room."""
        self._reserve.give_up()

    def seal(self) -> None:
        """End in order: with a last checkpoint even the last group's damage can be told from a torn tail.

        Raises:
            OSError: It could not be written; everything stored is durable all the same.
        """
        segment = self._segment
        if segment is None or segment.dead:
            return
        segment.commit(self._holdings.checkpoint(), self.next_lsn, checkpoint=True)
        write_epoch(self._directory, Epoch(self._epoch, segment.seal()))

    def close(self) -> None:
        """Close the file."""
        self._retire()

    def replayable(self, recordings: Sequence[bytes]) -> list[tuple[int, Seal | None]]:
        """List the segments of some recordings, and up to where each is durable now; called from any thread."""
        numbers = self._holdings.segments_of(recordings)
        segment = self._segment
        seals = {segment.number: segment.seal()} if segment is not None else {}
        # Looked up after the present segment: one that is sealed meanwhile has its seal by now.
        held = ((number, self._holdings.segments.get(number)) for number in numbers)
        return [(number, seals.get(number) or found.seal) for number, found in held if found is not None]

    def _retire(self) -> None:
        """End the segment where it is durable; it is neither written nor synced again."""
        segment = self._segment
        if segment is not None:
            self._last = segment.seal()
            self._holdings.segments[segment.number].seal = self._last
            self._segment = None
            segment.close()

    def _forget(self, released: Sequence[bytes]) -> None:
        for recording in released:
            self._holdings.release(recording)
            if recording not in self._holdings.recordings:
                self.forgotten.append(recording)

    def _delete_spent(self) -> None:
        """Delete the segments in which every recording is released; the newest segment repeats what must be kept."""
        spent = self._holdings.spent()
        if not spent or self._segment is None:
            return
        # What cannot be deleted now is found again after the next release.
        with contextlib.suppress(OSError):
            for number in spent:
                segment_path(self._directory, number).unlink(missing_ok=True)
            sync_directory(self._directory)
            for number in spent:
                self.size_bytes -= self._holdings.segments[number].size_bytes
                self.forgotten.extend(self._holdings.drop(number))
            self.deleted_count += len(spent)

    def _note_size(self, segment: SegmentFile, grown_bytes: int) -> None:
        self._holdings.segments[segment.number].size_bytes += grown_bytes
        self.size_bytes += grown_bytes

"""Reads a journal at start: what is there, what is torn, what is damaged.

It may be killed at any point and be run again: every step first copies, then changes, and the copy's name follows from
the place. Memory is one group and the index, however large the journal is.
"""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from recorder_service.journal.census import Census
from recorder_service.journal.groups import PREAMBLE_BYTES, Group, Seal, entry_seal
from recorder_service.journal.holdings import HeldSegment, Holdings
from recorder_service.journal.ownership import Epoch
from recorder_service.journal.quarantine import cut, set_aside, settle
from recorder_service.journal.reader import BadRange, SegmentReader
from recorder_service.journal.report import Damage, RecoveredRecording, Recovery
from recorder_service.journal.segments import segment_numbers, segment_path


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the writer goes on from.

    Attributes:
        report: For the service.
        holdings: The index.
        next_number: Number of the segment to be created.
        last: Where the newest segment ends; None in an empty journal.
    """

    report: Recovery
    holdings: Holdings
    next_number: int
    last: Seal | None


@dataclass(slots=True)
class _Witness:
    """What segments say about each other, read from their first groups alone."""

    seals: dict[int, Seal] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    first_lsns: dict[int, int] = field(default_factory=dict)
    epoch: int = 0

    def seal(self, seal: Seal | None) -> None:
        if seal is not None:
            self.seals[seal.segment] = seal
            self.ends[seal.segment] = seal.end

    def hear(self, reader: SegmentReader) -> None:
        if reader.preamble is not None:
            self.seal(reader.preamble.previous)
            self.first_lsns[reader.number] = reader.preamble.first_lsn
            self.epoch = max(self.epoch, reader.preamble.epoch)
        group = next((item for item in reader.groups() if isinstance(item, Group)), None)
        if group is None:
            return
        if group.place.previous_segment:
            self.ends.setdefault(group.place.previous_segment, group.place.previous_end)
        if group.checkpoint:
            for entry in group.entries():
                self.seal(entry_seal(entry))


class _Recovery:
    """One run over the segments of a directory, oldest first."""

    def __init__(self, directory: Path, epoch: Epoch) -> None:
        self._directory = directory
        self._numbers = segment_numbers(directory)
        self._witness = _Witness(epoch=epoch.number)
        self._witness.seal(epoch.closed_at)
        self._holdings = Holdings()
        self._census = Census(self._holdings)
        self._damage: list[Damage] = []
        self._torn_bytes = 0
        self._torn_copy: Path | None = None
        self._abandoned_bytes = 0
        self._last: Seal | None = None
        self._lsn: int | None = None
        self._next_lsn = 1

    def run(self) -> Recovered:
        began = time.monotonic()
        for number in self._numbers:
            with self._reader(number) as reader:
                self._witness.hear(reader)
        for number in self._numbers:
            with self._reader(number, self._witness.ends.get(number)) as reader:
                self._read(reader)
        report = Recovery(
            recordings=self._recordings(),
            damage=tuple(self._damage),
            torn_bytes=self._torn_bytes,
            torn_copy=self._torn_copy,
            abandoned_bytes=self._abandoned_bytes,
            segment_count=len(self._numbers),
            size_bytes=sum(segment.size_bytes for segment in self._holdings.segments.values()),
            next_lsn=self._next_lsn,
            epoch=self._witness.epoch + 1,
            elapsed_s=time.monotonic() - began,
        )
        highest = max([0, *self._numbers, *self._witness.ends])
        return Recovered(report, self._holdings, highest + 1, self._last)

    def _reader(self, number: int, end: int | None = None) -> SegmentReader:
        return SegmentReader(segment_path(self._directory, number), number, end)

    def _read(self, reader: SegmentReader) -> None:
        preamble = reader.preamble
        segment = HeldSegment(preamble.created_ns if preamble else reader.modified_ns)
        self._holdings.segments[reader.number] = segment
        self._start_lsn(reader)
        bad: list[BadRange] = []
        last: Group | None = None
        for item in reader.groups():
            if isinstance(item, BadRange):
                bad.append(item)
                continue
            self._report(reader, bad, item.place.first_lsn)
            bad.clear()
            self._absorb(item)
            last = item
        self._end(reader, last, bad, segment)

    def _start_lsn(self, reader: SegmentReader) -> None:
        if reader.preamble is not None:
            self._lsn = reader.preamble.first_lsn
            self._next_lsn = max(self._next_lsn, self._lsn)
        elif reader.number - 1 not in self._holdings.segments:
            self._lsn = None

    def _absorb(self, group: Group) -> None:
        self._lsn = group.place.first_lsn
        if group.checkpoint:
            self._census.checkpoint(group)
        else:
            self._census.entries(group)
            self._lsn += len(group.headers)
        self._next_lsn = max(self._next_lsn, self._lsn)

    def _end(self, reader: SegmentReader, last: Group | None, bad: list[BadRange], segment: HeldSegment) -> None:
        """Judge what follows the last valid group, and note where the segment ends."""
        end = self._witness.ends.get(reader.number)
        seal = self._witness.seals.get(reader.number)
        size = reader.size_bytes
        if end is None and last is not None and reader.number == self._numbers[-1]:
            # Nothing vouches for this end, so a bad tail was never acknowledged.
            size = self._settle_tail(reader, last, bad)
        else:
            if last is None and not bad:
                bad = [BadRange(PREAMBLE_BYTES, PREAMBLE_BYTES, "every group is missing")]
            if seal is not None and last is not None and last.end == seal.end and last.crc != seal.crc:
                bad = [*bad, BadRange(seal.end, seal.end, "the last group is not the one that was sealed")]
            self._report(reader, bad, self._witness.first_lsns.get(reader.number + 1))
            self._abandoned_bytes += max(0, size - end) if end is not None else 0
        final = end if end is not None else max(size, PREAMBLE_BYTES)
        crc = last.crc if last else 0
        segment.seal = self._last = Seal(reader.number, final, seal.crc if seal else crc)
        segment.size_bytes = size

    def _settle_tail(self, reader: SegmentReader, last: Group, bad: list[BadRange]) -> int:
        """Cut what is torn, make the rest durable; return the length that is left."""
        size = reader.size_bytes
        if bad:
            self._torn_bytes = size - last.end
            self._torn_copy = set_aside(reader, self._directory, last.end, size, "torn")
            if self._torn_copy is not None:
                cut(self._directory, reader.number, last.end)
        settle(reader, self._directory, last)
        # With no room for a copy the tail stays where it is: the next segment says that this one ends before it.
        return last.end

    def _report(self, reader: SegmentReader, bad: list[BadRange], next_lsn: int | None) -> None:
        for item in bad:
            last_lsn = None if next_lsn is None else next_lsn - 1
            damage = Damage(
                segment=segment_path(self._directory, reader.number),
                offset=item.start,
                size_bytes=item.end - item.start,
                cause=item.cause,
                first_lsn=self._lsn,
                last_lsn=last_lsn,
                quarantine=set_aside(reader, self._directory, item.start, item.end, "damaged"),
            )
            self._damage.append(damage)
            if damage.quarantine is None and item.start < min(item.end, reader.size_bytes):
                self._holdings.segments[reader.number].kept = True
            if self._lsn is None or last_lsn is None or last_lsn >= self._lsn:
                self._census.doubt()
        if bad:
            self._lsn = next_lsn

    def _recordings(self) -> dict[UUID, RecoveredRecording]:
        found: dict[UUID, RecoveredRecording] = {}
        oldest_ns = min((segment.created_ns for segment in self._holdings.segments.values()), default=0)
        for recording, count in self._census.finish():
            numbers = self._holdings.recordings[recording].segments
            since_ns = min((self._holdings.segments[number].created_ns for number in numbers), default=oldest_ns)
            found[UUID(bytes=recording)] = RecoveredRecording(
                entry_count=count.seen,
                next_index=count.next_index,
                missing_count=count.missing,
                tail_in_doubt=count.in_doubt,
                since=datetime.fromtimestamp(since_ns / 1e9, UTC),
            )
        return dict(sorted(found.items(), key=lambda item: item[1].since))


def recover(directory: Path, epoch: Epoch) -> Recovered:
    """Read every segment, cut the torn tail, set damage aside.

    The caller holds the directory's lock, and creates segment `next_number` next: with it every end found here is
    written down.

    Raises:
        OSError: The directory or a segment cannot be opened, or the newest segment cannot be made durable.
        StartupError: A newer version of Recorder wrote a segment.
    """
    for leftover in directory.glob("*.new"):
        leftover.unlink(missing_ok=True)
    return _Recovery(directory, epoch).run()

"""Counting entries, to know whom damage has hit."""

from tests.unit.journal.building import A, B, entry, release

from recorder_service.journal.census import Census
from recorder_service.journal.groups import KIND_PRESENT, GroupPlace, PendingEntry, decode_group, encode_group
from recorder_service.journal.holdings import HeldSegment, Holdings


class Counted:
    """A census over one segment."""

    def __init__(self) -> None:
        self.holdings = Holdings()
        self.holdings.segments[1] = HeldSegment(created_ns=1)
        self.census = Census(self.holdings)

    def add(self, *entries: PendingEntry, checkpoint: bool = False) -> None:
        header, body, _ = encode_group(GroupPlace(1, 0, 0, 0, 0, 0, 0, 0), entries, checkpoint=checkpoint)
        group = decode_group(header, body)
        assert group is not None
        if checkpoint:
            self.census.checkpoint(group)
        else:
            self.census.entries(group)

    def result(self) -> dict[bytes, tuple[int, int, int, bool]]:
        return {
            name: (count.seen, count.next_index, count.missing, count.in_doubt) for name, count in self.census.finish()
        }


def present(index: int) -> PendingEntry:
    return A.bytes, index, KIND_PRESENT, b""


def test_jump_in_the_numbers_is_counted_as_missing() -> None:
    """Also when a checkpoint, and not an entry, tells of it."""
    counted = Counted()
    counted.add(entry(A, 0), entry(A, 3))
    counted.add(present(6), checkpoint=True)
    assert counted.result() == {A.bytes: (2, 6, 4, False)}
    assert counted.holdings.recordings[A.bytes].next_index == 6


def test_doubt_ends_with_the_next_word_about_a_recording() -> None:
    """Only the recording that is not heard of again stays in doubt."""
    counted = Counted()
    counted.add(entry(A, 0), entry(B, 0))
    counted.census.doubt()
    counted.add(entry(B, 1))
    assert counted.result() == {A.bytes: (1, 2, 1, True), B.bytes: (2, 2, 0, False)}


def test_recording_known_by_name_only_is_reported() -> None:
    """All its entries are lost, which must be said."""
    counted = Counted()
    counted.add(present(4), checkpoint=True)
    assert counted.result() == {A.bytes: (0, 4, 4, False)}


def test_recording_gone_from_later_checkpoints_is_dropped() -> None:
    """It was released and deleted; an old checkpoint does not bring it back."""
    counted = Counted()
    counted.add(present(4), checkpoint=True)
    counted.add(checkpoint=True)
    assert counted.result() == {}


def test_released_recording_is_not_yielded() -> None:
    """Its entries stay in the holdings until their segment goes."""
    counted = Counted()
    counted.add(entry(A, 0), release(A))
    assert counted.result() == {}
    assert counted.holdings.recordings[A.bytes].released

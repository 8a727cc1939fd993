"""Which recording lies where."""

from tests.unit.journal.building import A, B, entry, release

from recorder_service.journal.groups import KIND_PRESENT, KIND_RELEASED, KIND_SEALED, Seal
from recorder_service.journal.holdings import HeldSegment, Holdings


def two_segments() -> Holdings:
    holdings = Holdings()
    holdings.segments[1] = HeldSegment(created_ns=1)
    holdings.add(1, [entry(A, 0), entry(B, 0), entry(A, 1)])
    holdings.segments[1].seal = Seal(1, 500, 7)
    holdings.segments[2] = HeldSegment(created_ns=2)
    holdings.add(2, [entry(B, 1)])
    return holdings


def test_segment_is_spent_when_all_in_it_are_released() -> None:
    """One recording left is enough to keep it."""
    holdings = two_segments()
    assert holdings.spent() == []
    assert holdings.add(2, [release(A)]) == [A.bytes]
    assert holdings.spent() == []
    holdings.release(B.bytes)
    assert holdings.spent() == [1]


def test_segment_being_written_is_never_spent() -> None:
    """It has no seal yet."""
    holdings = two_segments()
    holdings.release(A.bytes)
    holdings.release(B.bytes)
    assert holdings.spent() == [1]


def test_segment_with_uncopied_damage_is_never_spent() -> None:
    """There is no other trace of what was in it."""
    holdings = two_segments()
    holdings.segments[1].kept = True
    holdings.release(A.bytes)
    holdings.release(B.bytes)
    assert holdings.spent() == []


def test_recording_is_forgotten_with_its_last_segment() -> None:
    """The index holds what lies on the disk, no more."""
    holdings = two_segments()
    holdings.release(A.bytes)
    holdings.release(B.bytes)
    assert holdings.drop(1) == [A.bytes]
    assert set(holdings.recordings) == {B.bytes}


def test_checkpoint_names_seals_releases_and_counts() -> None:
    """It is all that a reader of later segments needs to know of the earlier ones."""
    holdings = two_segments()
    holdings.release(A.bytes)
    kinds = [(recording, index, kind) for recording, index, kind, _ in holdings.checkpoint()]
    assert kinds == [
        (bytes(16), 1, KIND_SEALED),
        (A.bytes, 2, KIND_RELEASED),
        (B.bytes, 2, KIND_PRESENT),
    ]
    assert holdings.checkpoint([B.bytes])[2][2] == KIND_RELEASED


def test_segments_of_recordings_are_found() -> None:
    """Oldest first; an unknown recording has none."""
    holdings = two_segments()
    assert holdings.segments_of([A.bytes]) == [1]
    assert holdings.segments_of([A.bytes, B.bytes]) == [1, 2]
    assert holdings.segments_of([bytes(16)]) == []

"""What a live recording writes into the journal, to bytes and back."""

from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder_service.domain.event import KeyPress
from recorder_service.domain.recording import PauseMode, StopReason
from recorder_service.sessions import entries
from recorder_service.sessions.entries import EntryKind
from recorder_service.sessions.membership import CloseFeed, Join, Leave, Mute, Observe, OpenFeed, Wait

_sequences = st.integers(0, 2**48 - 1)
_feeds = st.integers(0, 2**16 - 1)
_frames = st.integers(-(2**63), 2**63 - 1)
_chunks = st.builds(entries.Chunk, st.integers(0, 2**16 - 1), _frames, st.binary(max_size=200))
_legs = st.integers(0, 2**16 - 1)
_names = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=64)
_presses = st.builds(
    KeyPress,
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=64),
    st.sampled_from("0123456789*#ABCD"),
    _frames,
    st.none() | st.integers(0, 2**31),
)
_entries = st.one_of(
    st.builds(entries.Audio, _sequences, st.lists(_chunks, max_size=5).map(tuple), _feeds),
    st.builds(entries.Dtmf, _sequences, _presses, _feeds),
    st.builds(entries.Pause, _sequences, _frames, st.sampled_from(PauseMode)),
    st.builds(entries.Resume, _sequences, _frames),
    st.builds(entries.Stop, _sequences, _frames, st.sampled_from(StopReason)),
    st.builds(entries.Skip, _sequences),
    st.builds(entries.Advance, _sequences, _frames, _feeds),
    st.builds(OpenFeed, _sequences, _feeds, st.uuids().map(str), _frames, st.booleans()),
    st.builds(CloseFeed, _sequences, _feeds),
    st.builds(Join, _sequences, _feeds, _legs, _names, _names, _frames, _legs, _frames, st.booleans(), st.booleans()),
    st.builds(Leave, _sequences, _feeds, _legs, _frames),
    st.builds(Mute, _sequences, _feeds, _legs, _frames, st.booleans()),
    st.builds(Observe, _sequences, _feeds, _frames, _frames),
    st.builds(Wait, _sequences, _feeds, st.booleans()),
)


@settings(deadline=None)
@given(entry=_entries)
def test_entry_comes_back_as_it_was_written(entry: entries.Entry) -> None:
    """All kinds, at all sizes of their numbers."""
    assert entries.decode(*entries.encode(entry)) == entry


@settings(deadline=None)
@given(sequence=_sequences, chunks=st.lists(_chunks, max_size=5))
def test_audio_written_without_copying_is_the_same(sequence: int, chunks: list[entries.Chunk]) -> None:
    """The buffers that go to the journal, joined, are the entry; payloads may be views."""
    views = [entries.Chunk(c.leg, c.start_frame, memoryview(c.payload)) for c in chunks]
    joined = b"".join(entries.audio_buffers(sequence, views))
    assert entries.decode(EntryKind.AUDIO, joined) == entries.Audio(sequence, tuple(chunks))


@settings(deadline=None)
@given(kind=st.integers(-1, 300), data=st.binary(max_size=64))
def test_any_bytes_are_an_entry_or_a_value_error(kind: int, data: bytes) -> None:
    """Nothing else is raised, and what is read is written the same again."""
    try:
        entry = entries.decode(kind, data)
    except ValueError:
        return
    assert entries.encode(entry) == (kind, data)


@settings(deadline=None)
@given(entry=_entries, data=st.data())
def test_shortened_or_lengthened_entry_is_no_other_entry_in_disguise(entry: entries.Entry, data: st.DataObject) -> None:
    """A torn entry raises ValueError, or (a shorter leg id) is written the same again."""
    kind, whole = entries.encode(entry)
    cut = data.draw(st.integers(0, len(whole) - 1))
    for torn in (whole[:cut], whole + b"\0"):
        try:
            read = entries.decode(kind, torn)
        except ValueError:
            continue
        assert isinstance(read, entries.Dtmf)
        assert entries.encode(read) == (kind, torn)


def test_stored_numbers_keep_their_meaning() -> None:
    """A journal written by an older version is read with the same kinds."""
    numbers = {kind.name: kind.value for kind in EntryKind}
    assert numbers == {"AUDIO": 1, "DTMF": 2, "PAUSE": 3, "RESUME": 4, "STOP": 5, "SKIP": 6, "ADVANCE": 7} | {
        "OPEN_FEED": 8, "CLOSE_FEED": 9, "JOIN": 10, "LEAVE": 11, "MUTE": 12, "OBSERVE": 13, "WAIT": 14,
    }  # fmt: skip
    assert len(get_args(entries.Entry)) == len(EntryKind)


@pytest.mark.parametrize(
    ("kind", "data", "entry"),
    [
        (1, "0200000000000000 0100 0100 4001000000000000 02000000 7f80", None),
        (2, "0300000000000000 803e000000000000 ffffffffffffffff 23 61", None),
        (6, "01000000000000000700000000000000", entries.Skip(1, 7)),
        (7, "0000000000000000 0077010000000000", entries.Advance(0, 96_000)),
    ],
)
def test_stored_bytes_keep_their_meaning(kind: int, data: str, entry: entries.Entry | None) -> None:
    """Little-endian, as written by the first version."""
    expected = (
        entry
        or {
            1: entries.Audio(2, (entries.Chunk(1, 320, b"\x7f\x80"),)),
            2: entries.Dtmf(3, KeyPress("a", "#", 16_000)),
        }[kind]
    )
    assert entries.decode(kind, bytes.fromhex(data)) == expected

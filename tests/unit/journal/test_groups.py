"""The bytes of preambles and groups."""

from hypothesis import given
from hypothesis import strategies as st

from recorder_service.journal.groups import (
    FORMAT_VERSION,
    HEADER_BYTES,
    MAX_BODY_BYTES,
    PREAMBLE_BYTES,
    GroupPlace,
    Preamble,
    Seal,
    body_size,
    decode_group,
    decode_preamble,
    encode_group,
    encode_preamble,
    entry_seal,
    seal_entry,
)

U64 = st.integers(0, 2**64 - 1)
U32 = st.integers(0, 2**32 - 1)
ENTRIES = st.lists(st.tuples(st.binary(min_size=16, max_size=16), U64, st.integers(0, 0xFFFF), st.binary(max_size=300)))


@st.composite
def place(draw: st.DrawFn) -> GroupPlace:
    offset = draw(U64)
    durable = draw(st.integers(0, offset))
    return GroupPlace(draw(U64), offset, draw(U64), draw(U64), durable, draw(U64), draw(U64), draw(U32))


@given(place(), ENTRIES, st.booleans())
def test_group_reads_back_as_written(
    where: GroupPlace, entries: list[tuple[bytes, int, int, bytes]], flag: bool
) -> None:
    """Place, entries and check come back for any content."""
    header, body, crc = encode_group(where, entries, checkpoint=flag)
    assert body_size(header, segment=where.segment, offset=where.offset, salt=where.salt) == len(body)
    group = decode_group(header, body)
    assert group is not None
    assert (group.place, group.checkpoint, group.crc) == (where, flag, crc)
    assert list(group.entries()) == entries
    assert group.end == where.offset + HEADER_BYTES + len(body)


@given(place(), ENTRIES, st.data())
def test_any_flipped_bit_is_found(
    where: GroupPlace, entries: list[tuple[bytes, int, int, bytes]], data: st.DataObject
) -> None:
    """The check covers every bit of header and body."""
    header, body, _ = encode_group(where, entries)
    whole = bytearray(header + body)
    bit = data.draw(st.integers(0, len(whole) * 8 - 1))
    whole[bit // 8] ^= 1 << bit % 8
    changed = bytes(whole)
    size = body_size(changed, segment=where.segment, offset=where.offset, salt=where.salt)
    assert size != len(body) or decode_group(changed[:HEADER_BYTES], changed[HEADER_BYTES:]) is None


@given(st.builds(Preamble, U64, U64, U64, U64, U64, st.none() | st.builds(Seal, st.integers(1, 2**64 - 1), U64, U32)))
def test_preamble_reads_back_as_written(preamble: Preamble) -> None:
    """Every field comes back, and the length is fixed."""
    data = encode_preamble(preamble)
    assert len(data) == PREAMBLE_BYTES
    assert decode_preamble(data) == (FORMAT_VERSION, preamble)


@given(st.binary(max_size=2 * PREAMBLE_BYTES))
def test_random_bytes_are_no_preamble(data: bytes) -> None:
    """They are refused, without an error."""
    assert decode_preamble(data) is None


@given(st.builds(Seal, U64, U64, U32))
def test_seal_passes_through_a_checkpoint(seal: Seal) -> None:
    """A seal written as an entry reads back."""
    assert entry_seal(seal_entry(seal)) == seal


def test_length_is_bounded_before_it_is_believed() -> None:
    """A header that claims a huge body is refused without reading it."""
    where = GroupPlace(1, 100, 5, 1, 100, 0, 0, 0)
    header = bytearray(encode_group(where, [])[0])
    header[12:16] = (MAX_BODY_BYTES + 1).to_bytes(4, "little")
    assert body_size(bytes(header), segment=1, offset=100, salt=5) is None


def test_group_of_another_place_is_refused() -> None:
    """Segment, offset and salt must all be those of the place it is read from."""
    header, _, _ = encode_group(GroupPlace(1, 100, 5, 1, 100, 0, 0, 0), [])
    assert body_size(header, segment=1, offset=100, salt=5) == 0
    assert body_size(header, segment=1, offset=100, salt=None) == 0
    assert body_size(header, segment=2, offset=100, salt=5) is None
    assert body_size(header, segment=1, offset=101, salt=5) is None
    assert body_size(header, segment=1, offset=100, salt=6) is None

"""Which part of a file a Range header asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder_service.http.ranges import ByteRange, RangeVerdict, requested_range

sizes = st.integers(0, 60)
positions = st.integers(0, 80)


@pytest.mark.parametrize(
    "value",
    [
        "", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=1-0", "bytes=0-1,3-4", "bytes=0-1,", "bytes =0-1",
        "bytes=0 - 1", "bytes=+1-2", "bytes=0x1-2", "bytes=1.0-2", "bytes=--1", "bytes=1-2-3", "frames=0-1", "0-1",
        "bytes=٣-٤", "bytes=" + "9" * 101 + "-", "bytes=0-1;x", "bytes=0-1\n",
    ],
)  # fmt: skip
def test_malformed_or_several_ranges_lead_to_the_whole_file(value: str) -> None:
    """What is not exactly one range of bytes is ignored."""
    assert requested_range([value], 100) is RangeVerdict.WHOLE


def test_header_that_is_missing_or_repeated_leads_to_the_whole_file() -> None:
    """A repeated field is a list of ranges, and lists are not served."""
    assert requested_range([], 100) is RangeVerdict.WHOLE
    assert requested_range(["bytes=0-1", "bytes=2-3"], 100) is RangeVerdict.WHOLE


def test_unit_is_case_insensitive_and_zeros_may_lead() -> None:
    """Both are valid spellings."""
    assert requested_range([" Bytes=007-0009 "], 100) == ByteRange(7, 10)


def test_number_beyond_all_files_is_a_position_beyond_the_end() -> None:
    """A huge number costs nothing and means what it says."""
    huge = "9" * 100
    assert requested_range([f"bytes={huge}-"], 100) is RangeVerdict.UNSATISFIABLE
    assert requested_range([f"bytes=10-{huge}"], 100) == ByteRange(10, 100)
    assert requested_range([f"bytes=-{huge}"], 100) == ByteRange(0, 100)


def wanted_positions(size: int, first: int | None, last: int | None) -> list[int]:
    """The oracle: walk all positions of the file and keep those the text of the RFC names."""
    if first is None:
        return [position for position in range(size) if size - position <= (last or 0)]
    return [position for position in range(size) if first <= position and (last is None or position <= last)]


@given(size=sizes, first=st.none() | positions, last=st.none() | positions)
def test_single_range_is_what_the_oracle_finds(size: int, first: int | None, last: int | None) -> None:
    """For every file size and every kind of range, the same bytes come out."""
    value = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    found = requested_range([value], size)
    expected = wanted_positions(size, first, last)
    malformed = (first is None and last is None) or (first is not None and last is not None and last < first)
    if malformed or (first is None and size == 0 and last):
        assert found is RangeVerdict.WHOLE
    elif not expected:
        assert found is RangeVerdict.UNSATISFIABLE
    else:
        assert isinstance(found, ByteRange)
        assert list(range(found.start, found.end)) == expected
        assert found.content_range(size) == f"bytes {expected[0]}-{expected[-1]}/{size}"


@given(value=st.text(st.sampled_from("bytes=-,0123456789 \tx"), max_size=20), size=sizes)
def test_any_text_leads_to_a_part_of_the_file_or_a_verdict(value: str, size: int) -> None:
    """No spelling crashes or leads outside of the file."""
    found = requested_range([value], size)
    assert isinstance(found, RangeVerdict) or 0 <= found.start < found.end <= size

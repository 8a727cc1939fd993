"""Cursors of the feed as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder_service.catalog.cursors import format_cursor, parse_cursor
from recorder_service.errors import BadInput, Reason


@given(st.integers(0, 2**128 - 1))
def test_any_position_comes_back(position: int) -> None:
    """Every position up to 128 bits survives."""
    assert parse_cursor("feed", format_cursor("feed", position)) == position


@given(st.text(max_size=40))
def test_any_text_is_refused(text: str) -> None:
    """Made-up text gives the one error and no other."""
    with pytest.raises(BadInput) as caught:
        parse_cursor("feed", text)
    assert caught.value.reason is Reason.INVALID_CURSOR


def test_cursor_of_another_feed_is_refused() -> None:
    """A cursor is good for its own feed only."""
    with pytest.raises(BadInput):
        parse_cursor("feed", format_cursor("other", 5))


def test_cut_cursor_is_refused() -> None:
    """A cursor with a part missing is refused, wherever it is cut."""
    cursor = format_cursor("feed", 7)
    for length in range(len(cursor)):
        with pytest.raises(BadInput):
            parse_cursor("feed", cursor[:length])

"""Conditional requests."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from recorder_service.http.preconditions import Precondition, Validators, evaluate, range_applies

SHA = "ab" * 32
CHANGED = datetime(2026, 11, 22, 10, 0, 0, 987654, tzinfo=timezone(timedelta(hours=1)))
VALIDATORS = Validators.of(SHA, CHANGED)
BEFORE, SAME, AFTER = (
    "Sun, 22 Nov 2026 08:59:59 GMT",
    "Sun, 22 Nov 2026 09:00:00 GMT",
    "Sun, 22 Nov 2026 09:00:01 GMT",
)


def test_validators_are_a_strong_tag_and_whole_seconds_in_gmt() -> None:
    """As HTTP writes them."""
    assert VALIDATORS.etag == f'"{SHA}"'
    assert VALIDATORS.http_date == SAME


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, Precondition.SEND),
        ({"If-None-Match": f'"{SHA}"'}, Precondition.NOT_MODIFIED),
        ({"If-None-Match": f'W/"{SHA}"'}, Precondition.NOT_MODIFIED),
        ({"If-None-Match": f'"x, y" , "{SHA}"'}, Precondition.NOT_MODIFIED),
        ({"If-None-Match": "*"}, Precondition.NOT_MODIFIED),
        ({"If-None-Match": '"other"'}, Precondition.SEND),
        ({"If-None-Match": SHA}, Precondition.SEND),
        ({"If-None-Match": '"other"', "If-Modified-Since": AFTER}, Precondition.SEND),
        ({"If-Modified-Since": BEFORE}, Precondition.SEND),
        ({"If-Modified-Since": SAME}, Precondition.NOT_MODIFIED),
        ({"If-Modified-Since": AFTER}, Precondition.NOT_MODIFIED),
        ({"If-Modified-Since": "yesterday"}, Precondition.SEND),
        ({"If-Match": f'"{SHA}"'}, Precondition.SEND),
        ({"If-Match": "*"}, Precondition.SEND),
        ({"If-Match": f'W/"{SHA}"'}, Precondition.FAILED),
        ({"If-Match": '"other"'}, Precondition.FAILED),
        ({"If-Match": f'"{SHA}"', "If-Unmodified-Since": BEFORE}, Precondition.SEND),
        ({"If-Unmodified-Since": BEFORE}, Precondition.FAILED),
        ({"If-Unmodified-Since": SAME}, Precondition.SEND),
        ({"If-Unmodified-Since": "yesterday"}, Precondition.SEND),
        ({"If-Match": '"other"', "If-None-Match": f'"{SHA}"'}, Precondition.FAILED),
    ],
)
def test_conditions_are_judged_in_their_order(headers: dict[str, str], expected: Precondition) -> None:
    """Each condition, and which of two wins."""
    assert evaluate(Headers(headers), VALIDATORS) is expected


@pytest.mark.parametrize(
    ("condition", "applies"),
    [
        (None, True), (f'"{SHA}"', True), (SAME, True), (f'W/"{SHA}"', False), ('"other"', False), (BEFORE, False),
        (AFTER, False), ("*", False), ("", False),
    ],
)  # fmt: skip
def test_range_applies_to_exactly_this_version_only(condition: str | None, applies: bool) -> None:
    """A weak tag or another date never lets parts of two versions be joined."""
    assert range_applies(Headers({} if condition is None else {"If-Range": condition}), VALIDATORS) is applies


@given(name=st.sampled_from(["If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"]), value=st.text())
def test_any_text_is_judged(name: str, value: str) -> None:
    """No condition crashes."""
    assert evaluate(Headers(raw=[(name.lower().encode(), value.encode("latin-1", "replace"))]), VALIDATORS)


@given(st.integers(0, 10**30), st.integers(0, 10**30), st.integers(-99999, 99999))
def test_any_date_is_judged(day: int, year: int, offset: int) -> None:
    """Days, years and zones that no calendar has are no conditions."""
    value = f"Sun, {day} Nov {year} 09:00:00 {offset:+05d}"
    assert evaluate(Headers({"If-Modified-Since": value}), VALIDATORS)

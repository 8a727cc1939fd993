"""Page sizes and page tokens."""

import base64
import json
import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.contract.catalog.values import NOW

from recorder_service.catalog.paging import PageTokens, check_page_size, cut_page
from recorder_service.errors import BadInput, Reason

TOKENS = PageTokens("things", {"application_id": None})


@pytest.mark.parametrize(("asked", "used"), [(0, 50), (1, 1), (500, 500), (501, 500), (2**31 - 1, 500)])
def test_page_size_has_a_default_and_a_maximum(asked: int, used: int) -> None:
    """0 means 50, more than 500 means 500."""
    assert check_page_size(asked) == used


def test_negative_page_size_is_refused() -> None:
    """A negative size names the field."""
    with pytest.raises(BadInput) as caught:
        check_page_size(-1)
    assert (caught.value.reason, caught.value.details["field"]) == (Reason.INVALID_FIELD, "page_size")


@given(st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)), st.uuids())  # noqa: DTZ001
def test_time_token_comes_back(time: datetime, identity: uuid.UUID) -> None:
    """Any time and id survive a token."""
    aware = time.replace(tzinfo=UTC)
    assert TOKENS.after_time(TOKENS.make(aware, identity)) == (aware, identity)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), st.uuids())
def test_text_token_comes_back(name: str, identity: uuid.UUID) -> None:
    """Any name and id survive a token."""
    assert TOKENS.after_text(TOKENS.make(name, identity)) == (name, identity)


def test_token_is_bound_to_list_and_filter() -> None:
    """A token of another list or other filter values is refused."""
    token = TOKENS.make(NOW, uuid.uuid4())
    for other in (PageTokens("others", {"application_id": None}), PageTokens("things", {"application_id": "x"})):
        with pytest.raises(BadInput) as caught:
            other.after_time(token)
        assert caught.value.reason is Reason.INVALID_PAGE_TOKEN


@pytest.mark.parametrize("key", ["a\0b", "\ud800"])
def test_text_that_no_database_keeps_is_refused_in_a_token(key: str) -> None:
    """Nothing is called so; asked for, it would be an error of the database."""
    with pytest.raises(BadInput) as caught:
        TOKENS.after_text(TOKENS.make(key, uuid.uuid4()))
    assert caught.value.reason is Reason.INVALID_PAGE_TOKEN


@given(st.text(max_size=60))
def test_any_text_is_refused_as_a_token(text: str) -> None:
    """Made-up text gives the one error and no other."""
    with pytest.raises(BadInput):
        TOKENS.after_time(text)


@pytest.mark.parametrize("key", [None, "text", 10**30, -(10**30), [1], 1.5])
def test_token_with_a_wrong_key_is_refused(key: object) -> None:
    """A forged token with a key that is no time gives the one error."""
    genuine = TOKENS.make(NOW, uuid.uuid4())
    version, digest, _, identity = json.loads(base64.urlsafe_b64decode(genuine + "=" * (-len(genuine) % 4)))
    forged = base64.urlsafe_b64encode(json.dumps([version, digest, key, identity]).encode()).decode()
    with pytest.raises(BadInput):
        TOKENS.after_time(forged)


def test_text_list_refuses_a_time_token() -> None:
    """A token whose key is a time does not fit a list by name."""
    with pytest.raises(BadInput):
        TOKENS.after_text(TOKENS.make(NOW, uuid.uuid4()))


def test_last_page_has_no_token() -> None:
    """A page that holds all there is ends the list; one more item than fits makes a token."""
    items = [uuid.uuid4() for _ in range(3)]
    assert cut_page(items, 3, TOKENS, lambda item: (NOW, item)).next_page_token == ""
    page = cut_page(items, 2, TOKENS, lambda item: (NOW, item))
    assert page.items == tuple(items[:2])
    assert TOKENS.after_time(page.next_page_token) == (NOW, items[1])

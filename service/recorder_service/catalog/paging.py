"""Pages of lists: sizes and tokens."""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

from recorder_service.catalog.times import from_microseconds, to_microseconds
from recorder_service.errors import BadInput, Reason

T = TypeVar("T")

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 500

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list.

    Attributes:
        items: In the list's order.
        next_page_token: Asks for the page after it; empty on the last.
    """

    items: tuple[T, ...]
    next_page_token: str


def check_page_size(page_size: int) -> int:
    """Return the size to use: the default for 0, at most `MAX_PAGE_SIZE`.

    Raises:
        BadInput: INVALID_FIELD, if it is negative.
    """
    if page_size < 0:
        raise BadInput(
            Reason.INVALID_FIELD,
            f"page_size is {page_size} but must not be negative; leave it out for {DEFAULT_PAGE_SIZE}",
            field="page_size",
            value=page_size,
            allowed=f"0..{MAX_PAGE_SIZE}",
        )
    return min(page_size or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


class PageTokens:
    """Tokens of one list under one filter: they hold the key of the last item of a page.

    A token is no secret and grants nothing: whoever makes one up only moves about in a list they may read.
    """

    def __init__(self, list_name: str, filter_values: Mapping[str, object]) -> None:
        """Bind the tokens.

        Args:
            list_name: Keeps tokens of different lists apart.
            filter_values: What the list is narrowed to; a token is good for the same values only.
        """
        bound = json.dumps([list_name, {key: str(value) for key, value in filter_values.items()}], sort_keys=True)
        self._digest = hashlib.sha256(bound.encode()).hexdigest()[:16]

    def make(self, key: str | datetime, identity: UUID) -> str:
        """Make the token of the page after the item with this sort key and id."""
        sort_key = to_microseconds(key) if isinstance(key, datetime) else key
        text = json.dumps([_VERSION, self._digest, sort_key, identity.hex])
        return base64.urlsafe_b64encode(text.encode()).decode("ascii").rstrip("=")

    def after_text(self, token: str) -> tuple[str, UUID]:
        """Read a token of a list that is sorted by text.

        Raises:
            BadInput: INVALID_PAGE_TOKEN.
        """
        key, identity = self._read(token)
        if not isinstance(key, str) or not _storable(key):
            raise _invalid(token)
        return key, identity

    def after_time(self, token: str) -> tuple[datetime, UUID]:
        """Read a token of a list that is sorted by time.

        Raises:
            BadInput: INVALID_PAGE_TOKEN.
        """
        key, identity = self._read(token)
        if not isinstance(key, int):
            raise _invalid(token)
        try:
            return from_microseconds(key), identity
        except OverflowError:
            raise _invalid(token) from None

    def _read(self, token: str) -> tuple[object, UUID]:
        try:
            padded = token.encode("ascii") + b"=" * (-len(token) % 4)
            version, digest, key, identity = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
            uuid = UUID(hex=identity)
        except (ValueError, TypeError, AttributeError, RecursionError):
            raise _invalid(token) from None
        if version != _VERSION or digest != self._digest:
            raise _invalid(token)
        return key, uuid


def cut_page(
    items: Sequence[T], size: int, tokens: PageTokens, key: Callable[[T], tuple[str | datetime, UUID]]
) -> Page[T]:
    """Make a page of at most `size` of `items`, of which one more was asked for to see whether there are more.

    Args:
        items: Up to `size` + 1 items.
        size: Items of the page.
        tokens: Make its token.
        key: Reads sort key and id of an item.
    """
    kept = tuple(items[:size])
    if len(items) <= size:
        return Page(kept, "")
    return Page(kept, tokens.make(*key(kept[-1])))


def _storable(text: str) -> bool:
    """Say whether a text can be one that a database keeps: no NUL, no half of a surrogate pair."""
    return "\0" not in text and text.encode(errors="ignore").decode() == text


def _invalid(token: str) -> BadInput:
    return BadInput(
        Reason.INVALID_PAGE_TOKEN,
        "page_token is not one that this list gave for these filters; begin again without it",
        field="page_token",
        value=token,
    )

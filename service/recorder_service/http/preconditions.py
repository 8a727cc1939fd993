"""Conditional requests: has the file changed since the client last saw it?"""

import enum
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from starlette.datastructures import Headers

_ENTITY_TAG = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')


class Precondition(enum.Enum):
    """What the conditions of a request come to."""

    SEND = enum.auto()
    NOT_MODIFIED = enum.auto()
    FAILED = enum.auto()


@dataclass(frozen=True, slots=True)
class Validators:
    """What tells one version of a file from another.

    Attributes:
        etag: Strong entity tag with its quotes.
        last_modified: Whole seconds, UTC.
    """

    etag: str
    last_modified: datetime

    @classmethod
    def of(cls, sha256: str, changed: datetime) -> "Validators":
        """Make the validators of a file from its hash and the time it came to be."""
        return cls(f'"{sha256}"', changed.astimezone(UTC).replace(microsecond=0))

    @property
    def http_date(self) -> str:
        """The value of `Last-Modified`."""
        return format_datetime(self.last_modified, usegmt=True)


def evaluate(headers: Headers, validators: Validators) -> Precondition:
    """Evaluate the conditions of a GET or HEAD request in their order of precedence.

    Source: RFC 9110, 13.1 and 13.2.2.
    """
    if "if-match" in headers:
        if not _lists(headers.getlist("if-match"), validators.etag, weak=False):
            return Precondition.FAILED
    elif (unchanged_since := _date(headers.get("if-unmodified-since"))) and validators.last_modified > unchanged_since:
        return Precondition.FAILED
    if "if-none-match" in headers:
        known = _lists(headers.getlist("if-none-match"), validators.etag, weak=True)
    else:
        modified_since = _date(headers.get("if-modified-since"))
        known = modified_since is not None and validators.last_modified <= modified_since
    return Precondition.NOT_MODIFIED if known else Precondition.SEND


def range_applies(headers: Headers, validators: Validators) -> bool:
    """Say whether `If-Range` lets a range be served: it is absent, or names exactly this version.

    A date counts only if it is exactly `Last-Modified`; a weak tag never counts.

    Source: RFC 9110, 13.1.5.
    """
    condition = headers.get("if-range")
    return condition is None or condition.strip() in {validators.etag, validators.http_date}


def _lists(values: list[str], etag: str, *, weak: bool) -> bool:
    text = ",".join(values)
    if text.strip() == "*":
        return True
    tags = _ENTITY_TAG.findall(text)
    return etag in tags or (weak and f"W/{etag}" in tags)


def _date(value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)

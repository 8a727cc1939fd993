"""The `Range` request header: which part of a file is asked for."""

import enum
import re
from collections.abc import Sequence
from dataclasses import dataclass

# At most 100 digits: a longer number is no position in a file, and its conversion would cost time.
_SINGLE = re.compile(r"bytes=(?:([0-9]{1,100})-([0-9]{0,100})|-([0-9]{1,100}))", re.ASCII | re.IGNORECASE)


class RangeVerdict(enum.Enum):
    """What to do where no single part is to be sent."""

    WHOLE = enum.auto()
    UNSATISFIABLE = enum.auto()


@dataclass(frozen=True, slots=True)
class ByteRange:
    """A part of a file that holds at least one byte: from `start` up to and without `end`."""

    start: int
    end: int

    @property
    def size_bytes(self) -> int:
        """How long it is."""
        return self.end - self.start

    def content_range(self, size_bytes: int) -> str:
        """Give the value of `Content-Range` for a file of that size."""
        return f"bytes {self.start}-{self.end - 1}/{size_bytes}"


def requested_range(headers: Sequence[str], size_bytes: int) -> ByteRange | RangeVerdict:
    """Read the `Range` header of a request for a file of `size_bytes`.

    One range is served: `bytes=a-b`, `bytes=a-` or `bytes=-n`. Several ranges, another unit and anything malformed lead
    to the whole file, which RFC 9110 allows and which costs an attacker's request no more than a plain one.

    Args:
        headers: The values of all `Range` fields.
        size_bytes: Size of the file.

    Source: RFC 9110, 14.1.1, 14.1.2 and 14.2.
    """
    match = _SINGLE.fullmatch(headers[0].strip(" \t")) if len(headers) == 1 else None
    if match is None:
        return RangeVerdict.WHOLE
    first, last, suffix = match.groups()
    if suffix is not None:
        return _suffix_range(int(suffix), size_bytes)
    start = int(first)
    end = int(last) + 1 if last else size_bytes
    if last and end <= start:
        return RangeVerdict.WHOLE
    return ByteRange(start, min(end, size_bytes)) if start < size_bytes else RangeVerdict.UNSATISFIABLE


def _suffix_range(length: int, size_bytes: int) -> ByteRange | RangeVerdict:
    if length == 0:
        return RangeVerdict.UNSATISFIABLE
    # The last bytes of an empty file are all of it, for which no Content-Range can be written.
    return ByteRange(max(0, size_bytes - length), size_bytes) if size_bytes else RangeVerdict.WHOLE

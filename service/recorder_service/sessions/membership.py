"""Who is in a conference, as its recording's journal has it: streams that open and close, legs that come and go.

Facts that come seldom: they are written as JSON. All positions are recording frames at 16 kHz.
"""

import json
from dataclasses import dataclass, fields
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class OpenFeed:
    """A stream feeds the recording from now on.

    Attributes:
        sequence: The request that opened it, or the last one before the recording began.
        feed: Its number in the conference.
        stream_id: The id that the client chose.
        origin_frame: Where its position 0 lies; may be before the recording.
        followed: Whether its sender's clock is measured and followed.
    """

    sequence: int
    feed: int
    stream_id: str
    origin_frame: int
    followed: bool

    @property
    def identity(self) -> UUID:
        """The stream's id."""
        return UUID(self.stream_id)


@dataclass(frozen=True, slots=True)
class CloseFeed:
    """A stream was closed, or not resumed in time."""

    sequence: int
    feed: int


@dataclass(frozen=True, slots=True)
class Join:
    """A leg is there from a frame on.

    Attributes:
        leg: Its place in the recording's list of stays, by which audio names it.
        channel: Its channel in the file.
    """

    sequence: int
    feed: int
    leg: int
    leg_id: str
    encoding: str
    sample_rate_hz: int
    channel: int
    frame: int
    muted: bool
    end_on_exit: bool


@dataclass(frozen=True, slots=True)
class Leave:
    """A leg left at a frame; -1 stands for the end of its audio."""

    sequence: int
    feed: int
    leg: int
    frame: int


@dataclass(frozen=True, slots=True)
class Mute:
    """A leg was muted or unmuted at a frame; -1 stands for the end of its audio."""

    sequence: int
    feed: int
    leg: int
    frame: int
    muted: bool


@dataclass(frozen=True, slots=True)
class Observe:
    """The least late arrival of about a second: media time and the conference's clock."""

    sequence: int
    feed: int
    media_frame: int
    clock_frame: int


@dataclass(frozen=True, slots=True)
class Wait:
    """The legs of a stream are waited for however late they are, because it lost its line; or no longer."""

    sequence: int
    feed: int
    waiting: bool


Membership = OpenFeed | CloseFeed | Join | Leave | Mute | Observe | Wait


def write(entry: Membership) -> bytes:
    """Write an entry without its sequence and feed, which every entry of the journal begins with."""
    # Every one of them is flat: dataclasses.asdict, which copies deeply, takes several times as long.
    facts = {name: getattr(entry, name) for name in entry.__slots__ if name not in {"sequence", "feed"}}
    return json.dumps(facts, separators=(",", ":")).encode()


def read(kind: type[Membership], sequence: int, feed: int, data: bytes) -> Membership:
    """Read what `write` wrote.

    Raises:
        ValueError: The bytes do not fit the kind.
    """
    facts: Any = json.loads(data)
    if not isinstance(facts, dict):
        raise ValueError(f"a {kind.__name__} entry is no object")  # noqa: TRY004 - callers know one kind of refusal
    try:
        entry = kind(sequence=sequence, feed=feed, **facts)
    except TypeError as error:
        raise ValueError(f"a {kind.__name__} entry is malformed: {error}") from None
    wrong = [f.name for f in fields(entry) if type(getattr(entry, f.name)) is not f.type]
    if wrong or write(entry) != data:
        raise ValueError(f"a {kind.__name__} entry is malformed: {', '.join(wrong) or 'other bytes'}")
    return entry

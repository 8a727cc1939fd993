"""What is asked for of a conference, as values."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from recorder_service.audio.formats import RECORDING_RATE_HZ, Encoding, LegFormat
from recorder_service.domain.options import EncoderOptions, RecordOptions

MAX_LEGS = 64
"""Legs in a conference at once."""
MAX_STAYS = 4096
"""Stays in one recording."""


@dataclass(frozen=True, slots=True)
class JoinLeg:
    """A leg that wants to join.

    Attributes:
        frame: Where, in its own rate since its stream's position 0; None means now.
    """

    leg_id: str
    encoding: str
    sample_rate_hz: int
    start_on_enter: bool = True
    end_on_exit: bool = False
    muted: bool = False
    frame: int | None = None

    @property
    def format(self) -> LegFormat:
        """How its payloads are encoded."""
        return LegFormat(Encoding[self.encoding], self.sample_rate_hz)


@dataclass(frozen=True, slots=True)
class RecordPlan:
    """How a conference is recorded.

    Attributes:
        on_demand: Whether by request only.
    """

    options: RecordOptions
    encoder: EncoderOptions
    metadata: Mapping[str, str] = field(default_factory=dict)
    on_demand: bool = False


@dataclass(frozen=True, slots=True)
class Return:
    """What a stream tells that comes back and is not known any more.

    Attributes:
        origin_frame: Where its position 0 lay on the conference's timeline.
        position_frame: Where its audio stands now, in recording frames since its position 0.
        recorded: Whether a recording of the conference has ended already.
    """

    origin_frame: int
    position_frame: int
    recorded: bool


@dataclass(frozen=True, slots=True)
class JoinStream:
    """A stream that wants to feed a conference.

    Attributes:
        origin_frame: Where its position 0 lies on the conference's timeline; None leaves it to the server.
        conversation_id: For a conference that does not exist yet.
        plan: For a conference that does not exist yet.
        arrived_s: When the wish arrived, by the monotonic clock; None means just now.
        returned: Set if it was there before.
    """

    stream_id: UUID
    name: str
    conversation_id: str
    plan: RecordPlan
    legs: tuple[JoinLeg, ...] = ()
    origin_frame: int | None = None
    arrived_s: float | None = None
    returned: Return | None = None

    @property
    def position_frame(self) -> int:
        """Where its audio stands, in recording frames since its position 0."""
        return 0 if self.returned is None else self.returned.position_frame

    @property
    def conference_frame(self) -> int:
        """Where a conference stands that is made for it."""
        origin_frame = self.origin_frame
        if self.returned is None:
            return 0
        return self.position_frame + (self.returned.origin_frame if origin_frame is None else origin_frame)

    def waited_frames(self) -> int:
        """Say for how long it has been waiting: for the catalog, for the journal, for others that come in."""
        return 0 if self.arrived_s is None else int((time.monotonic() - self.arrived_s) * RECORDING_RATE_HZ)


class ConferenceClock:
    """The clock of a conference, in frames at 16 kHz since it began."""

    def __init__(self, frame: int = 0, now_s: Callable[[], float] = time.monotonic) -> None:
        """Start now, at a frame."""
        self._now_s = now_s
        self._began_s = now_s() - frame / RECORDING_RATE_HZ

    def now_frame(self) -> int:
        """Return the frame of this instant."""
        return int((self._now_s() - self._began_s) * RECORDING_RATE_HZ)

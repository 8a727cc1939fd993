"""What a live recording tells the stream that feeds it."""

from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from recorder_service.domain.recording import Recording, StopReason
from recorder_service.errors import RecorderError


@dataclass(frozen=True, slots=True)
class Ack:
    """Everything up to this sequence is durable."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Play:
    """Audio for a leg's ear, in the leg's own encoding and rate."""

    leg_id: str
    start_frame: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Stopped:
    """The recording has ended at this recording frame."""

    reason: StopReason
    frame: int
    recording_id: UUID | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Completed:
    """The recording reached its last state."""

    recording: Recording


@dataclass(frozen=True, slots=True)
class Drain:
    """The server is going down: resume after this long."""

    retry_after_s: float


@dataclass(frozen=True, slots=True)
class Started:
    """A recording of the conference has begun."""

    recording: Recording


@dataclass(frozen=True, slots=True)
class Ended:
    """The stream is over, and with it perhaps the conference."""

    conference_ended: bool


Notice = Ack | Play | Stopped | Completed | Drain | Started | Ended


class Outlet(Protocol):
    """The way back to whoever feeds a recording. Neither method waits."""

    def send(self, notice: Notice) -> None:
        """Pass a notice on; a later Ack may take the place of one not yet sent."""

    def fail(self, error: RecorderError) -> None:
        """End the stream with an error once what was sent before is out."""

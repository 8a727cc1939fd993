"""An event: one fact about a recording, committed together with the change it tells of."""

import enum
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from recorder_service.domain.delivery import Delivery
from recorder_service.domain.recording import Recording


class EventType(enum.Enum):
    """What happened; names equal those of the contract."""

    RECORDING_STARTED = "recording.started"
    RECORDING_PAUSED = "recording.paused"
    RECORDING_RESUMED = "recording.resumed"
    DTMF = "dtmf"
    RECORDING_STOPPED = "recording.stopped"
    RECORDING_COMPLETED = "recording.completed"
    RECORDING_FAILED = "recording.failed"
    RECORDING_EMPTY = "recording.empty"
    RECORDING_DELETED = "recording.deleted"
    RECORDING_EXPIRED = "recording.expired"
    WEBHOOK_DELIVERED = "webhook.delivered"
    WEBHOOK_FAILED = "webhook.failed"
    LEG_JOINED = "leg.joined"
    LEG_LEFT = "leg.left"
    LEG_MUTED = "leg.muted"
    LEG_UNMUTED = "leg.unmuted"


@dataclass(frozen=True, slots=True)
class KeyPress:
    """A key press.

    Attributes:
        frame: When it went down, in recording frames.
        duration_ms: None where unknown.
    """

    leg_id: str
    digit: str
    frame: int
    duration_ms: int | None = None

    def __repr__(self) -> str:
        """Leave the digit out: it may belong to a card number."""
        return f"KeyPress({self.leg_id!r}, frame={self.frame})"


@dataclass(frozen=True, slots=True)
class LegChange:
    """A leg that came, went, or was muted or unmuted, at a recording frame."""

    leg_id: str
    frame: int
    channel: int


@dataclass(frozen=True, slots=True)
class Event:
    """One fact.

    Attributes:
        position: Place in the feed; grows. 0 before the catalog has given one.
        recording_sequence: Number within the recording: 1, 2, 3.
        recording: The recording as it stood then.
    """

    event_id: UUID
    type: EventType
    time: datetime
    application_id: UUID
    recording_sequence: int
    recording: Recording
    key_press: KeyPress | None = None
    delivery: Delivery | None = None
    leg: LegChange | None = None
    position: int = 0

"""A recording: its life from the first frame to its removal."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid4

from recorder_service.domain.options import EncoderOptions, FileFormat, RecordOptions


class RecordingKind(enum.Enum):
    """What is recorded."""

    CALL = "call"
    CONFERENCE = "conference"


class RecordingState(enum.Enum):
    """Where a recording stands; names equal those of the contract."""

    RECORDING = "recording"
    PAUSED = "paused"
    FINISHING = "finishing"
    AVAILABLE = "available"
    EMPTY = "empty"
    FAILED = "failed"
    DELETED = "deleted"
    EXPIRED = "expired"

    @property
    def live(self) -> bool:
        """Whether audio is still taken."""
        return self in {RecordingState.RECORDING, RecordingState.PAUSED}


class StopReason(enum.Enum):
    """What ended a recording; names equal those of the contract."""

    SILENCE = "silence"
    KEY = "key"
    TIMEOUT = "timeout"
    REQUESTED = "requested"
    HANGUP = "hangup"
    INTERRUPTED = "interrupted"
    MAX_DURATION = "max_duration"
    DISK_FULL = "disk_full"


class LegRole(enum.Enum):
    """A leg's part in the call."""

    CALLER = "caller"
    CALLEE = "callee"
    PARTICIPANT = "participant"


class PauseMode(enum.Enum):
    """What takes the place of audio that was not kept."""

    SILENCE = "silence"
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class MutedInterval:
    """A time during which a leg was muted, in recording frames; `end_frame` is None while it lasts."""

    start_frame: int
    end_frame: int | None = None


@dataclass(frozen=True, slots=True)
class LegStay:
    """One time that a leg was in a conference, in recording frames; `left_frame` is None while it is there."""

    joined_frame: int
    left_frame: int | None = None
    muted: tuple[MutedInterval, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordedLeg:
    """A leg, where it went, and what was received of it. Frame counts are in the leg's own rate.

    Attributes:
        encoding: Name of the contract's encoding without prefix: LINEAR16, MULAW, ALAW.
        stays: When it was in a conference; None in a call.
        drift_ppb: By how many parts in 10**9 its sender's clock runs fast; None where that is not known.
    """

    leg_id: str
    role: LegRole
    encoding: str
    sample_rate_hz: int
    channel: int
    frames: int = 0
    gap_frames: int = 0
    late_frames: int = 0
    repeated_frames: int = 0
    first_frame: int = 0
    end_frame: int = 0
    stays: tuple[LegStay, ...] | None = None
    drift_ppb: int | None = None


@dataclass(frozen=True, slots=True)
class ConferenceFacts:
    """What a recording keeps of its conference, so that the conference can go on after a restart.

    Attributes:
        name: Unique among the application's conferences while it lives.
        on_demand: Whether recordings are started by request only.
        began_frame: Where the recording began, in frames at 16 kHz since the conference did.
    """

    name: str
    on_demand: bool = False
    began_frame: int = 0


@dataclass(frozen=True, slots=True)
class PauseInterval:
    """A time without recording, in recording frames; `end_frame` is None while it lasts."""

    start_frame: int
    end_frame: int | None
    mode: PauseMode


@dataclass(frozen=True, slots=True)
class FrameInterval:
    """A stretch of the recording, in recording frames."""

    start_frame: int
    end_frame: int


@dataclass(frozen=True, slots=True)
class RecordingFile:
    """A finished file.

    Attributes:
        object_key: Name of the object in the file store.
        frames: Length of the decoded audio at 16 kHz.
        sha256: Lower-case hex.
    """

    file_id: UUID
    object_key: str
    format: FileFormat
    channels: int
    bitrate_kbps: int
    frames: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording as the catalog keeps it.

    Attributes:
        file_id: The id its file will have: chosen at the start, so that finishing twice makes one file.
        node_id: The node whose journal holds it while it runs.
        event_count: Events told of it so far; the last one's number.
        metadata: Labels given at start.
    """

    recording_id: UUID
    application_id: UUID
    conversation_id: str
    kind: RecordingKind
    state: RecordingState
    options: RecordOptions
    encoder: EncoderOptions
    start_time: datetime
    file_id: UUID = field(default_factory=uuid4)
    metadata: Mapping[str, str] = field(default_factory=dict)
    end_time: datetime | None = None
    stop_reason: StopReason | None = None
    available_time: datetime | None = None
    expire_time: datetime | None = None
    file: RecordingFile | None = None
    legs: tuple[RecordedLeg, ...] = ()
    pauses: tuple[PauseInterval, ...] = ()
    damage: tuple[FrameInterval, ...] = ()
    failure: str = ""
    node_id: str = ""
    event_count: int = 0
    conference: ConferenceFacts | None = None

"""The one exception tree.

Every error a user can meet carries a `Reason`, which is also the name of a value of `recorder.v1.ErrorReason`. How a
reason looks on the wire (gRPC status, HTTP status, whether a retry helps) stands in one table: `error_table.py`.
"""

import enum
from collections.abc import Mapping


class Reason(enum.Enum):
    """Why a request was refused; names equal those of `recorder.v1.ErrorReason` without its prefix."""

    INTERNAL = "INTERNAL"
    # The shape of a request
    INVALID_MESSAGE = "INVALID_MESSAGE"
    INVALID_FIELD = "INVALID_FIELD"
    INVALID_OPTION = "INVALID_OPTION"
    UNSUPPORTED_FORMAT = "UNSUPPORTED_FORMAT"
    INVALID_URL = "INVALID_URL"
    INVALID_PAGE_TOKEN = "INVALID_PAGE_TOKEN"  # noqa: S105 - a reason, not a secret
    INVALID_CURSOR = "INVALID_CURSOR"
    CURSOR_EXPIRED = "CURSOR_EXPIRED"
    # The order of a recording stream
    OPEN_EXPECTED = "OPEN_EXPECTED"
    OPEN_REPEATED = "OPEN_REPEATED"
    SEQUENCE_GAP = "SEQUENCE_GAP"
    WINDOW_EXCEEDED = "WINDOW_EXCEEDED"
    CLOSE_EXPECTED = "CLOSE_EXPECTED"
    STREAM_REPLACED = "STREAM_REPLACED"
    # Audio and legs
    UNKNOWN_LEG = "UNKNOWN_LEG"
    DUPLICATE_LEG = "DUPLICATE_LEG"
    TOO_MANY_LEGS = "TOO_MANY_LEGS"
    PARTIAL_FRAME = "PARTIAL_FRAME"
    FRAME_OUT_OF_RANGE = "FRAME_OUT_OF_RANGE"
    # Things that are named
    CONFERENCE_NOT_FOUND = "CONFERENCE_NOT_FOUND"
    STREAM_NOT_FOUND = "STREAM_NOT_FOUND"
    RECORDING_NOT_FOUND = "RECORDING_NOT_FOUND"
    RECORDING_EXISTS = "RECORDING_EXISTS"
    RECORDING_NOT_LIVE = "RECORDING_NOT_LIVE"
    RECORDING_LIVE = "RECORDING_LIVE"
    FILE_NOT_FOUND = "FILE_NOT_FOUND"
    FILE_EXPIRED = "FILE_EXPIRED"
    APPLICATION_NOT_FOUND = "APPLICATION_NOT_FOUND"
    APPLICATION_EXISTS = "APPLICATION_EXISTS"
    DELIVERY_NOT_FOUND = "DELIVERY_NOT_FOUND"
    # Who may
    MISSING_TOKEN = "MISSING_TOKEN"  # noqa: S105 - a reason, not a secret
    INVALID_TOKEN = "INVALID_TOKEN"  # noqa: S105 - a reason, not a secret
    TOKEN_EXPIRED = "TOKEN_EXPIRED"  # noqa: S105 - a reason, not a secret
    ADMIN_ONLY = "ADMIN_ONLY"
    NOT_PERMITTED = "NOT_PERMITTED"
    # Room and health
    TOO_MANY_RECORDINGS = "TOO_MANY_RECORDINGS"
    TOO_MANY_SUBSCRIBERS = "TOO_MANY_SUBSCRIBERS"
    SUBSCRIBER_TOO_SLOW = "SUBSCRIBER_TOO_SLOW"
    DISK_FULL = "DISK_FULL"
    DRAINING = "DRAINING"
    OVERLOADED = "OVERLOADED"
    JOURNAL_FAILED = "JOURNAL_FAILED"
    STORAGE_FAILED = "STORAGE_FAILED"
    CATALOG_FAILED = "CATALOG_FAILED"
    DAMAGED = "DAMAGED"
    # Several nodes
    OWNER_AWAY = "OWNER_AWAY"
    NODE_FENCED = "NODE_FENCED"
    # Starting the service
    INVALID_CONFIGURATION = "INVALID_CONFIGURATION"
    SCHEMA_TOO_NEW = "SCHEMA_TOO_NEW"
    DIRECTORY_LOCKED = "DIRECTORY_LOCKED"


class RecorderError(Exception):
    """Base of every error Recorder raises on purpose.

    Attributes:
        reason: The machine-readable cause.
        message: What is wrong and how to mend it, for people. Never holds audio, digits, tokens or secrets.
        details: Facts for machines (`field`, `value`, `expected_sequence`, ...); units stand in the keys.
        retry_after_s: When a retry may help, or None where it does not.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        details: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.details: dict[str, str] = dict(details or {})
        self.retry_after_s = retry_after_s


class BadInput(RecorderError):
    """The caller sent something that can never succeed as it is."""

    def __init__(self, reason: Reason, message: str, *, field: str, value: object, **details: str) -> None:
        """Name the field and the value at fault.

        Args:
            reason: The cause.
            message: What is wrong and what would be right.
            field: Path of the offending field, as in the proto (`open.start.legs[0].sample_rate_hz`).
            value: The offending value; shown in the details, cut to 80 characters.
            **details: Further facts, keys with units.
        """
        super().__init__(reason, message, details={"field": field, "value": str(value)[:80], **details})


class NotFound(RecorderError):
    """There is no such thing for this caller: a foreign thing and a missing one look alike."""


class Conflict(RecorderError):
    """The thing exists but its state does not allow the request."""


class Unauthenticated(RecorderError):
    """The token is missing, malformed, forged or stale."""


class Forbidden(RecorderError):
    """The token is good but not for this."""


class Overloaded(RecorderError):
    """There is no room now; `retry_after_s` says when to ask again."""


class Unavailable(RecorderError):
    """A part of Recorder cannot serve now; nothing acknowledged is lost."""


class Elsewhere(RecorderError):
    """Only the node that has the recording can do this. Where nodes reach each other the request is passed on to it.

    Attributes:
        node_id: The node that has it.
    """

    def __init__(self, node_id: str, message: str) -> None:
        """Name the owner.

        Args:
            node_id: The node that has what was asked for.
            message: What the caller is told where the request cannot be passed on.
        """
        super().__init__(Reason.OWNER_AWAY, message, retry_after_s=2.0)
        self.node_id = node_id


class Damaged(RecorderError):
    """Stored data failed its check."""


class StartupError(RecorderError):
    """The service refuses to start; the message says what to change."""

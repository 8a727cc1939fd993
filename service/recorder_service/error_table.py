"""The one table from reasons to what goes over the wire: gRPC status and HTTP status."""

from dataclasses import dataclass

from recorder_service.errors import Reason

DOMAIN = "recorder.v1"


@dataclass(frozen=True, slots=True)
class WireStatus:
    """How a reason looks outside.

    Attributes:
        grpc: Name of the canonical gRPC status code.
        http: HTTP status.
        title: Short text for problem+json, the same for every occurrence.
    """

    grpc: str
    http: int
    title: str


_INVALID = ("INVALID_ARGUMENT", 400)
_PRECONDITION = ("FAILED_PRECONDITION", 409)
_NOT_FOUND = ("NOT_FOUND", 404)
_EXISTS = ("ALREADY_EXISTS", 409)
_WHO = ("UNAUTHENTICATED", 401)
_FORBIDDEN = ("PERMISSION_DENIED", 403)
_FULL = ("RESOURCE_EXHAUSTED", 429)
_AWAY = ("UNAVAILABLE", 503)

ERROR_TABLE: dict[Reason, WireStatus] = {
    reason: WireStatus(*status, title)
    for reason, status, title in (
        (Reason.INTERNAL, ("INTERNAL", 500), "Internal error"),
        (Reason.INVALID_MESSAGE, _INVALID, "Invalid message"),
        (Reason.INVALID_FIELD, _INVALID, "Invalid field"),
        (Reason.INVALID_OPTION, _INVALID, "Invalid record option"),
        (Reason.UNSUPPORTED_FORMAT, _INVALID, "Unsupported file format"),
        (Reason.INVALID_URL, _INVALID, "Invalid URL"),
        (Reason.INVALID_PAGE_TOKEN, _INVALID, "Invalid page token"),
        (Reason.INVALID_CURSOR, _INVALID, "Invalid cursor"),
        (Reason.CURSOR_EXPIRED, ("OUT_OF_RANGE", 410), "Cursor expired"),
        (Reason.OPEN_EXPECTED, _INVALID, "Stream not opened"),
        (Reason.OPEN_REPEATED, _INVALID, "Stream opened twice"),
        (Reason.SEQUENCE_GAP, ("OUT_OF_RANGE", 409), "Sequence number skipped"),
        (Reason.WINDOW_EXCEEDED, _FULL, "Too much unacknowledged"),
        (Reason.CLOSE_EXPECTED, _PRECONDITION, "Stream ended without close"),
        (Reason.STREAM_REPLACED, ("ABORTED", 409), "Stream replaced"),
        (Reason.UNKNOWN_LEG, _INVALID, "Unknown leg"),
        (Reason.DUPLICATE_LEG, _INVALID, "Leg given twice"),
        (Reason.TOO_MANY_LEGS, _INVALID, "Too many legs"),
        (Reason.PARTIAL_FRAME, _INVALID, "Not a whole number of frames"),
        (Reason.FRAME_OUT_OF_RANGE, _INVALID, "Frame position out of range"),
        (Reason.CONFERENCE_NOT_FOUND, _NOT_FOUND, "No such conference"),
        (Reason.STREAM_NOT_FOUND, _NOT_FOUND, "No such stream"),
        (Reason.RECORDING_NOT_FOUND, _NOT_FOUND, "No such recording"),
        (Reason.RECORDING_EXISTS, _EXISTS, "Recording exists"),
        (Reason.RECORDING_NOT_LIVE, _PRECONDITION, "Recording has ended"),
        (Reason.RECORDING_LIVE, _PRECONDITION, "Recording still runs"),
        (Reason.FILE_NOT_FOUND, _NOT_FOUND, "No such file"),
        (Reason.FILE_EXPIRED, ("NOT_FOUND", 410), "File removed"),
        (Reason.APPLICATION_NOT_FOUND, _NOT_FOUND, "No such application"),
        (Reason.APPLICATION_EXISTS, _EXISTS, "Application exists"),
        (Reason.DELIVERY_NOT_FOUND, _NOT_FOUND, "No such delivery"),
        (Reason.MISSING_TOKEN, _WHO, "Token missing"),
        (Reason.INVALID_TOKEN, _WHO, "Bad credential"),
        (Reason.TOKEN_EXPIRED, _WHO, "Token expired"),
        (Reason.ADMIN_ONLY, _FORBIDDEN, "Admin only"),
        (Reason.NOT_PERMITTED, _FORBIDDEN, "Not permitted"),
        (Reason.TOO_MANY_RECORDINGS, _FULL, "Too many recordings"),
        (Reason.TOO_MANY_SUBSCRIBERS, _FULL, "Too many subscribers"),
        (Reason.SUBSCRIBER_TOO_SLOW, ("ABORTED", 409), "Subscriber too slow"),
        (Reason.DISK_FULL, _FULL, "Disk nearly full"),
        (Reason.DRAINING, _AWAY, "Going down"),
        (Reason.OVERLOADED, ("RESOURCE_EXHAUSTED", 503), "Overloaded"),
        (Reason.JOURNAL_FAILED, _AWAY, "Journal failed"),
        (Reason.STORAGE_FAILED, _AWAY, "File store away"),
        (Reason.CATALOG_FAILED, _AWAY, "Database away"),
        (Reason.OWNER_AWAY, _AWAY, "Owner away"),
        (Reason.NODE_FENCED, _AWAY, "Node fenced"),
        (Reason.DAMAGED, ("DATA_LOSS", 500), "Stored data damaged"),
        (Reason.INVALID_CONFIGURATION, _PRECONDITION, "Invalid configuration"),
        (Reason.SCHEMA_TOO_NEW, _PRECONDITION, "Database too new"),
        (Reason.DIRECTORY_LOCKED, _PRECONDITION, "Data directory in use"),
    )
}

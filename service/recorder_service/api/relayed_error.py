"""A refusal of another node, read back into the error that it raised."""

from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from recorder_service.api.relay import RelayedFailure
from recorder_service.error_table import ERROR_TABLE
from recorder_service.errors import (
    BadInput,
    Conflict,
    Forbidden,
    NotFound,
    Overloaded,
    Reason,
    RecorderError,
    Unauthenticated,
    Unavailable,
)

_CLASSES: dict[str, type[RecorderError]] = {
    "NOT_FOUND": NotFound,
    "UNAUTHENTICATED": Unauthenticated,
    "PERMISSION_DENIED": Forbidden,
    "RESOURCE_EXHAUSTED": Overloaded,
    "UNAVAILABLE": Unavailable,
    "INTERNAL": RecorderError,
    "DATA_LOSS": RecorderError,
}


def relayed_error(failure: RelayedFailure) -> RecorderError:
    """Return the error; one without a reason, as of a node that broke down in the middle, is INTERNAL."""
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    retry_after_s = None
    for detail in _status(failure).details:
        if detail.Unpack(retry):
            retry_after_s = retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9
        else:
            detail.Unpack(info)
    if info.reason not in Reason.__members__:
        return RecorderError(Reason.INTERNAL, f"another node failed: {failure.details}")
    reason, details = Reason[info.reason], dict(info.metadata)
    code = ERROR_TABLE[reason].grpc
    if code == "INVALID_ARGUMENT":
        field, value = details.pop("field", ""), details.pop("value", "")
        return BadInput(reason, failure.details, field=field, value=value, **details)
    made = _CLASSES.get(code, Conflict)
    return made(reason, failure.details, details=details, retry_after_s=retry_after_s)


def _status(failure: RelayedFailure) -> status_pb2.Status:
    for _, value in failure.trailing:
        try:
            return status_pb2.Status.FromString(value)
        except DecodeError:
            break
    return status_pb2.Status()

"""The one error that a refused or failed request raises."""

from collections.abc import Iterable, Mapping
from typing import cast

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2

_DETAILS_KEY = "grpc-status-details-bin"
_UNAVAILABLE = "UNAVAILABLE"
# What grpc.aio reports, in place of the server's status, for a stream that ended while it was being written to.
_BROKEN_WRITE = "Internal error from Core"
# A new try heals these, whatever the server says of waiting.
_RETRYABLE_REASONS = frozenset({"SUBSCRIBER_TOO_SLOW", "WINDOW_EXCEEDED"})


class RecorderError(Exception):
    """What the server refused, or what kept the request from reaching it.

    Attributes:
        reason: A value of `recorder.v1.ErrorReason` without its prefix; where no Recorder answered (no connection, a
            proxy), the name of the gRPC status, `UNAVAILABLE` say.
        message: What is wrong and how to mend it, for people.
        metadata: Facts for machines: `field` and `value` where one field is at fault, `expected_sequence`, ...
        status: Name of the canonical gRPC status, `INVALID_ARGUMENT` say.
        retry_after_s: How long the server asks to wait before a retry; None where it did not say.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        status: str = "UNKNOWN",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata: dict[str, str] = dict(metadata or {})
        self.status = status
        self.retry_after_s = retry_after_s

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later: the server is away, or said when to come back."""
        return self.status == _UNAVAILABLE or self.retry_after_s is not None or self.reason in _RETRYABLE_REASONS


def unavailable(message: str, *, retry_after_s: float | None = None) -> RecorderError:
    """Describe a connection that was lost without a status of its own."""
    return RecorderError(_UNAVAILABLE, message, status=_UNAVAILABLE, retry_after_s=retry_after_s)


def from_rpc_error(error: grpc.aio.AioRpcError) -> RecorderError:
    """Read the status and its details (google.rpc.ErrorInfo, RetryInfo) out of a failed RPC."""
    if error.details() == _BROKEN_WRITE:
        return unavailable("the stream ended while it was written to")
    status = error.code().name
    reason, metadata, retry_after_s = status, {}, None
    for detail in _details(error):
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToMilliseconds() / 1000
    message = error.details() or f"the server answered {status}"
    return RecorderError(reason, message, metadata=metadata, status=status, retry_after_s=retry_after_s)


def _details(error: grpc.aio.AioRpcError) -> list[AnyMessage]:
    trailers = cast("Iterable[tuple[str, bytes]]", error.trailing_metadata() or ())
    packed = next((value for key, value in trailers if key == _DETAILS_KEY), b"")
    return list(status_pb2.Status.FromString(packed).details)

"""Errors of the domain as gRPC statuses: canonical code, ErrorInfo, and RetryInfo where a retry helps."""

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from recorder_service.error_table import DOMAIN, ERROR_TABLE
from recorder_service.errors import RecorderError

# A message goes out twice, percent-encoded and in base64, in metadata that clients limit to 8 KB.
_MAX_MESSAGE_BYTES = 1000


def grpc_status(error: RecorderError) -> grpc.Status:
    """Return what the client gets: the table's code, the message for people, the reason and facts for machines."""
    wire = ERROR_TABLE[error.reason]
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=error.reason.name, domain=DOMAIN, metadata=error.details)
    ]
    if error.retry_after_s is not None:
        details.append(error_details_pb2.RetryInfo(retry_delay=_duration(error.retry_after_s)))
    status = status_pb2.Status(
        code=code_pb2.Code.Value(wire.grpc),
        message=_shortened(error.message),
        details=[_packed(detail) for detail in details],
    )
    return rpc_status.to_status(status)


def _shortened(text: str) -> str:
    data = text.encode()
    return text if len(data) <= _MAX_MESSAGE_BYTES else data[:_MAX_MESSAGE_BYTES].decode(errors="ignore") + "…"


def _duration(seconds: float) -> Duration:
    return Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1_000_000_000))


def _packed(message: Message) -> Any:
    packed = Any()
    packed.Pack(message)
    return packed

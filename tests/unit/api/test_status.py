"""Errors as statuses."""

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder_service.api.status import grpc_status
from recorder_service.error_table import ERROR_TABLE
from recorder_service.errors import BadInput, Overloaded, Reason, RecorderError


def _status(error: RecorderError) -> tuple[grpc.Status, status_pb2.Status]:
    status = grpc_status(error)
    key, value = status.trailing_metadata[0]
    assert key == "grpc-status-details-bin"
    return status, status_pb2.Status.FromString(value)


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_its_code_and_its_info(reason: Reason) -> None:
    """The reason without prefix, the domain, the facts."""
    status, details = _status(RecorderError(reason, "what is wrong", details={"field": "x"}))
    assert status.code is grpc.StatusCode[ERROR_TABLE[reason].grpc]
    assert status.details == details.message == "what is wrong"
    info = error_details_pb2.ErrorInfo()
    assert details.details[0].Unpack(info)
    assert (info.reason, info.domain, dict(info.metadata)) == (reason.name, "recorder.v1", {"field": "x"})
    assert len(details.details) == 1


def test_retry_is_told_where_it_helps() -> None:
    """As RetryInfo, to the millisecond."""
    _, details = _status(Overloaded(Reason.DISK_FULL, "full", retry_after_s=1.25))
    retry = error_details_pb2.RetryInfo()
    assert details.details[1].Unpack(retry)
    assert retry.retry_delay.ToMilliseconds() == 1250


@settings(deadline=None)
@given(text=st.text(min_size=0, max_size=3000))
def test_no_message_outgrows_what_clients_take(text: str) -> None:
    """8 KB of metadata, percent-encoded and base64 as they travel."""
    status, details = _status(BadInput(Reason.INVALID_FIELD, text * 50, field="f", value=text))
    assert len(details.message.encode()) <= 1003
    assert status.details == details.message
    assert (text * 50).startswith(details.message.removesuffix("…"))
    assert 3 * len(details.message.encode()) + len(details.SerializeToString()) * 4 // 3 < 6 * 1024

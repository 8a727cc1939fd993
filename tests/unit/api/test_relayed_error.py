"""Refusals of another node, read back."""

import grpc
import pytest

from recorder_service.api.relay import RelayedFailure
from recorder_service.api.relayed_error import relayed_error
from recorder_service.api.status import grpc_status
from recorder_service.error_table import ERROR_TABLE
from recorder_service.errors import BadInput, NotFound, Overloaded, Reason, RecorderError, Unavailable


def there_and_back(error: RecorderError) -> RecorderError:
    status = grpc_status(error)
    return relayed_error(RelayedFailure(status.code, status.details, status.trailing_metadata))


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_survives_the_way(reason: Reason) -> None:
    """With its message, its facts, and when to try again."""
    back = there_and_back(RecorderError(reason, "what is wrong", details={"x": "1"}, retry_after_s=1.5))
    assert (back.reason, back.message, back.details["x"]) == (reason, "what is wrong", "1")
    if ERROR_TABLE[reason].grpc != "INVALID_ARGUMENT":
        assert back.retry_after_s == 1.5


@pytest.mark.parametrize(
    "error",
    [
        BadInput(Reason.INVALID_FIELD, "no", field="f", value="v", more="m"),
        NotFound(Reason.CONFERENCE_NOT_FOUND, "no"),
        Overloaded(Reason.TOO_MANY_RECORDINGS, "no"),
        Unavailable(Reason.DRAINING, "no"),
    ],
)
def test_kind_of_error_is_told_by_its_status(error: RecorderError) -> None:
    """HTTP shows callers the messages of some kinds only."""
    back = there_and_back(error)
    assert type(back) is type(error)
    assert back.details == error.details


@pytest.mark.parametrize("trailing", [(), (("grpc-status-details-bin", b"\xff"),)])
def test_failure_that_says_nothing_is_internal(trailing: tuple[tuple[str, bytes], ...]) -> None:
    """A node that broke down has no reason to give."""
    error = relayed_error(RelayedFailure(grpc.StatusCode.INTERNAL, "broken", trailing))
    assert error.reason is Reason.INTERNAL

"""Reasons: the same names in the code, in the contract and in the table of what goes over the wire."""

from http import HTTPStatus

import grpc
import pytest

from recorder.v1 import error_reason_pb2
from recorder_service.error_table import ERROR_TABLE
from recorder_service.errors import BadInput, Reason


def test_reasons_are_those_of_the_contract() -> None:
    """One to one, without the prefix and the zero."""
    names = {name.removeprefix("ERROR_REASON_") for name, _ in error_reason_pb2.ErrorReason.items()}
    assert {reason.name for reason in Reason} == names - {"UNSPECIFIED"}
    assert all(reason.value == reason.name for reason in Reason)


def test_every_reason_has_its_row_and_no_row_is_left_over() -> None:
    """The table is complete."""
    assert set(ERROR_TABLE) == set(Reason)


@pytest.mark.parametrize("reason", list(Reason))
def test_row_names_codes_that_exist(reason: Reason) -> None:
    """A canonical gRPC code other than OK, an HTTP status of an error, and a title."""
    row = ERROR_TABLE[reason]
    assert row.grpc in grpc.StatusCode.__members__
    assert row.grpc not in {"OK", "UNKNOWN"}
    assert HTTPStatus(row.http) >= HTTPStatus.BAD_REQUEST
    assert row.title.strip() == row.title != ""


@pytest.mark.parametrize("reason", list(Reason))
def test_both_codes_of_a_row_blame_the_same_side(reason: Reason) -> None:
    """The caller's fault is 4xx, the service's is 5xx; want of room can be either's."""
    row = ERROR_TABLE[reason]
    if row.grpc != "RESOURCE_EXHAUSTED":
        assert (row.http >= 500) == (row.grpc in {"INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
    else:
        assert row.http in {
            HTTPStatus.TOO_MANY_REQUESTS,
            HTTPStatus.SERVICE_UNAVAILABLE,
            HTTPStatus.INSUFFICIENT_STORAGE,
        }


def test_titles_tell_reasons_apart() -> None:
    """A problem's title stands for one reason."""
    titles = [row.title for row in ERROR_TABLE.values()]
    assert len(set(titles)) == len(titles)


def test_value_at_fault_is_cut() -> None:
    """Nobody can make an error carry a novel."""
    error = BadInput(Reason.INVALID_FIELD, "x", field="name", value="y" * 1000, allowed="z")
    assert error.details == {"field": "name", "value": "y" * 80, "allowed": "z"}

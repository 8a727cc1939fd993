"""Errors as problem+json."""

import json

import pytest

from recorder_service.error_table import ERROR_TABLE
from recorder_service.errors import (
    BadInput,
    Damaged,
    Forbidden,
    NotFound,
    Overloaded,
    Reason,
    RecorderError,
    Unauthenticated,
    Unavailable,
)
from recorder_service.http.problems import problem_response


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_its_status_of_the_table(reason: Reason) -> None:
    """Status, title and reason come from the one table."""
    response = problem_response(RecorderError(reason, "secret text"))
    body = json.loads(bytes(response.body))
    assert response.status_code == body["status"] == ERROR_TABLE[reason].http
    assert (body["title"], body["reason"]) == (ERROR_TABLE[reason].title, reason.value)
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize("kind", [NotFound, Forbidden, Overloaded, Unauthenticated])
def test_message_for_callers_is_shown(kind: type[RecorderError]) -> None:
    """These are written for whoever asked."""
    assert json.loads(bytes(problem_response(kind(Reason.FILE_NOT_FOUND, "what to do")).body))["detail"] == "what to do"


@pytest.mark.parametrize("kind", [RecorderError, Unavailable, Damaged])
def test_message_for_operators_is_not_shown(kind: type[RecorderError]) -> None:
    """These may name paths and hosts of this machine."""
    response = problem_response(kind(Reason.STORAGE_FAILED, "/data/secret", details={"path": "/data/secret"}))
    assert b"secret" not in bytes(response.body)


def test_field_and_value_at_fault_are_given() -> None:
    """Machines find them under details."""
    response = problem_response(BadInput(Reason.INVALID_FIELD, "bad", field="x", value=7))
    assert json.loads(bytes(response.body))["details"] == {"field": "x", "value": "7"}


def test_refused_token_is_challenged() -> None:
    """Without a token the challenge is bare; with a bad one it says so."""
    missing = problem_response(Unauthenticated(Reason.MISSING_TOKEN, "none"))
    bad = problem_response(Unauthenticated(Reason.INVALID_TOKEN, "bad"))
    assert missing.headers["www-authenticate"] == "Bearer"
    assert bad.headers["www-authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize(("retry_after_s", "header"), [(0.1, "1"), (1, "1"), (4.2, "5"), (30, "30")])
def test_retry_after_is_whole_seconds_rounded_up(retry_after_s: float, header: str) -> None:
    """Never earlier than the error asks for, and never 0."""
    response = problem_response(Overloaded(Reason.OVERLOADED, "busy", retry_after_s=retry_after_s))
    assert response.headers["retry-after"] == header

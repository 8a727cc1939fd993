"""Errors as `application/problem+json` (RFC 9457), from the same table that gRPC statuses come from."""

import json
import math
from collections.abc import Mapping
from http import HTTPStatus

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ExceptionHandler

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
)

PROBLEM_JSON = "application/problem+json"
SAFE_HEADERS = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff"}
# Messages of these are written for the caller. Those of the others may name hosts and paths of this machine.
_FOR_CALLERS = (BadInput, NotFound, Conflict, Unauthenticated, Forbidden, Overloaded)

log = structlog.get_logger(__name__)


def problem_response(error: RecorderError) -> Response:
    """Answer with an error of Recorder: its HTTP status, its reason, and what the caller may know of it.

    There is no `instance` member, so that the same error always has the same body.
    """
    status = ERROR_TABLE[error.reason]
    body: dict[str, object] = {
        "type": f"urn:recorder:error:{error.reason.value}",
        "title": status.title,
        "status": status.http,
        "detail": status.title,
        "reason": error.reason.value,
    }
    if isinstance(error, _FOR_CALLERS):
        body["detail"] = error.message
        if error.details:
            body["details"] = error.details
    return _response(status.http, body, _headers(error, status.http))


def status_response(status: int, headers: Mapping[str, str]) -> Response:
    """Answer with a problem that is fully told by its HTTP status."""
    return _response(status, {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}, headers)


def exception_handlers() -> dict[type[Exception] | int, ExceptionHandler]:
    """Give the handlers that turn every exception of an application into a problem."""
    return {RecorderError: _on_recorder_error, HTTPException: _on_http_exception, Exception: _on_unexpected}


async def _on_recorder_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RecorderError):
        raise error
    if not isinstance(error, _FOR_CALLERS):
        log.error(
            "http_request_failed",
            method=request.method,
            path=request.url.path,
            reason=error.reason.value,
            error=error.message,
        )
    return problem_response(error)


async def _on_http_exception(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    headers = dict(error.headers or {})
    if "Allow" in headers:
        headers["Allow"] = ", ".join(sorted(method.strip() for method in headers["Allow"].split(",")))
    return status_response(error.status_code, headers)


async def _on_unexpected(_request: Request, _error: Exception) -> Response:
    # The server logs the exception itself; the caller learns nothing of it.
    return problem_response(RecorderError(Reason.INTERNAL, "unexpected"))


def _headers(error: RecorderError, status: int) -> dict[str, str]:
    headers = {}
    if status == HTTPStatus.UNAUTHORIZED:
        # RFC 6750, 3.1: without credentials no error code is given.
        missing = error.reason is Reason.MISSING_TOKEN
        headers["WWW-Authenticate"] = "Bearer" if missing else 'Bearer error="invalid_token"'
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    return headers


def _response(status: int, body: Mapping[str, object], headers: Mapping[str, str]) -> Response:
    content = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    return Response(content, status, {**SAFE_HEADERS, **headers}, PROBLEM_JSON)

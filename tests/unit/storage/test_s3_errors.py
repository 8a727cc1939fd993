"""What errors of a store mean."""

from xml.etree.ElementTree import ParseError

import pytest
from minio.error import InvalidResponseError, S3Error, ServerError
from urllib3 import HTTPResponse
from urllib3.exceptions import MaxRetryError, ProtocolError
from urllib3.exceptions import SSLError as TlsError

from recorder_service.errors import Damaged, Reason, Unavailable
from recorder_service.storage.s3_errors import cause, code, may_pass, retry_after_s, translated


def said(code: str, status: int = 403, **headers: str) -> S3Error:
    response = HTTPResponse(status=status, headers=headers)
    return S3Error(response, code, "the store's own words", "/calls/secret-name", "1", "2")


def wrapped(reason: Exception) -> MaxRetryError:
    return MaxRetryError(None, "/calls/x", reason)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "error",
    [
        said("SlowDown", 503), said("SomethingNew", 400), ServerError("x", 502), wrapped(ProtocolError("x")),
        InvalidResponseError(502, "text/html", "<html>body</html>"), ParseError("x"), OSError(5, "x"), ValueError("x"),
    ],
)  # fmt: skip
def test_everything_becomes_an_outage(error: Exception) -> None:
    """With a time to ask again, and without words that came from elsewhere."""
    with pytest.raises(Unavailable) as caught, translated("reading x"):
        raise error
    assert caught.value.reason is Reason.STORAGE_FAILED
    assert caught.value.retry_after_s
    assert "reading x" in caught.value.message
    for foreign in ("html>", "own words", "secret-name"):
        assert foreign not in caught.value.message


def test_our_own_errors_pass() -> None:
    """What is known to be damaged stays so."""
    with pytest.raises(Damaged), translated("reading x"):
        raise Damaged(Reason.DAMAGED, "x")


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (said("SlowDown", 503), True), (said("AccessDenied"), False), (ServerError("x", 503), True),
        (ServerError("x", 418), False), (InvalidResponseError(503, "text/html", ""), True),
        (InvalidResponseError(404, "text/html", "Response code: 503"), False), (wrapped(ProtocolError("x")), True),
        (wrapped(TlsError("x")), False), (ValueError("x"), False),
    ],
)  # fmt: skip
def test_what_may_pass_is_told_from_what_must_be_mended(error: Exception, passes: bool) -> None:
    """An outage may, a refusal may not."""
    assert may_pass(error) is passes


@pytest.mark.parametrize(
    ("error", "retry_s"),
    [
        (said("SlowDown", 503, **{"Retry-After": "7"}), 7), (said("SlowDown", 503, **{"Retry-After": "3600"}), 60),
        (said("SlowDown", 503, **{"Retry-After": "0"}), 1), (said("SlowDown", 503, **{"Retry-After": "x"}), 10),
        (said("AccessDenied"), 60), (OSError("x"), 10),
    ],
)  # fmt: skip
def test_time_to_ask_again_is_bounded(error: Exception, retry_s: float) -> None:
    """The store's wish counts, from a second to a minute."""
    assert retry_after_s(error) == retry_s


def test_fix_stands_beside_the_code() -> None:
    """The operator reads what to do."""
    assert cause(said("RequestTimeTooSkewed")) == (
        "the store says RequestTimeTooSkewed: set the clock of this machine, or of the store"
    )
    assert "ca_file" in cause(wrapped(TlsError("x")))
    assert code(said("NoSuchKey", 404)) == "NoSuchKey"
    assert code(OSError("x")) == ""

"""What the errors of an S3 store mean for Recorder."""

import contextlib
import re
from collections.abc import Iterator
from xml.etree.ElementTree import ParseError

from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3.exceptions import ConnectTimeoutError, HTTPError, MaxRetryError, NewConnectionError, ReadTimeoutError
from urllib3.exceptions import SSLError as TlsError

from recorder_service.errors import Reason, Unavailable

RETRY_AFTER_S = 10.0
_PASSING_STATUSES = (429, 500, 502, 503, 504)
_RESPONSE_CODE = re.compile(r"Response code: (\d+)")
LONGEST_RETRY_AFTER_S = 60.0
MISSING_OBJECT = frozenset({"NoSuchKey", "NoSuchVersion"})
MISSING_UPLOAD = frozenset({"NoSuchUpload"})
CHANGED = frozenset({"PreconditionFailed"})
TOO_SHORT = frozenset({"InvalidRange"})
NOT_DONE_HERE = frozenset({"NotImplemented", "MethodNotAllowed", "MalformedXML", "InvalidRequest", "InvalidArgument"})
# What an operator has to mend, and how.
FIXES = {
    "AccessDenied": "give these credentials s3:ListBucket, s3:ListBucketMultipartUploads, s3:GetObject, s3:PutObject, "
    "s3:DeleteObject and s3:AbortMultipartUpload on the bucket",
    "AllAccessDisabled": "the account is closed: ask the store's operator",
    "InvalidAccessKeyId": "correct access_key",
    "SignatureDoesNotMatch": "correct secret_key",
    "ExpiredToken": "renew session_token, or take the credentials from the environment or IAM",
    "InvalidToken": "correct session_token",
    "NoSuchBucket": "make the bucket, or correct its name",
    "RequestTimeTooSkewed": "set the clock of this machine, or of the store",
    "AuthorizationHeaderMalformed": "correct region",
    "PermanentRedirect": "correct region and endpoint: the bucket lies elsewhere",
    "Redirect": "correct region and endpoint: the bucket lies elsewhere",
    "BucketAlreadyExists": "choose another bucket: this name belongs to somebody else",
}


@contextlib.contextmanager
def translated(doing: str) -> Iterator[None]:
    """Turn what the SDK, the connections and the credentials raise into `Unavailable`.

    Raises:
        Unavailable: STORAGE_FAILED, with the cause, the fix where one is known, and when to ask again.
    """
    try:
        yield
    except (MinioException, HTTPError, ParseError, OSError, ValueError) as error:
        raise Unavailable(
            Reason.STORAGE_FAILED, f"file store: {doing} failed: {cause(error)}", retry_after_s=retry_after_s(error)
        ) from error


def code(error: Exception) -> str:
    """Return the store's code for an error, or nothing where the store itself did not answer."""
    return error.code or "" if isinstance(error, S3Error) else ""


def cause(error: Exception) -> str:
    """Describe an error in one line, without anything that came from the body of an answer or from a signature."""
    if isinstance(error, S3Error):
        fix = FIXES.get(error.code or "")
        said = f"the store says {error.code}"
        return f"{said}: {fix}" if fix else said
    if isinstance(error, InvalidResponseError):
        return str(error).split(", Body:")[0]
    if isinstance(error, ServerError):
        return f"status {error.status_code}"
    if isinstance(error, MaxRetryError) and error.reason is not None:
        return cause(error.reason)
    return _network_cause(error)


def retry_after_s(error: Exception) -> float:
    """Return when to ask again: when the store says so (60 s at most), else after a while."""
    if not isinstance(error, S3Error):
        return RETRY_AFTER_S
    said = str(getattr(error.response, "headers", {}).get("Retry-After", ""))
    if said.isdigit():
        return min(max(float(said), 1.0), LONGEST_RETRY_AFTER_S)
    return LONGEST_RETRY_AFTER_S if error.code in FIXES else RETRY_AFTER_S


def may_pass(error: Exception) -> bool:
    """Tell whether the store was not reached, or cannot serve now. A refusal and a bad certificate do not pass."""
    if isinstance(error, MaxRetryError) and error.reason is not None:
        return may_pass(error.reason)
    if isinstance(error, HTTPError):
        return not isinstance(error, TlsError)
    return _status(error) in _PASSING_STATUSES


def _status(error: Exception) -> int:
    if isinstance(error, S3Error):
        return int(error.response.status)
    if isinstance(error, ServerError):
        return int(error.status_code)
    found = _RESPONSE_CODE.search(str(error)) if isinstance(error, InvalidResponseError) else None
    return int(found[1]) if found else 0


def _network_cause(error: Exception) -> str:
    if isinstance(error, TlsError):
        return f"the store's certificate was not accepted ({error}): set ca_file to the authority that signed it"
    if isinstance(error, NewConnectionError):  # Which counts as a ConnectTimeoutError, too.
        return f"no connection ({error.__cause__ or 'refused'})"
    if isinstance(error, ConnectTimeoutError):
        return "no connection in time"
    if isinstance(error, ReadTimeoutError):
        return "no answer in time"
    if isinstance(error, ParseError):
        return "the answer is not that of an S3 store"
    return f"{type(error).__name__}: {str(error)[:200]}"

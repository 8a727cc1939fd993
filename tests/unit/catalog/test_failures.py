"""What errors of the database mean."""

import sqlite3

import pytest
import sqlalchemy.exc

from recorder_service.catalog.failures import translate
from recorder_service.errors import Overloaded, Reason, Unavailable


def operational(code: int) -> sqlalchemy.exc.OperationalError:
    cause = sqlite3.OperationalError("it failed")
    cause.sqlite_errorcode = code
    return sqlalchemy.exc.OperationalError(None, None, cause)


@pytest.mark.parametrize(
    "code", [sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY]
)
def test_trouble_is_unavailable(code: int) -> None:
    """Locked, input/output errors and a file that went away are worth another try."""
    error = translate(operational(code))
    assert isinstance(error, Unavailable)
    assert error.reason is Reason.CATALOG_FAILED
    assert error.retry_after_s


def test_full_disk_is_overload() -> None:
    """A full disk is its own reason."""
    error = translate(operational(sqlite3.SQLITE_FULL))
    assert isinstance(error, Overloaded)
    assert error.reason is Reason.DISK_FULL


def test_exhausted_pool_is_unavailable() -> None:
    """No free connection in time is worth another try."""
    assert isinstance(translate(sqlalchemy.exc.TimeoutError()), Unavailable)


def test_mistakes_stay_what_they_are() -> None:
    """A broken constraint is a mistake in the program and is not hidden as trouble."""
    error = sqlalchemy.exc.IntegrityError(None, None, sqlite3.IntegrityError("unique"))
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        translate(error)

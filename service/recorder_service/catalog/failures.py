"""Errors of the database as errors of Recorder."""

import sqlite3

import sqlalchemy.exc

from recorder_service.errors import Overloaded, Reason, RecorderError, Unavailable

_RETRY_AFTER_S = 1.0
_FULL_RETRY_AFTER_S = 10.0
# SQLSTATE, of PostgreSQL: disk_full; and the classes that are mistakes in this program: wrong data, broken constraints,
# wrong statements. Source: PostgreSQL documentation, appendix A.
_DISK_FULL = "53100"
_MISTAKE_CLASSES = frozenset({"22", "23", "42"})


def translate(error: sqlalchemy.exc.SQLAlchemyError) -> RecorderError:
    """Say what a failed statement means to the caller; the original error stays with it as its cause.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: `error` itself where it is a mistake in this program and no trouble of the
            database: a broken constraint, a bad statement.
    """
    cause = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else None
    if isinstance(error, sqlalchemy.exc.DBAPIError) and _is_full(cause):
        return Overloaded(
            Reason.DISK_FULL,
            "the catalog's disk is full; make room on the volume that holds it",
            retry_after_s=_FULL_RETRY_AFTER_S,
        )
    if isinstance(error, sqlalchemy.exc.TimeoutError) or _trouble(error):
        # With parameters hidden the text of the driver's error holds no values.
        return away(str(cause or "no connection became free"))
    raise error


def away(cause: str) -> Unavailable:
    """Make the error for a database that cannot serve now."""
    return Unavailable(
        Reason.CATALOG_FAILED,
        f"the catalog's database cannot serve now ({cause}); try again",
        retry_after_s=_RETRY_AFTER_S,
    )


def _trouble(error: sqlalchemy.exc.SQLAlchemyError) -> bool:
    if not isinstance(error, sqlalchemy.exc.DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    if state:
        return state[:2] not in _MISTAKE_CLASSES
    mistakes = (sqlalchemy.exc.IntegrityError, sqlalchemy.exc.ProgrammingError, sqlalchemy.exc.DataError)
    return not isinstance(error, mistakes)


def _is_full(cause: BaseException | None) -> bool:
    # SQLite's extended codes hold the primary one in their low byte.
    code = getattr(cause, "sqlite_errorcode", None)
    return getattr(cause, "sqlstate", None) == _DISK_FULL or (code is not None and code & 0xFF == sqlite3.SQLITE_FULL)

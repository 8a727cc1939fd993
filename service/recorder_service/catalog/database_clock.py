"""The database's own clock: the one clock that all nodes share."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler


class DatabaseNow(sa.sql.functions.FunctionElement[int]):
    """Microseconds since 1970 when the statement runs, by the clock of the database's machine."""

    type = sa.BigInteger()
    inherit_cache = True


@compiles(DatabaseNow, "sqlite")
def _sqlite(_element: DatabaseNow, _compiler: SQLCompiler, **_options: Any) -> str:
    # A Julian day in a double is good to 40 microseconds; 2440587.5 is 1970-01-01.
    return "CAST((julianday('now') - 2440587.5) * 86400000000.0 AS INTEGER)"


@compiles(DatabaseNow, "postgresql")
def _postgresql(_element: DatabaseNow, _compiler: SQLCompiler, **_options: Any) -> str:
    # clock_timestamp() moves on during a transaction; now() stands still.
    return "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)"

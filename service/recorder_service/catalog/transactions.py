"""When events became visible: numbers of transactions, so that a reader never passes one that is still open.

A number from a sequence says when a row was written, not when it was committed: whoever has read up to 2 misses 1 if
that is committed later. PostgreSQL's transaction ids tell which transactions are over: every id below the oldest open
one (`pg_snapshot_xmin`) is, so nothing can appear below it any more. SQLite has one writer at a time, hence its row
numbers are in the order of commits and one transaction number does for all.

Source: PostgreSQL documentation, 9.27 "Transaction ID and Snapshot Information Functions".
"""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

# xid8 has no cast to bigint of its own; an id fits for 2^63 transactions.
_PG_HORIZON = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
_PG_CURRENT = "pg_current_xact_id()::text::bigint"
# Added to PostgreSQL's own ids: a database that was moved to another cluster goes on above the ids it brought.
_PG_BASE = "(SELECT transaction_base FROM feed)"


class current_transaction(FunctionElement[int]):  # noqa: N801 - a function of SQL
    """The number of the transaction it stands in; on SQLite always 0."""

    type = sa.BigInteger()
    inherit_cache = True


class horizon(FunctionElement[int]):  # noqa: N801 - a function of SQL
    """The number below which every transaction is over; on SQLite 1."""

    type = sa.BigInteger()
    inherit_cache = True


@compiles(current_transaction)
def _current_default(_element: current_transaction, _compiler: SQLCompiler, **_options: Any) -> str:
    return "0"


@compiles(current_transaction, "postgresql")
def _current_postgresql(_element: current_transaction, _compiler: SQLCompiler, **_options: Any) -> str:
    return f"({_PG_BASE} + {_PG_CURRENT})"


@compiles(horizon)
def _horizon_default(_element: horizon, _compiler: SQLCompiler, **_options: Any) -> str:
    return "1"


@compiles(horizon, "postgresql")
def _horizon_postgresql(_element: horizon, _compiler: SQLCompiler, **_options: Any) -> str:
    return f"({_PG_BASE} + {_PG_HORIZON})"


_LOCK = sa.text(
    "SELECT pg_advisory_xact_lock(hashtextextended(:name, :space)), "
    "pg_current_xact_id_if_assigned() IS NOT NULL AS begun"
)
# Keeps these locks apart from others on the same cluster; any number.
_SPACE = 7_263_509


def take_turn(connection: sa.Connection, name: str) -> None:
    """Wait until no other transaction holds this name, before the transaction has a number.

    Events of one recording must be in the order of their transactions' numbers. PostgreSQL gives a transaction its
    number when it first writes, even if it then waits for a row: of two that wait for each other, the later one could
    have the lower number. So they queue here, where no number is given. On SQLite writers take turns anyway.

    Raises:
        RuntimeError: The transaction has written already: take the turn first.
    """
    if connection.dialect.name != "postgresql":
        return
    if connection.execute(_LOCK, {"name": name, "space": _SPACE}).one().begun:
        raise RuntimeError("take_turn must come before the transaction's first write")

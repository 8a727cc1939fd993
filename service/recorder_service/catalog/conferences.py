"""Names of conferences: which node has which, so that every stream of a conference finds the same one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self
from uuid import UUID

import sqlalchemy as sa

from recorder_service.catalog.database_clock import DatabaseNow
from recorder_service.catalog.engine import Database
from recorder_service.catalog.tables import conference_streams, conferences, nodes
from recorder_service.domain.conference_name import Hold
from recorder_service.domain.node import Claim
from recorder_service.errors import BadInput, Reason

Guard = Callable[[sa.Connection], None]

_MICROSECONDS = 1_000_000
# Nobody lives there: its lease is over, and it did not go down just now to come back.
_GONE = sa.and_(
    sa.func.coalesce(nodes.c.lease_until, 0) <= DatabaseNow(), conferences.c.kept_until <= DatabaseNow()
).label("gone")


class Conferences:
    """The names that are taken. A row lives as long as its conference, or until another node may have the name."""

    def __init__(self, database: Database, guard: Guard | None = None) -> None:
        self._database = database
        self._guard = guard or _unguarded

    def guarded(self, guard: Guard) -> Self:
        """Return the same for a node: whatever it takes, it first asks `guard` in the same transaction."""
        return type(self)(self._database, guard)

    async def take(self, claim: Claim, hold: Hold, stream_ids: Sequence[UUID], *, inherit: bool) -> str:
        """Give a name to a node, unless another one has it; of several that ask at once, one gets it.

        What this node held under the name before is replaced.

        Args:
            claim: Who asks.
            hold: What it is to have.
            stream_ids: Streams of the conference that are found by it from now on.
            inherit: Whether the name of a node that is gone may be taken.

        Returns:
            The node that has the name now.

        Raises:
            BadInput: INVALID_FIELD, another conference of the application has this conversation_id.
        """

        def work(connection: sa.Connection) -> str:
            self._guard(connection)
            _check_conversation(connection, hold)
            owner = _taken(connection, claim, hold, inherit=inherit)
            if owner == claim.node_id:
                _enrol(connection, hold, stream_ids)
            return owner

        return await self._database.write(work)

    async def take_again(self, claim: Claim, holds: Mapping[Hold, Sequence[UUID]]) -> frozenset[Hold]:
        """Give a node that was started again the names of the conferences that it brought back, and no others.

        Returns:
            Those that another node has taken meanwhile.
        """

        def work(connection: sa.Connection) -> frozenset[Hold]:
            self._guard(connection)
            kept = [hold for hold in holds if _taken(connection, claim, hold, inherit=False) == claim.node_id]
            for hold in kept:
                _enrol(connection, hold, holds[hold])
            mine = sa.and_(conferences.c.node_id == claim.node_id, conferences.c.epoch < claim.epoch)
            _remove(connection, mine)
            return frozenset(holds) - frozenset(kept)

        return await self._database.write(work)

    async def release(self, hold_id: UUID) -> None:
        """Free a name whose conference is over; nothing happens if it is held anew already."""
        await self._database.write(lambda connection: _remove(connection, conferences.c.hold_id == hold_id))

    async def keep(self, claim: Claim, keep_s: float) -> None:
        """Let nobody take this node's names for some time, since it goes down to come back with them."""
        until = DatabaseNow() + round(keep_s * _MICROSECONDS)
        mine = sa.and_(conferences.c.node_id == claim.node_id, conferences.c.epoch == claim.epoch)
        update = conferences.update().where(mine).values(kept_until=until)
        await self._database.write(lambda connection: connection.execute(update))

    async def purge(self, gone_s: float) -> None:
        """Remove the names of nodes that are gone for so long that they will not come back."""
        lives = sa.select(nodes.c.node_id).where(nodes.c.lease_until > DatabaseNow() - round(gone_s * _MICROSECONDS))
        kept = conferences.c.kept_until > DatabaseNow()
        stale = sa.and_(conferences.c.node_id.not_in(lives), sa.not_(kept))
        await self._database.write(lambda connection: _remove(connection, stale))

    async def node_of_stream(self, stream_id: UUID, application_id: UUID | None) -> str | None:
        """Return the node that has the conference of a stream; another application's is not found."""
        query = sa.select(conferences.c.node_id).join(
            conference_streams, conference_streams.c.hold_id == conferences.c.hold_id
        )
        query = query.where(conference_streams.c.stream_id == stream_id)
        return await self._node(query, application_id)

    async def node_of_conversation(self, conversation_id: str, application_id: UUID | None) -> str | None:
        """Return the node that has a conference; another application's is not found."""
        query = sa.select(conferences.c.node_id).where(conferences.c.conversation_id == conversation_id)
        return await self._node(query, application_id)

    async def _node(self, query: "sa.Select[Any]", application_id: UUID | None) -> str | None:
        if application_id is not None:
            query = query.where(conferences.c.application_id == application_id)
        return await self._database.read(lambda connection: connection.execute(query.limit(1)).scalar())


def _taken(connection: sa.Connection, claim: Claim, hold: Hold, *, inherit: bool) -> str:
    """Take the name or find who has it; return the node that has it."""
    this = sa.and_(conferences.c.application_id == hold.name.application_id, conferences.c.name == hold.name.name)
    joined = conferences.outerjoin(nodes, nodes.c.node_id == conferences.c.node_id)
    query = sa.select(conferences.c.hold_id, conferences.c.node_id, _GONE).select_from(joined).where(this)
    found: Any = connection.execute(query.with_for_update(of=conferences)).first()
    values = {
        "hold_id": hold.hold_id,
        "conversation_id": hold.conversation_id,
        "node_id": claim.node_id,
        "epoch": claim.epoch,
        "kept_until": 0,
    }
    if found is None:
        key = {"application_id": hold.name.application_id, "name": hold.name.name}
        connection.execute(conferences.insert().values(**key, **values))
        return claim.node_id
    if found.node_id != claim.node_id and not (inherit and found.gone):
        owner: str = found.node_id
        return owner
    if found.hold_id != hold.hold_id:
        connection.execute(conference_streams.delete().where(conference_streams.c.hold_id == found.hold_id))
    connection.execute(conferences.update().where(this).values(**values))
    return claim.node_id


def _check_conversation(connection: sa.Connection, hold: Hold) -> None:
    others = sa.and_(
        conferences.c.application_id == hold.name.application_id,
        conferences.c.conversation_id == hold.conversation_id,
        conferences.c.name != hold.name.name,
    )
    if connection.execute(sa.select(conferences.c.name).where(others)).first() is not None:
        message = f"conversation_id {hold.conversation_id} is another conference's: leave it empty or choose a new one"
        field = "open.join.conversation_id"
        raise BadInput(Reason.INVALID_FIELD, message, field=field, value=hold.conversation_id)


def _enrol(connection: sa.Connection, hold: Hold, stream_ids: Sequence[UUID]) -> None:
    application_id = hold.name.application_id
    for stream_id in stream_ids:
        this = sa.and_(
            conference_streams.c.application_id == application_id, conference_streams.c.stream_id == stream_id
        )
        connection.execute(conference_streams.delete().where(this))
        row = {"application_id": application_id, "stream_id": stream_id, "hold_id": hold.hold_id}
        connection.execute(conference_streams.insert().values(**row))


def _remove(connection: sa.Connection, which: sa.ColumnElement[bool]) -> None:
    holds = sa.select(conferences.c.hold_id).where(which)
    connection.execute(conference_streams.delete().where(conference_streams.c.hold_id.in_(holds)))
    connection.execute(conferences.delete().where(which))


def _unguarded(_connection: sa.Connection) -> None:
    """Let every write pass."""

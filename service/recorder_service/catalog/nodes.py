"""Nodes and their leases: who is alive, and whose writes count."""

from typing import Any

import sqlalchemy as sa

from recorder_service.catalog.database_clock import DatabaseNow
from recorder_service.catalog.engine import Database
from recorder_service.catalog.tables import nodes
from recorder_service.domain.node import Claim, NodeState, Role
from recorder_service.errors import Conflict, Reason

_MICROSECONDS = 1_000_000
_THIS = nodes.c.node_id == sa.bindparam("this_node")
_LEFT = (nodes.c.lease_until - DatabaseNow()).label("lease_left")
_FIND = sa.select(nodes.c.node_id, nodes.c.epoch, nodes.c.address, nodes.c.place, _LEFT).where(_THIS)
# Locked until the transaction ends, so that the epoch cannot move on between this look and the commit.
_EPOCH = sa.select(nodes.c.epoch).where(_THIS).with_for_update(read=True)


class Nodes:
    """The nodes that share this catalog. All times are the database's: the clocks of machines differ."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, node_id: str) -> NodeState | None:
        """Return a node, alive or not; None if it never ran here."""
        return await self._database.read(lambda connection: _found(connection, node_id))

    async def take(self, node_id: str, role: Role, place: str, lease_s: float, *, over: Claim | None) -> Claim | None:
        """Begin a new epoch of a node: whoever ran in an older one can write no more.

        Args:
            node_id: The node.
            role: What it does.
            place: Where it runs.
            lease_s: How long the lease lasts unless it is renewed.
            over: The claim that was found and judged to be over; None where there was none.

        Returns:
            None if somebody else began an epoch in the meantime.
        """

        def work(connection: sa.Connection) -> Claim | None:
            locked = sa.select(nodes.c.epoch).where(nodes.c.node_id == node_id).with_for_update()
            epoch: int | None = connection.execute(locked).scalar()
            if epoch != (None if over is None else over.epoch):
                return None
            values = {"role": role.value, "place": place, "address": "", "lease_until": _until(lease_s)}
            if epoch is None:
                connection.execute(nodes.insert().values(node_id=node_id, epoch=1, **values))
                return Claim(node_id, 1)
            update = nodes.update().where(nodes.c.node_id == node_id)
            connection.execute(update.values(epoch=epoch + 1, **values))
            return Claim(node_id, epoch + 1)

        return await self._database.write(work)

    async def renew(self, claim: Claim, lease_s: float, address: str) -> bool:
        """Let the lease last from now on, and say where the node is reached; False if the epoch has moved on."""
        update = nodes.update().where(nodes.c.node_id == claim.node_id, nodes.c.epoch == claim.epoch)
        update = update.values(lease_until=_until(lease_s), address=address)
        return await self._database.write(lambda connection: connection.execute(update).rowcount == 1)

    async def leave(self, claim: Claim) -> None:
        """End the lease: the node goes down in order. Nothing happens if the epoch has moved on."""
        update = nodes.update().where(nodes.c.node_id == claim.node_id, nodes.c.epoch == claim.epoch)
        await self._database.write(lambda connection: connection.execute(update.values(lease_until=0, address="")))

    async def fence(self, node_id: str) -> bool:
        """Begin a new epoch of a node whose lease is over, with nobody in it: what it had may be taken from it.

        Returns:
            False if its lease runs.
        """
        over = nodes.c.lease_until <= DatabaseNow()
        update = nodes.update().where(nodes.c.node_id == node_id, over).values(epoch=nodes.c.epoch + 1, address="")
        return await self._database.write(lambda connection: connection.execute(update).rowcount == 1)


def check_claim(connection: sa.Connection, claim: Claim) -> None:
    """Let a transaction go on only while the claim is its node's newest; the claim stays so until it ends.

    Raises:
        Conflict: NODE_FENCED.
    """
    epoch: int | None = connection.execute(_EPOCH, {"this_node": claim.node_id}).scalar()
    if epoch != claim.epoch:
        raise fenced(claim)


def fenced(claim: Claim) -> Conflict:
    """Make the refusal of a node that another one has taken the place of."""
    return Conflict(
        Reason.NODE_FENCED,
        f"node {claim.node_id} is past epoch {claim.epoch}: its lease was over and others finish its recordings",
        details={"node_id": claim.node_id, "epoch": str(claim.epoch)},
        retry_after_s=1.0,
    )


def _until(lease_s: float) -> sa.ColumnElement[int]:
    return DatabaseNow() + round(lease_s * _MICROSECONDS)


def _found(connection: sa.Connection, node_id: str) -> NodeState | None:
    row: Any = connection.execute(_FIND, {"this_node": node_id}).first()
    if row is None:
        return None
    return NodeState(Claim(row.node_id, row.epoch), row.address, row.place, row.lease_left / _MICROSECONDS)

"""Chooses which due deliveries go first, fairly among applications and endpoints."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from recorder_service.catalog.delivery_rows import lane_endpoint
from recorder_service.catalog.tables import deliveries
from recorder_service.domain.delivery import DeliveryState


def lane_heads(now: datetime, lane_limit: int, *, lateral: bool) -> sa.Select[tuple[str, UUID]]:
    """Ask for the first `lane_limit` due deliveries of each lane.

    The lanes are found by stepping from one to the next in the index, and each lane's first rows likewise, so the cost
    follows the number of lanes and not the length of their queues.

    Args:
        now: What was due then.
        lane_limit: Most of one lane.
        lateral: Whether to ask with LATERAL, which SQLite does not know and without which PostgreSQL reads the table
            once a lane.
    """
    pending = deliveries.c.state == DeliveryState.PENDING.value
    first = sa.select(sa.func.min(deliveries.c.lane).label("lane")).where(pending)
    lanes = first.cte("lanes", recursive=True)
    following = sa.select(sa.func.min(deliveries.c.lane)).where(pending, deliveries.c.lane > lanes.c.lane)
    lanes = lanes.union_all(sa.select(following.correlate(lanes).scalar_subquery()).where(lanes.c.lane.is_not(None)))
    queue = deliveries.alias("queue")
    heads = (
        sa.select(queue.c.lane, queue.c.delivery_id, queue.c.due_time)
        .where(queue.c.state == DeliveryState.PENDING.value, queue.c.lane == lanes.c.lane, queue.c.due_time <= now)
        .order_by(queue.c.due_time)
        .limit(lane_limit)
        .correlate(lanes)
    )
    if lateral:
        head = heads.lateral("head")
        joined = sa.select(head.c.lane, head.c.delivery_id).select_from(lanes.join(head, sa.true()))
        return joined.order_by(head.c.due_time)
    ids = heads.with_only_columns(queue.c.delivery_id)
    return (
        sa.select(deliveries.c.lane, deliveries.c.delivery_id)
        .select_from(lanes.join(deliveries, deliveries.c.delivery_id.in_(ids)))
        .order_by(deliveries.c.due_time)
    )


def share_out(
    heads: Iterable[tuple[str, UUID]], limit: int, endpoint_limit: int, busy_endpoints: frozenset[str]
) -> list[UUID]:
    """Choose in rounds: the first of every lane, then the second of every lane, each in the order they came."""
    turns: Counter[str] = Counter()
    ordered = []
    for place, (lane, delivery_id) in enumerate(heads):
        ordered.append((turns[lane], place, lane_endpoint(lane), delivery_id))
        turns[lane] += 1
    taken: Counter[str] = Counter()
    chosen: list[UUID] = []
    for _, _, endpoint, delivery_id in sorted(ordered):
        if len(chosen) < limit and taken[endpoint] < endpoint_limit and endpoint not in busy_endpoints:
            taken[endpoint] += 1
            chosen.append(delivery_id)
    return chosen

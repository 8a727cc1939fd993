"""Sharing out the slots of one batch."""

import uuid
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from recorder_service.catalog.picker import share_out

LANES = st.lists(st.sampled_from(["a https://x:443", "b https://x:443", "a https://y:443", "c https://z:80"]))


@given(LANES, st.integers(0, 20), st.integers(1, 5))
def test_no_endpoint_takes_more_than_its_share(lanes: list[str], limit: int, endpoint_limit: int) -> None:
    """Neither the batch nor any endpoint is over its limit, nothing is chosen twice, and no slot is left unused."""
    heads = [(lane, uuid.uuid4()) for lane in lanes]
    chosen = share_out(heads, limit, endpoint_limit, frozenset())
    endpoint_of = {identity: lane.split(" ")[1] for lane, identity in heads}
    taken = Counter(endpoint_of[identity] for identity in chosen)
    assert len(set(chosen)) == len(chosen)
    assert all(count <= endpoint_limit for count in taken.values())
    room = sum(min(count, endpoint_limit) for count in Counter(endpoint_of.values()).values())
    assert len(chosen) == min(limit, room)


def test_lanes_take_turns() -> None:
    """The second of a busy lane comes after the first of every other."""
    first, second, other = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    heads = [("a https://x:443", first), ("a https://x:443", second), ("b https://y:443", other)]
    assert share_out(heads, 10, 10, frozenset()) == [first, other, second]


def test_busy_endpoint_gets_nothing() -> None:
    """An endpoint that is named as busy is passed over."""
    assert share_out([("a https://x:443", uuid.uuid4())], 10, 10, frozenset({"https://x:443"})) == []

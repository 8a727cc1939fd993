"""Names of conferences: one node has one at a time, and it finds its streams from anywhere."""

import asyncio
from functools import partial
from uuid import UUID, uuid4

import pytest

from recorder_service.catalog.catalog import Catalog
from recorder_service.catalog.nodes import check_claim
from recorder_service.domain.conference_name import ConferenceName, Hold
from recorder_service.domain.node import Claim, Role
from recorder_service.errors import BadInput, Conflict, Reason

TENANT = uuid4()


async def started(catalog: Catalog, node_id: str, lease_s: float = 60, over: Claim | None = None) -> Claim:
    claim = await catalog.nodes.take(node_id, Role.ALL, "here", lease_s, over=over)
    assert claim is not None
    return claim


def a_hold(name: str = "room", application_id: UUID = TENANT, conversation_id: str = "") -> Hold:
    return Hold(uuid4(), ConferenceName(application_id, name), conversation_id or f"CON-{uuid4()}")


async def take(catalog: Catalog, claim: Claim, hold: Hold, *streams: UUID, inherit: bool = True) -> str:
    return await catalog.conferences.take(claim, hold, streams, inherit=inherit)


async def test_name_is_the_first_nodes_until_it_is_released(catalog: Catalog) -> None:
    """The second is told who has it; afterwards it gets it."""
    first, second = await started(catalog, "node-1"), await started(catalog, "node-2")
    hold = a_hold()
    assert await take(catalog, first, hold) == "node-1"
    assert await take(catalog, first, hold) == "node-1"
    assert await take(catalog, second, a_hold()) == "node-1"
    await catalog.conferences.release(hold.hold_id)
    assert await take(catalog, second, a_hold()) == "node-2"


@pytest.mark.parametrize("nodes", [2, 8])
async def test_of_nodes_that_join_at_the_same_instant_one_gets_the_name(catalog: Catalog, nodes: int) -> None:
    """All of them hear the same answer, time after time."""
    claims = [await started(catalog, f"node-{number}") for number in range(nodes)]
    for turn in range(10):
        owners = await asyncio.gather(*(take(catalog, claim, a_hold(f"room {turn}")) for claim in claims))
        assert len(set(owners)) == 1, owners


async def test_stream_and_conversation_name_their_node_to_their_own_application(catalog: Catalog) -> None:
    """Another application's are not found; after the end nobody's are."""
    claim, stream, hold = await started(catalog, "node-1"), uuid4(), a_hold()
    await take(catalog, claim, hold, stream)
    found = catalog.conferences
    for application_id in (TENANT, None):
        assert await found.node_of_stream(stream, application_id) == "node-1"
        assert await found.node_of_conversation(hold.conversation_id, application_id) == "node-1"
    assert await found.node_of_stream(stream, uuid4()) is None
    assert await found.node_of_conversation(hold.conversation_id, uuid4()) is None
    await found.release(hold.hold_id)
    assert await found.node_of_stream(stream, None) is None
    assert await found.node_of_conversation(hold.conversation_id, None) is None


async def test_applications_have_names_and_streams_of_their_own(catalog: Catalog) -> None:
    """The same name and the same stream id twice are two conferences."""
    first, second = await started(catalog, "node-1"), await started(catalog, "node-2")
    stream, stranger = uuid4(), uuid4()
    await take(catalog, first, a_hold(), stream)
    assert await take(catalog, second, a_hold(application_id=stranger), stream) == "node-2"
    assert await catalog.conferences.node_of_stream(stream, TENANT) == "node-1"
    assert await catalog.conferences.node_of_stream(stream, stranger) == "node-2"


async def test_name_of_a_node_whose_lease_is_over_is_inherited_with_nothing_of_its_streams(catalog: Catalog) -> None:
    """Not while the lease runs, and not by a node that cannot know whether the owner only could not renew it."""
    second = await started(catalog, "node-2")
    first = await started(catalog, "node-1")
    stream, hold = uuid4(), a_hold()
    await take(catalog, first, hold, stream)
    assert await take(catalog, second, a_hold()) == "node-1"
    await catalog.nodes.leave(first)
    assert await take(catalog, second, a_hold(), inherit=False) == "node-1"
    assert await take(catalog, second, a_hold()) == "node-2"
    assert await catalog.conferences.node_of_stream(stream, None) is None
    # What the former owner frees too late is not its any more.
    await catalog.conferences.release(hold.hold_id)
    assert await take(catalog, first, a_hold()) == "node-2"


async def test_name_is_kept_for_a_node_that_goes_down_to_come_back(catalog: Catalog) -> None:
    """As long as it said, though its lease is over."""
    first, second = await started(catalog, "node-1"), await started(catalog, "node-2")
    await take(catalog, first, a_hold())
    await catalog.conferences.keep(first, 0.3)
    await catalog.nodes.leave(first)
    assert await take(catalog, second, a_hold()) == "node-1"
    await asyncio.sleep(0.3)
    assert await take(catalog, second, a_hold()) == "node-2"


async def test_restarted_node_has_the_names_it_brought_back_and_no_others(catalog: Catalog) -> None:
    """What another took meanwhile stays the other's; what was not brought back is free."""
    old, other = await started(catalog, "node-1"), await started(catalog, "node-2")
    stream, late = uuid4(), uuid4()
    back, lost, gone = a_hold("back"), a_hold("lost"), a_hold("gone")
    await take(catalog, old, back, stream, late)
    await take(catalog, old, lost)
    await take(catalog, old, gone)
    await catalog.nodes.leave(old)
    assert await take(catalog, other, a_hold("lost")) == "node-2"
    new = await started(catalog, "node-1", over=old)
    again = {a_hold("back", conversation_id=back.conversation_id): [stream], a_hold("lost"): [uuid4()]}
    taken = await catalog.conferences.take_again(new, again)
    assert {hold.name.name for hold in taken} == {"lost"}
    assert await take(catalog, other, a_hold("back")) == "node-1"
    assert await take(catalog, other, a_hold("gone")) == "node-2"
    assert await catalog.conferences.node_of_stream(stream, TENANT) == "node-1"
    assert await catalog.conferences.node_of_stream(late, TENANT) is None


async def test_stale_epoch_takes_no_name(catalog: Catalog) -> None:
    """The guard of its node is asked in the same transaction."""
    old = await started(catalog, "node-1")
    await started(catalog, "node-1", over=old)
    stale = catalog.conferences.guarded(partial(check_claim, claim=old))
    with pytest.raises(Conflict) as refused:
        await stale.take(old, a_hold(), [], inherit=True)
    assert refused.value.reason is Reason.NODE_FENCED


async def test_conversation_id_is_one_conferences_alone(catalog: Catalog) -> None:
    """Wherever the other one is; another application may use it."""
    first, second = await started(catalog, "node-1"), await started(catalog, "node-2")
    hold = a_hold()
    await take(catalog, first, hold)
    with pytest.raises(BadInput, match="conversation_id"):
        await take(catalog, second, a_hold("another", conversation_id=hold.conversation_id))
    same = a_hold("another", uuid4(), conversation_id=hold.conversation_id)
    assert await take(catalog, second, same) == "node-2"


async def test_names_of_nodes_that_are_long_gone_are_removed(catalog: Catalog) -> None:
    """Those of a node that lives, or was here a moment ago, stay."""
    first, second = await started(catalog, "node-1"), await started(catalog, "node-2", lease_s=0.01)
    old, new = a_hold("old"), a_hold("new")
    await take(catalog, first, new)
    await take(catalog, second, old, uuid4())
    await asyncio.sleep(0.05)
    await catalog.conferences.purge(60)
    assert await catalog.conferences.node_of_conversation(old.conversation_id, None) == "node-2"
    await catalog.conferences.purge(0)
    assert await catalog.conferences.node_of_conversation(old.conversation_id, None) is None
    assert await catalog.conferences.node_of_conversation(new.conversation_id, None) == "node-1"

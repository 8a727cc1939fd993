"""Nodes: one claim at a time counts, and a stale owner writes nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

import pytest
from tests.contract.catalog.values import NOW, RUNNING, a_delivery, a_recording, stopped

from recorder_service.catalog.catalog import Catalog
from recorder_service.catalog.filters import EventFilter
from recorder_service.catalog.nodes import check_claim
from recorder_service.catalog.recordings import Recordings
from recorder_service.domain.application import Application
from recorder_service.domain.event import EventType, KeyPress
from recorder_service.domain.node import Claim, Role
from recorder_service.domain.recording import Recording
from recorder_service.errors import Conflict, Reason


async def take(catalog: Catalog, over: Claim | None = None, lease_s: float = 60) -> Claim:
    claim = await catalog.nodes.take("node-1", Role.ALL, "here", lease_s, over=over)
    assert claim is not None
    return claim


def owned(catalog: Catalog, claim: Claim) -> Recordings:
    return catalog.recordings.guarded(partial(check_claim, claim=claim))


async def test_unknown_node_is_none(catalog: Catalog) -> None:
    """Nothing is known before the first start."""
    assert await catalog.nodes.find("node-1") is None


async def test_epoch_grows_with_every_start(catalog: Catalog) -> None:
    """The first is 1; role, place and lease are those of the newest start."""
    first = await take(catalog)
    second = await take(catalog, over=first)
    assert (first.epoch, second.epoch) == (1, 2)
    state = await catalog.nodes.find("node-1")
    assert state is not None
    assert (state.claim, state.place, state.address) == (second, "here", "")
    assert 55 < state.lease_left_s <= 60


async def test_of_many_that_start_at_once_one_gets_the_epoch(catalog: Catalog) -> None:
    """The others are told that somebody was faster."""
    over: Claim | None = None
    for _ in range(3):
        took = [catalog.nodes.take("node-1", Role.ALL, "here", 60, over=over) for _ in range(8)]
        claims = [claim for claim in await asyncio.gather(*took) if claim is not None]
        assert len(claims) == 1
        over = claims[0]


async def test_renewal_moves_the_lease_and_tells_the_address(catalog: Catalog) -> None:
    """Time runs by the database's clock."""
    claim = await take(catalog, lease_s=0.01)
    await asyncio.sleep(0.02)
    state = await catalog.nodes.find("node-1")
    assert state is not None
    assert not state.alive
    assert await catalog.nodes.renew(claim, 60, "127.0.0.1:7")
    state = await catalog.nodes.find("node-1")
    assert state is not None
    assert state.alive
    assert state.address == "127.0.0.1:7"


async def test_stale_epoch_neither_renews_nor_leaves(catalog: Catalog) -> None:
    """What an old run does to its lease changes nothing for the new one."""
    old = await take(catalog)
    new = await take(catalog, over=old)
    assert not await catalog.nodes.renew(old, 60, "elsewhere")
    await catalog.nodes.leave(old)
    state = await catalog.nodes.find("node-1")
    assert state is not None
    assert (state.claim, state.alive, state.address) == (new, True, "")
    await catalog.nodes.leave(new)
    state = await catalog.nodes.find("node-1")
    assert state is not None
    assert not state.alive


async def test_only_a_lease_that_is_over_can_be_fenced(catalog: Catalog) -> None:
    """After it the former owner can neither renew nor write."""
    claim = await take(catalog)
    assert not await catalog.nodes.fence("node-1")
    await catalog.nodes.leave(claim)
    assert await catalog.nodes.fence("node-1")
    assert not await catalog.nodes.renew(claim, 60, "")


Write = Callable[[Recordings, Recording], Awaitable[object]]


async def _begin(recordings: Recordings, recording: Recording) -> object:
    return await recordings.begin(a_recording(recording.application_id))


async def _change(recordings: Recordings, recording: Recording) -> object:
    return await recordings.change(stopped(recording), EventType.RECORDING_STOPPED, expect=RUNNING, time=NOW)


async def _finish(recordings: Recordings, recording: Recording) -> object:
    delivery = a_delivery(recording)
    changed = replace(stopped(recording), end_time=NOW)
    return await recordings.change(
        changed, EventType.RECORDING_STOPPED, expect=RUNNING, time=NOW, event_id=delivery.event_id, delivery=delivery
    )


async def _press(recordings: Recordings, recording: Recording) -> object:
    press = KeyPress("a", "1", 0, None)
    return await recordings.append_event(recording.recording_id, EventType.DTMF, time=NOW, key_press=press)


@pytest.mark.parametrize("write", [_begin, _change, _finish, _press])
async def test_stale_owner_writes_nothing(catalog: Catalog, application: Application, write: Write) -> None:
    """Recording, event, count and webhook stay as they were; the owner of the new epoch writes."""
    old = await take(catalog)
    recording = a_recording(application.application_id)
    await owned(catalog, old).begin(recording)
    new = await take(catalog, over=old)
    with pytest.raises(Conflict) as refused:
        await write(owned(catalog, old), recording)
    assert refused.value.reason is Reason.NODE_FENCED
    everything = EventFilter(application_id=application.application_id)
    assert len((await catalog.events.since(0, everything, 10)).events) == 1
    assert (await catalog.recordings.get(recording.recording_id, None)).event_count == 1
    assert (await catalog.deliveries.next_due_time()) is None
    await write(owned(catalog, new), recording)
    assert len((await catalog.events.since(0, everything, 10)).events) == 2


async def test_fence_and_writes_that_race_leave_no_stale_write_behind_it(
    catalog: Catalog, application: Application
) -> None:
    """Everything the old epoch wrote was committed before the new one began."""
    old = await take(catalog)
    recording = a_recording(application.application_id)
    await owned(catalog, old).begin(recording)

    async def press() -> bool:
        try:
            await _press(owned(catalog, old), recording)
        except Conflict:
            return False
        return True

    async def fence() -> int:
        new = await take(catalog, over=old)
        told = await owned(catalog, new).append_event(recording.recording_id, EventType.DTMF, time=NOW)
        return told.recording.event_count

    writes = [asyncio.create_task(press()) for _ in range(20)]
    seen = await fence()
    written = sum(await asyncio.gather(*writes))
    last = (await catalog.recordings.get(recording.recording_id, None)).event_count
    assert last == seen == 1 + written + 1

"""The feed misses nothing, whoever reads it and wherever they come back."""

import asyncio
import random
import uuid
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.contract.catalog.values import NOW, RUNNING, a_recording, an_application, stopped

from recorder_service.catalog import events as events_module
from recorder_service.catalog.catalog import Catalog
from recorder_service.catalog.filters import EventFilter
from recorder_service.domain.application import Application
from recorder_service.domain.event import Event, EventType, KeyPress
from recorder_service.domain.recording import RecordingState
from recorder_service.errors import BadInput, Reason

WRITERS = 8
ROUNDS = 12


async def write_recordings(catalog: Catalog, application: Application, rounds: int) -> None:
    """Tell three events of each of `rounds` recordings."""
    for _ in range(rounds):
        recording = a_recording(application.application_id)
        await catalog.recordings.begin(recording)
        await catalog.recordings.append_event(
            recording.recording_id, EventType.DTMF, time=NOW, key_press=KeyPress("a", "1", 5)
        )
        await catalog.recordings.change(stopped(recording), EventType.RECORDING_STOPPED, expect=RUNNING, time=NOW)


async def follow(catalog: Catalog, seed: int, wanted: int) -> list[tuple[uuid.UUID, int]]:
    """Read `wanted` events, coming back by cursor text at random."""
    choice = random.Random(seed)
    seen: list[tuple[uuid.UUID, int]] = []
    cursor = catalog.events.cursor(0)
    while len(seen) < wanted:
        position = await catalog.events.position_of(cursor)
        count = catalog.events.changed.count
        batch = await catalog.events.since(position, EventFilter(), choice.randint(1, 40))
        # A subscriber that fell over after some of the events comes back behind the last one it dealt with.
        kept = choice.randint(1, len(batch.events)) if batch.events and choice.random() < 0.5 else len(batch.events)
        seen += [(event.recording.recording_id, event.recording_sequence) for event in batch.events[:kept]]
        place = batch.position if kept == len(batch.events) else batch.events[kept - 1].position
        cursor = catalog.events.cursor(place)
        if batch.complete and kept == len(batch.events) and len(seen) < wanted:
            assert await catalog.events.changed.wait(count, timeout_s=10), "a commit woke nobody"
    return seen


async def test_followers_miss_nothing_while_eight_tasks_write(catalog: Catalog, application: Application) -> None:
    """Followers that resume at random get every event once, each recording's in order, with eight tasks writing."""
    total = WRITERS * ROUNDS * 3
    async with asyncio.TaskGroup() as group:
        followers = [group.create_task(follow(catalog, seed, total)) for seed in range(3)]
        for _ in range(WRITERS):
            group.create_task(write_recordings(catalog, application, ROUNDS))
    for follower in followers:
        seen = follower.result()
        assert len(seen) == len(set(seen)) == total
        by_recording: dict[uuid.UUID, list[int]] = {}
        for recording_id, number in seen:
            by_recording.setdefault(recording_id, []).append(number)
        assert all(numbers == [1, 2, 3] for numbers in by_recording.values())


async def test_feed_is_filtered_and_moves_past_what_does_not_match(catalog: Catalog, application: Application) -> None:
    """Application, type, recording and conversation narrow the feed; the position passes over the rest."""
    other = an_application("Other")
    await catalog.applications.create(other)
    mine = a_recording(application.application_id, conversation_id="CON-A")
    theirs = a_recording(other.application_id, conversation_id="CON-B")
    told = [
        await catalog.recordings.begin(mine),
        await catalog.recordings.begin(theirs),
        await catalog.recordings.change(stopped(mine), EventType.RECORDING_STOPPED, expect=RUNNING, time=NOW),
    ]
    for criteria, numbers in (
        (EventFilter(application_id=application.application_id), [1, 3]),
        (EventFilter(application_id=other.application_id), [2]),
        (EventFilter(types=frozenset({EventType.RECORDING_STOPPED})), [3]),
        (EventFilter(recording_id=theirs.recording_id), [2]),
        (EventFilter(conversation_id="CON-A"), [1, 3]),
        (EventFilter(application_id=other.application_id, conversation_id="CON-A"), []),
    ):
        batch = await catalog.events.since(0, criteria, 10)
        assert list(batch.events) == [told[number - 1] for number in numbers]
        assert (batch.position, batch.complete) == (told[-1].position, True)


async def test_full_batch_goes_on_behind_its_last_event(catalog: Catalog, application: Application) -> None:
    """A batch cut by its limit says there may be more, and the next one begins there."""
    await write_recordings(catalog, application, 2)
    first = await catalog.events.since(0, EventFilter(), 4)
    assert (len(first.events), first.position, first.complete) == (4, first.events[-1].position, False)
    rest = await catalog.events.since(first.position, EventFilter(), 4)
    assert ([event.recording_sequence for event in rest.events], rest.complete) == ([2, 3], True)


async def test_long_stretch_is_looked_at_in_parts(
    catalog: Catalog, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A filter that matches only the newest event finds it, one span after the other."""
    monkeypatch.setattr(events_module, "_SPAN", 5)
    await write_recordings(catalog, application, 7)
    last = await catalog.recordings.begin(a_recording(application.application_id, conversation_id="CON-LAST"))
    position, parts = 0, 0
    found: list[Event] = []
    while True:
        batch = await catalog.events.since(position, EventFilter(conversation_id="CON-LAST"), 10)
        position, parts = batch.position, parts + 1
        found += batch.events
        if batch.complete:
            break
    assert (found, parts, position) == ([last], 5, last.position)


async def test_positions_of_the_feed(catalog: Catalog, application: Application) -> None:
    """The oldest and the newest position enclose what is kept; an empty feed begins and ends at 0."""
    assert (await catalog.events.oldest_position(), await catalog.events.last_position()) == (0, 0)
    await write_recordings(catalog, application, 1)
    newest = (await catalog.events.since(0, EventFilter(), 5)).events[-1].position
    assert (await catalog.events.oldest_position(), await catalog.events.last_position()) == (0, newest)
    assert (await catalog.events.since(newest, EventFilter(), 5)).events == ()


async def test_purge_expires_cursors_before_it_only(catalog: Catalog, application: Application) -> None:
    """Old events go; a cursor that would miss one is refused, one behind them is good; positions never come again."""
    told = [
        await catalog.recordings.begin(
            a_recording(application.application_id, start_time=NOW + timedelta(minutes=minute))
        )
        for minute in range(4)
    ]
    places = [event.position for event in told]
    assert await catalog.events.purge(NOW + timedelta(minutes=2)) == 2
    with pytest.raises(BadInput) as caught:
        await catalog.events.position_of(catalog.events.cursor(places[0]))
    assert caught.value.reason is Reason.CURSOR_EXPIRED
    with pytest.raises(BadInput) as reading:
        await catalog.events.since(places[0], EventFilter(), 10)
    assert reading.value.reason is Reason.CURSOR_EXPIRED
    position = await catalog.events.position_of(catalog.events.cursor(places[1]))
    assert [event.position for event in (await catalog.events.since(position, EventFilter(), 10)).events] == places[2:]
    assert await catalog.events.oldest_position() == places[1]
    assert await catalog.events.purge(NOW + timedelta(days=1)) == 2
    assert (await catalog.events.oldest_position(), await catalog.events.last_position()) == (places[3], places[3])
    event = await catalog.recordings.begin(a_recording(application.application_id))
    assert event.position > places[3]
    assert (await catalog.events.since(places[3], EventFilter(), 10)).events == (event,)


async def test_purge_stops_at_the_first_event_to_keep(catalog: Catalog, application: Application) -> None:
    """An event with an early time behind a later one stays: what is kept has no holes."""
    for minute in (5, 0, 6):
        await catalog.recordings.begin(
            a_recording(application.application_id, start_time=NOW + timedelta(minutes=minute))
        )
    assert await catalog.events.purge(NOW + timedelta(minutes=3)) == 0
    assert len((await catalog.events.since(0, EventFilter(), 10)).events) == 3


async def test_cursor_of_elsewhere_is_refused(catalog: Catalog, tmp_path: object) -> None:
    """Nonsense, another database's cursor and a place the feed never reached are no cursors."""
    other = await Catalog.open(f"sqlite:///{tmp_path}/other.db")
    foreign = other.events.cursor(0)
    await other.aclose()
    for cursor in ("", "x", "nonsense", "é", foreign, catalog.events.cursor(1)):
        with pytest.raises(BadInput) as caught:
            await catalog.events.position_of(cursor)
        assert caught.value.reason is Reason.INVALID_CURSOR


async def test_cursor_outlives_a_restart(catalog: Catalog, application: Application, catalog_url: str) -> None:
    """A cursor is good after the catalog was closed and opened again."""
    event = await catalog.recordings.begin(a_recording(application.application_id))
    cursor = catalog.events.cursor(event.position)
    again = await Catalog.open(catalog_url)
    assert await again.events.position_of(cursor) == event.position
    await again.aclose()


async def test_every_waiter_is_woken_by_a_commit(catalog: Catalog, application: Application) -> None:
    """A hundred subscribers that wait are all woken by one event."""
    count = catalog.events.changed.count
    waiters = [asyncio.create_task(catalog.events.changed.wait(count, timeout_s=5)) for _ in range(100)]
    await asyncio.sleep(0)
    await catalog.recordings.begin(a_recording(application.application_id))
    assert all(await asyncio.gather(*waiters))


async def test_snapshot_stays_as_it_was(catalog: Catalog, application: Application) -> None:
    """An event goes on showing the recording as it stood then."""
    recording = a_recording(application.application_id)
    await catalog.recordings.begin(recording)
    await catalog.recordings.change(
        replace(recording, state=RecordingState.PAUSED), EventType.RECORDING_PAUSED, expect=RUNNING, time=NOW
    )
    await catalog.recordings.change(stopped(recording), EventType.RECORDING_STOPPED, expect=RUNNING, time=NOW)
    batch = await catalog.events.since(0, EventFilter(), 10)
    assert [event.recording.state.value for event in batch.events] == ["recording", "paused", "finishing"]

"""Recordings and their events change together."""

import asyncio
import uuid
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy.exc
from tests.contract.catalog.values import NOW, RUNNING, a_delivery, a_recording, an_application, completed, stopped

from recorder_service.catalog.catalog import Catalog
from recorder_service.catalog.filters import DeliveryFilter, EventFilter, RecordingFilter
from recorder_service.domain.application import Application
from recorder_service.domain.event import Event, EventType, KeyPress
from recorder_service.domain.recording import Recording, RecordingState
from recorder_service.errors import BadInput, Conflict, NotFound, Reason

FINISHING = frozenset({RecordingState.FINISHING})


async def told(catalog: Catalog) -> tuple[Event, ...]:
    return (await catalog.events.since(0, EventFilter(), 1000)).events


async def finish(catalog: Catalog, recording: Recording) -> Recording:
    done = completed(recording)
    await catalog.recordings.change(done, EventType.RECORDING_COMPLETED, expect=RUNNING, time=NOW)
    return done


async def test_begun_recording_is_stored_and_told(catalog: Catalog, application: Application) -> None:
    """Begin stores the whole value and tells one event, number 1, holding it."""
    recording = a_recording(application.application_id)
    event = await catalog.recordings.begin(recording)
    stored = await catalog.recordings.get(recording.recording_id, application.application_id)
    assert stored == replace(recording, event_count=1) == event.recording
    assert await told(catalog) == (event,)
    assert (event.type, event.recording_sequence) == (EventType.RECORDING_STARTED, 1)
    assert event.position > 0


async def test_recording_id_is_taken_once(catalog: Catalog, application: Application) -> None:
    """A second begin with the same id is refused, for another application too, and tells nothing."""
    recording = a_recording(application.application_id)
    await catalog.recordings.begin(recording)
    other = an_application("Other")
    await catalog.applications.create(other)
    for again in (recording, replace(recording, application_id=other.application_id)):
        with pytest.raises(Conflict) as caught:
            await catalog.recordings.begin(again)
        assert caught.value.reason is Reason.RECORDING_EXISTS
    assert len(await told(catalog)) == 1


async def test_recording_needs_its_application(catalog: Catalog) -> None:
    """A recording of no application is refused."""
    with pytest.raises(NotFound) as caught:
        await catalog.recordings.begin(a_recording(uuid.uuid4()))
    assert caught.value.reason is Reason.APPLICATION_NOT_FOUND


async def test_change_stores_state_event_and_delivery(catalog: Catalog, application: Application) -> None:
    """One change writes the new value, its event with the value as it then stood, and the webhook."""
    recording = a_recording(application.application_id)
    await catalog.recordings.begin(recording)
    done = completed(recording)
    delivery = a_delivery(recording)
    event = await catalog.recordings.change(
        done, EventType.RECORDING_COMPLETED, expect=RUNNING, time=NOW, delivery=delivery
    )
    assert event.event_id == delivery.event_id
    assert event.recording == replace(done, event_count=2)
    assert await catalog.recordings.get(recording.recording_id, None) == event.recording
    assert await catalog.deliveries.get(delivery.delivery_id, None) == delivery
    assert (await told(catalog))[-1] == event


async def test_failing_delivery_undoes_state_and_event(catalog: Catalog, application: Application) -> None:
    """A webhook row that cannot be inserted leaves neither the new state nor the event."""
    first, second = a_recording(application.application_id), a_recording(application.application_id)
    await catalog.recordings.begin(first)
    await catalog.recordings.begin(second)
    taken = a_delivery(first)
    await catalog.recordings.change(
        stopped(first), EventType.RECORDING_STOPPED, expect=RUNNING, time=NOW, delivery=taken
    )
    before = await told(catalog)
    clash = replace(a_delivery(second), delivery_id=taken.delivery_id)
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        await catalog.recordings.change(
            stopped(second), EventType.RECORDING_STOPPED, expect=RUNNING, time=NOW, delivery=clash
        )
    stored = await catalog.recordings.get(second.recording_id, None)
    assert (stored.state, stored.event_count) == (RecordingState.RECORDING, 1)
    assert await told(catalog) == before


async def test_repeated_event_id_changes_nothing(catalog: Catalog, application: Application) -> None:
    """A change repeated with its event id returns the first event; state, feed and outbox stay as they are."""
    recording = a_recording(application.application_id)
    await catalog.recordings.begin(recording)
    delivery = a_delivery(recording)
    done = completed(recording)
    first = await catalog.recordings.change(
        done, EventType.RECORDING_COMPLETED, expect=RUNNING, time=NOW, delivery=delivery
    )
    again = await catalog.recordings.change(
        replace(done, failure="other"), EventType.RECORDING_FAILED, expect=RUNNING, time=NOW, event_id=first.event_id
    )
    assert again == first
    assert len(await told(catalog)) == 2
    assert (await catalog.recordings.get(recording.recording_id, None)).failure == ""
    assert len((await catalog.deliveries.list(DeliveryFilter())).items) == 1


async def test_same_event_at_once_is_told_once(catalog: Catalog, application: Application) -> None:
    """Ten changes with one event id at the same time tell one event."""
    recording = a_recording(application.application_id)
    await catalog.recordings.begin(recording)
    identity = uuid.uuid4()
    changes = (
        catalog.recordings.change(
            stopped(recording), EventType.RECORDING_STOPPED, expect=RUNNING, time=NOW, event_id=identity
        )
        for _ in range(10)
    )
    assert len({event.position for event in await asyncio.gather(*changes)}) == 1
    assert len(await told(catalog)) == 2


async def test_unexpected_state_is_named(catalog: Catalog, application: Application) -> None:
    """A change from a state that is not expected is refused, naming the stored state."""
    recording = a_recording(application.application_id)
    await catalog.recordings.begin(recording)
    with pytest.raises(Conflict) as running:
        await catalog.recordings.change(completed(recording), EventType.RECORDING_DELETED, expect=FINISHING, time=NOW)
    await finish(catalog, recording)
    with pytest.raises(Conflict) as ended:
        await catalog.recordings.change(stopped(recording), EventType.RECORDING_STOPPED, expect=RUNNING, time=NOW)
    assert (running.value.reason, running.value.details["state"]) == (Reason.RECORDING_LIVE, "recording")
    assert (ended.value.reason, ended.value.details["state"]) == (Reason.RECORDING_NOT_LIVE, "available")


async def test_change_of_missing_or_foreign_recording_is_not_found(catalog: Catalog, application: Application) -> None:
    """A recording that does not exist and one of another application are answered alike."""
    recording = a_recording(application.application_id)
    await catalog.recordings.begin(recording)
    for unknown in (a_recording(application.application_id), replace(recording, application_id=uuid.uuid4())):
        with pytest.raises(NotFound) as caught:
            await catalog.recordings.change(stopped(unknown), EventType.RECORDING_STOPPED, expect=RUNNING, time=NOW)
        assert caught.value.reason is Reason.RECORDING_NOT_FOUND


async def test_delivery_of_another_event_is_refused(catalog: Catalog, application: Application) -> None:
    """A webhook that tells of another event than the change is a mistake of the caller."""
    recording = a_recording(application.application_id)
    await catalog.recordings.begin(recording)
    with pytest.raises(ValueError, match="another event"):
        await catalog.recordings.change(
            stopped(recording),
            EventType.RECORDING_STOPPED,
            expect=RUNNING,
            time=NOW,
            event_id=uuid.uuid4(),
            delivery=a_delivery(recording),
        )


async def test_events_are_numbered_by_the_database(catalog: Catalog, application: Application) -> None:
    """Events of one recording told at once, from stale values, are numbered without holes."""
    recording = a_recording(application.application_id)
    await catalog.recordings.begin(recording)
    keys = (
        catalog.recordings.append_event(
            recording.recording_id, EventType.DTMF, time=NOW, key_press=KeyPress("a", "5", 16_000, 80)
        )
        for _ in range(20)
    )
    pauses = (
        catalog.recordings.change(
            replace(recording, state=RecordingState.PAUSED), EventType.RECORDING_PAUSED, expect=RUNNING, time=NOW
        )
        for _ in range(5)
    )
    await asyncio.gather(*keys, *pauses)
    numbers = [event.recording_sequence for event in await told(catalog)]
    assert numbers == list(range(1, 27))
    assert (await catalog.recordings.get(recording.recording_id, None)).event_count == 26


async def test_key_press_is_told_and_changes_nothing(catalog: Catalog, application: Application) -> None:
    """A key press is in the feed with its recording as it stands; repeated by id it is told once."""
    recording = a_recording(application.application_id)
    await catalog.recordings.begin(recording)
    press = KeyPress("a", "#", 48_000)
    identity = uuid.uuid4()
    for _ in range(2):
        event = await catalog.recordings.append_event(
            recording.recording_id, EventType.DTMF, time=NOW, event_id=identity, key_press=press
        )
    assert (await told(catalog))[-1] == event
    assert (event.key_press, event.recording) == (press, replace(recording, event_count=2))
    with pytest.raises(NotFound):
        await catalog.recordings.append_event(uuid.uuid4(), EventType.DTMF, time=NOW)


async def test_tenants_see_only_their_own(catalog: Catalog, application: Application) -> None:
    """Get, list and by_file answer another application as if there were nothing; the admin sees all."""
    recording = a_recording(application.application_id)
    await catalog.recordings.begin(recording)
    done = await finish(catalog, recording)
    assert done.file is not None
    stranger = uuid.uuid4()
    with pytest.raises(NotFound) as foreign:
        await catalog.recordings.get(recording.recording_id, stranger)
    with pytest.raises(NotFound) as missing:
        await catalog.recordings.get(uuid.uuid4(), stranger)
    assert foreign.value.reason is missing.value.reason is Reason.RECORDING_NOT_FOUND
    with pytest.raises(NotFound) as file:
        await catalog.recordings.by_file(done.file.file_id, stranger)
    assert file.value.reason is Reason.FILE_NOT_FOUND
    assert (await catalog.recordings.list(RecordingFilter(application_id=stranger))).items == ()
    assert (await catalog.recordings.by_file(done.file.file_id, application.application_id)).file == done.file
    assert len((await catalog.recordings.list(RecordingFilter())).items) == 1


async def test_pages_neither_repeat_nor_miss_while_recordings_come(catalog: Catalog, application: Application) -> None:
    """Walking the pages while newer recordings are added gives every older one exactly once, newest first."""
    expected = []
    for index in range(23):
        # Pairs share a start time: the id decides between them.
        recording = a_recording(application.application_id, start_time=NOW + timedelta(seconds=index // 2))
        await catalog.recordings.begin(recording)
        expected.append(recording)
    expected.sort(key=lambda item: (item.start_time, item.recording_id.hex), reverse=True)
    seen, token = [], ""
    while True:
        page = await catalog.recordings.list(RecordingFilter(application_id=application.application_id), 4, token)
        seen += [item.recording_id for item in page.items]
        await catalog.recordings.begin(a_recording(application.application_id, start_time=NOW + timedelta(hours=1)))
        token = page.next_page_token
        if not token:
            break
    assert seen == [item.recording_id for item in expected]


async def test_list_is_filtered(catalog: Catalog, application: Application) -> None:
    """Conversation, state and time narrow the list; the end of the time is exclusive."""
    early = a_recording(application.application_id, conversation_id="CON-A", start_time=NOW)
    late = a_recording(application.application_id, conversation_id="CON-B", start_time=NOW + timedelta(seconds=9))
    for recording in (early, late):
        await catalog.recordings.begin(recording)
    await finish(catalog, early)

    async def ids(criteria: RecordingFilter) -> list[uuid.UUID]:
        return [item.recording_id for item in (await catalog.recordings.list(criteria)).items]

    assert await ids(RecordingFilter(conversation_id="CON-A")) == [early.recording_id]
    assert await ids(RecordingFilter(states=frozenset({RecordingState.RECORDING}))) == [late.recording_id]
    assert await ids(RecordingFilter(start_time_from=late.start_time)) == [late.recording_id]
    assert await ids(RecordingFilter(start_time_before=late.start_time)) == [early.recording_id]
    assert await ids(RecordingFilter()) == [late.recording_id, early.recording_id]


async def test_page_token_is_bound_to_its_filter(catalog: Catalog, application: Application) -> None:
    """A token used with other filters, or made up, is refused."""
    for _ in range(3):
        await catalog.recordings.begin(a_recording(application.application_id))
    token = (await catalog.recordings.list(RecordingFilter(), 1)).next_page_token
    for criteria, given in (
        (RecordingFilter(application_id=application.application_id), token),
        (RecordingFilter(), token[:-2]),
        (RecordingFilter(), "nonsense"),
    ):
        with pytest.raises(BadInput) as caught:
            await catalog.recordings.list(criteria, 1, given)
        assert caught.value.reason is Reason.INVALID_PAGE_TOKEN


async def test_running_and_expired_recordings_are_found(catalog: Catalog, application: Application) -> None:
    """Start-up finds what its node had not finished; the sweeper finds what is past its time; live ones are counted."""
    live = a_recording(application.application_id)
    ending = a_recording(application.application_id)
    done = a_recording(application.application_id)
    elsewhere = a_recording(application.application_id, node_id="node-2")
    for recording in (live, ending, done, elsewhere):
        await catalog.recordings.begin(recording)
    await catalog.recordings.change(stopped(ending), EventType.RECORDING_STOPPED, expect=RUNNING, time=NOW)
    finished = await finish(catalog, done)
    assert finished.expire_time is not None
    unfinished = await catalog.recordings.unfinished("node-1")
    assert {item.recording_id for item in unfinished} == {live.recording_id, ending.recording_id}
    assert await catalog.recordings.count_live(None) == 2
    assert await catalog.recordings.count_live(application.application_id) == 2
    assert await catalog.recordings.count_live(uuid.uuid4()) == 0
    just_before = finished.expire_time - timedelta(microseconds=1)
    assert await catalog.recordings.expired(just_before, 10) == ()
    (expired,) = await catalog.recordings.expired(finished.expire_time, 10)
    assert expired.recording_id == done.recording_id

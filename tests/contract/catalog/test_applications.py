"""Applications, and what goes with them."""

import asyncio
import uuid
from dataclasses import replace

import pytest
from tests.contract.catalog.values import NOW, RUNNING, a_delivery, a_recording, an_application, completed, stopped

from recorder_service.catalog.catalog import Catalog
from recorder_service.catalog.filters import DeliveryFilter, EventFilter, RecordingFilter
from recorder_service.domain.application import Application, ApplicationKey
from recorder_service.domain.event import EventType
from recorder_service.errors import BadInput, Conflict, NotFound, Reason


async def test_application_comes_back_as_it_was(catalog: Catalog, application: Application) -> None:
    """Every field, the keys among them, survives the store."""
    assert await catalog.applications.get(application.application_id) == application


async def test_application_is_created_once(catalog: Catalog, application: Application) -> None:
    """A second one with the same id is refused and leaves the first as it was."""
    with pytest.raises(Conflict) as caught:
        await catalog.applications.create(replace(application, name="Again"))
    assert caught.value.reason is Reason.APPLICATION_EXISTS
    assert (await catalog.applications.get(application.application_id)).name == "Acme"


async def test_missing_application_is_not_found(catalog: Catalog) -> None:
    """Get, update and delete of an unknown id say so."""
    unknown = uuid.uuid4()
    for attempt in (
        catalog.applications.get(unknown),
        catalog.applications.update(unknown, lambda application: application),
        catalog.applications.delete(unknown),
    ):
        with pytest.raises(NotFound) as caught:
            await attempt
        assert caught.value.reason is Reason.APPLICATION_NOT_FOUND


async def test_updates_at_once_do_not_undo_each_other(catalog: Catalog, application: Application) -> None:
    """Twenty keys added at the same time are all there afterwards."""

    def add(number: int) -> object:
        key = ApplicationKey(f"new-{number}", "PEM", NOW)
        return catalog.applications.update(
            application.application_id, lambda stored: replace(stored, keys=(key, *stored.keys))
        )

    await asyncio.gather(*(add(number) for number in range(20)))  # type: ignore[call-overload]
    keys = (await catalog.applications.get(application.application_id)).keys
    assert {key.key_id for key in keys} == {"key-1", *(f"new-{number}" for number in range(20))}


async def test_failing_update_leaves_the_application(catalog: Catalog, application: Application) -> None:
    """An error while the new value is made changes nothing."""

    def fail(_stored: Application) -> Application:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        await catalog.applications.update(application.application_id, fail)
    assert await catalog.applications.get(application.application_id) == application


async def test_applications_are_listed_by_name_in_pages(catalog: Catalog) -> None:
    """Pages go by name, then id, and give each application once."""
    for name in ("Beta", "Alpha", "Beta", "Gamma", "Beta"):
        await catalog.applications.create(an_application(name))
    names, token, seen = [], "", set()
    while True:
        page = await catalog.applications.list(2, token)
        names += [item.name for item in page.items]
        seen |= {item.application_id for item in page.items}
        token = page.next_page_token
        if not token:
            break
    assert names == ["Alpha", "Beta", "Beta", "Beta", "Gamma"]
    assert len(seen) == 5
    with pytest.raises(BadInput):
        await catalog.applications.list(-1)


async def test_running_recording_keeps_its_application(catalog: Catalog, application: Application) -> None:
    """An application is not deleted while a recording runs or its file is being finished."""
    recording = a_recording(application.application_id)
    await catalog.recordings.begin(recording)
    for _ in range(2):
        with pytest.raises(Conflict) as caught:
            await catalog.applications.delete(application.application_id)
        assert caught.value.reason is Reason.RECORDING_LIVE
        await catalog.recordings.change(
            stopped(recording), EventType.RECORDING_STOPPED, expect=RUNNING | {stopped(recording).state}, time=NOW
        )


async def test_deleted_application_takes_only_what_is_its_own(catalog: Catalog, application: Application) -> None:
    """Recordings, events and deliveries of it are gone, those of others stay, and cursors stay good."""
    other = an_application("Other")
    await catalog.applications.create(other)
    kept = a_recording(other.application_id)
    await catalog.recordings.begin(kept)
    recording = a_recording(application.application_id)
    await catalog.recordings.begin(recording)
    event = await catalog.recordings.change(
        completed(recording), EventType.RECORDING_COMPLETED, expect=RUNNING, time=NOW, delivery=a_delivery(recording)
    )
    await catalog.applications.delete(application.application_id)
    assert [item.recording_id for item in (await catalog.recordings.list(RecordingFilter())).items] == [
        kept.recording_id
    ]
    assert (await catalog.deliveries.list(DeliveryFilter())).items == ()
    batch = await catalog.events.since(0, EventFilter(), 10)
    assert [item.recording.recording_id for item in batch.events] == [kept.recording_id]
    assert await catalog.events.position_of(catalog.events.cursor(event.position)) == event.position
    assert batch.position == event.position
    assert (await catalog.recordings.begin(a_recording(other.application_id))).position > event.position

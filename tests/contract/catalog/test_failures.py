"""Trouble of the database is told as such and passes."""

import asyncio
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.contract.catalog.values import a_recording, an_application

from recorder_service.catalog.catalog import Catalog
from recorder_service.catalog.engine import DatabaseOptions
from recorder_service.catalog.filters import EventFilter
from recorder_service.catalog.sqlite import SqliteDatabase
from recorder_service.domain.application import Application
from recorder_service.errors import Overloaded, Reason, Unavailable


@pytest.fixture
def held(catalog: Catalog, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Another process's connection, which can hold the write lock."""
    connection = sqlite3.connect(tmp_path / "catalog.db", isolation_level=None)
    yield connection
    connection.close()


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_locked_database_is_unavailable_and_recovers(
    catalog: Catalog, catalog_url: str, held: sqlite3.Connection
) -> None:
    """A write that finds the database locked for too long says when to try again; later ones work."""
    impatient = await Catalog.open(catalog_url, DatabaseOptions(busy_timeout_s=0.05))
    held.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable) as caught:
        await impatient.applications.create(an_application())
    assert caught.value.reason is Reason.CATALOG_FAILED
    assert caught.value.retry_after_s
    assert (await impatient.applications.list()).items == (), "reading goes on"
    held.execute("ROLLBACK")
    await impatient.applications.create(an_application())
    await impatient.aclose()


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_writer_waits_for_another_process(catalog: Catalog, held: sqlite3.Connection) -> None:
    """A short lock of another process only delays; the loop runs meanwhile."""
    held.execute("BEGIN IMMEDIATE")
    creating = asyncio.create_task(catalog.applications.create(an_application()))
    await asyncio.sleep(0.1)
    assert not creating.done()
    held.execute("ROLLBACK")
    await asyncio.wait_for(creating, timeout=5)


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_full_disk_is_told_and_leaves_nothing_half(catalog: Catalog, application: Application) -> None:
    """When no page can be added the write is refused as DISK_FULL; with room again it works."""
    assert isinstance(catalog._database, SqliteDatabase)
    with catalog._database._writer.connect() as connection:
        pages = connection.execute(sa.text("PRAGMA page_count")).scalar_one()
        connection.execute(sa.text(f"PRAGMA max_page_count = {pages}"))
    recording = a_recording(application.application_id, metadata={"k": "v" * 50_000})
    with pytest.raises(Overloaded) as caught:
        await catalog.recordings.begin(recording)
    assert caught.value.reason is Reason.DISK_FULL
    assert caught.value.retry_after_s
    assert (await catalog.events.since(0, EventFilter(), 5)).events == ()
    with catalog._database._writer.connect() as connection:
        connection.execute(sa.text("PRAGMA max_page_count = 1000000"))
    await catalog.recordings.begin(recording)


async def test_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    """A file of something else is refused without being touched."""
    path = tmp_path / "catalog.db"
    path.write_bytes(b"this is no database " * 100)
    with pytest.raises(Unavailable) as caught:
        await Catalog.open(f"sqlite:///{path}")
    assert caught.value.reason is Reason.CATALOG_FAILED
    assert path.read_bytes() == b"this is no database " * 100


async def test_cancelled_callers_break_no_transaction(catalog: Catalog, application: Application) -> None:
    """Callers that are cancelled at any moment leave whole transactions, and the catalog goes on working."""
    tasks = []
    for index in range(40):
        task = asyncio.create_task(catalog.recordings.begin(a_recording(application.application_id)))
        tasks.append(task)
        await asyncio.sleep(0.0005 * (index % 5))
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert any(task.cancelled() for task in tasks)
    last = await catalog.recordings.begin(a_recording(application.application_id))
    events = (await catalog.events.since(0, EventFilter(), 100)).events
    assert events[-1] == last
    for event in events:
        assert (await catalog.recordings.get(event.recording.recording_id, None)) == event.recording


async def test_commit_of_a_cancelled_caller_still_wakes(catalog: Catalog, application: Application) -> None:
    """A commit whose caller has gone is told to those who wait."""
    count = catalog.events.changed.count
    task = asyncio.create_task(catalog.recordings.begin(a_recording(application.application_id)))
    await asyncio.sleep(0)
    task.cancel()
    found = False
    while not found:  # a watch on other processes that has just begun wakes once too
        assert await catalog.events.changed.wait(count, timeout_s=5)
        count = catalog.events.changed.count
        found = bool((await catalog.events.since(0, EventFilter(), 1)).events)


async def test_closed_catalog_refuses(catalog: Catalog) -> None:
    """After closing, which may be done twice, everything is refused as unavailable."""
    await catalog.aclose()
    await catalog.aclose()
    for attempt in (catalog.applications.list(), catalog.applications.create(an_application())):
        with pytest.raises(Unavailable):
            await attempt

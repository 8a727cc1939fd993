"""Several processes on one database, and one that is killed."""

import asyncio
import subprocess
import sys
from asyncio.subprocess import Process
from collections import defaultdict
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa
from tests.contract.catalog.values import a_recording

from recorder_service.catalog.catalog import Catalog
from recorder_service.catalog.engine import DatabaseOptions
from recorder_service.catalog.filters import DeliveryFilter, EventFilter, RecordingFilter
from recorder_service.domain.application import Application
from recorder_service.domain.event import Event
from recorder_service.domain.recording import RecordingState

ROOT = Path(__file__).parents[3]


async def start_writer(url: str, application: Application, count: int) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.contract.catalog.writer_process",
        url,
        str(application.application_id),
        str(count),
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )


async def read_feed(catalog: Catalog) -> dict[UUID, list[Event]]:
    """Return all events by recording, in feed order."""
    found: dict[UUID, list[Event]] = defaultdict(list)
    position = 0
    while True:
        batch = await catalog.events.since(position, EventFilter(), 500)
        for event in batch.events:
            found[event.recording.recording_id].append(event)
        position = batch.position
        if batch.complete:
            return found


async def check_whole(catalog: Catalog, recording_id: UUID, events: list[Event]) -> None:
    """State, events and delivery of one recording tell the same story."""
    stored = await catalog.recordings.get(recording_id, None)
    sent = (await catalog.deliveries.list(DeliveryFilter(recording_id=recording_id))).items
    assert [event.recording_sequence for event in events] == list(range(1, stored.event_count + 1))
    assert events[-1].recording == stored
    if stored.state is RecordingState.AVAILABLE:
        assert [delivery.event_id for delivery in sent] == [events[-1].event_id]
    else:
        assert sent == ()


async def test_two_processes_write_one_database(catalog: Catalog, application: Application, catalog_url: str) -> None:
    """Two processes and this one write at once; nothing is refused, lost or numbered twice, and this one sees all."""
    writers = [await start_writer(catalog_url, application, 20) for _ in range(2)]
    mine = [a_recording(application.application_id) for _ in range(20)]
    for recording in mine:
        await catalog.recordings.begin(recording)
    for writer in writers:
        output, _ = await asyncio.wait_for(writer.communicate(), timeout=60)
        assert writer.returncode == 0
        assert output.count(b"completed") == 20
    feed = await read_feed(catalog)
    assert len(feed) == 60
    for recording_id, events in feed.items():
        await check_whole(catalog, recording_id, events)


@pytest.mark.parametrize("after", [5, 23])
async def test_killed_writer_leaves_whole_transactions(
    catalog: Catalog, application: Application, catalog_url: str, after: int
) -> None:
    """Killed in the middle of writing: all that it was told is committed is there, and nothing is half there."""
    await catalog.aclose()
    writer = await start_writer(catalog_url, application, 100_000)
    assert writer.stdout is not None
    lines = [await asyncio.wait_for(writer.stdout.readline(), timeout=30) for _ in range(after)]
    writer.kill()
    rest, _ = await asyncio.wait_for(writer.communicate(), timeout=30)
    said = [line.split() for line in (b"".join(lines) + rest).decode().splitlines() if line.count("-") == 4]
    again = await Catalog.open(catalog_url)
    feed = await read_feed(again)
    for recording_id, events in feed.items():
        await check_whole(again, recording_id, events)
    for fact, name in said:
        wanted = "recording.started" if fact == "begun" else "recording.completed"
        assert wanted in {event.type.value for event in feed[UUID(name)]}
    assert len((await again.recordings.list(RecordingFilter(), 500)).items) == min(len(feed), 500)
    await again.aclose()
    if not catalog_url.startswith("sqlite"):
        return
    engine = sa.create_engine(catalog_url)
    with engine.connect() as connection:
        assert connection.execute(sa.text("PRAGMA integrity_check")).scalar() == "ok"
    engine.dispose()


async def test_commit_of_another_process_wakes(catalog: Catalog, application: Application, catalog_url: str) -> None:
    """Who waits here is woken by a commit there, long before looking again by itself; own commits wake once."""
    watching = await Catalog.open(catalog_url, DatabaseOptions(watch_interval_s=0.05))
    await asyncio.sleep(0.5)  # beginning to watch wakes as well
    seen = watching.events.changed.count
    writer = await start_writer(catalog_url, application, 4)
    assert await watching.events.changed.wait(seen, timeout_s=20)
    await asyncio.wait_for(writer.communicate(), timeout=60)
    await watching.aclose()

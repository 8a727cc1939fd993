"""From a sealed file to a told outcome, with a real store and a real catalog that go away and come back."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from tests.contract.catalog.values import NOW, RUNNING, a_recording, an_application, stopped

from recorder_service import persistence
from recorder_service.audio.finished import Finished
from recorder_service.catalog.catalog import Catalog
from recorder_service.catalog.filters import DeliveryFilter, EventFilter
from recorder_service.domain.application import Application
from recorder_service.domain.event import EventType
from recorder_service.domain.options import RecordOptions
from recorder_service.domain.recording import Recording, RecordingState
from recorder_service.errors import Conflict, NotFound, Reason, Unavailable
from recorder_service.finishing.finisher import Finisher
from recorder_service.finishing.removal import Removal
from recorder_service.finishing.spool import SpoolDirectory
from recorder_service.sessions.audio_path import SpooledFile
from recorder_service.sessions.facts import Facts
from recorder_service.storage.directory import DirectoryStore
from recorder_service.webhooks.record_events import RecordEvents


class FlakyStore(DirectoryStore):
    """A real store that is away as often as the test says."""

    away: int = 0
    stored: int = 0

    async def store(self, key: str, source: Path, *, size_bytes: int, sha256: str) -> None:
        """Store, unless it is away."""
        if self.away:
            self.away -= 1
            raise Unavailable(Reason.STORAGE_FAILED, "away")
        self.stored += 1
        await super().store(key, source, size_bytes=size_bytes, sha256=sha256)


@dataclass(slots=True)
class Attempts:
    """First attempts that were asked for."""

    made: list[UUID] = field(default_factory=list)

    async def attempt_now(self, delivery_id: UUID, timeout_s: float) -> None:
        """Note it."""
        self.made.append(delivery_id)


@dataclass(slots=True)
class Site:
    """Everything around a finisher."""

    catalog: Catalog
    store: FlakyStore
    spools: SpoolDirectory
    attempts: Attempts
    finisher: Finisher
    removal: Removal
    application: Application

    async def ended(self, **changes: object) -> Recording:
        """A recording that has ended, as the catalog knows it."""
        recording = a_recording(self.application.application_id, options=RecordOptions(), **changes)
        await self.catalog.recordings.begin(recording)
        over = replace(stopped(recording), damage=(), pauses=())
        await self.catalog.recordings.change(over, EventType.RECORDING_STOPPED, expect=RUNNING, time=NOW)
        return over

    def spooled(self, recording: Recording, data: bytes = b"a file") -> SpooledFile:
        """Its file."""
        spool = self.spools.create(recording.recording_id)
        spool.append(data)
        return spool.seal(Finished(b"", b""), frames=16_000)

    def facts(self, recording: Recording) -> Facts:
        """Its way to the catalog."""
        return Facts(self.catalog.recordings, recording.recording_id)

    async def told(self, recording: Recording) -> list[EventType]:
        """What the feed says of it."""
        criteria = EventFilter(application_id=None, types=frozenset(), recording_id=recording.recording_id)
        return [event.type for event in (await self.catalog.events.since(0, criteria, 100)).events]


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    """A finisher among real parts; waits are short."""
    monkeypatch.setattr(persistence, "_FIRST_WAIT_S", 0.001)
    catalog = await Catalog.open(f"sqlite:///{tmp_path / 'catalog.db'}")
    store = FlakyStore(tmp_path / "files")
    await store.check()
    application = an_application()
    await catalog.applications.create(application)
    attempts = Attempts()
    finisher = Finisher(
        store=store,
        applications=catalog.applications,
        record_events=RecordEvents("https://r.example"),
        webhooks=attempts,
    )
    removal = Removal(store, catalog.recordings, catalog.applications)
    yield Site(catalog, store, SpoolDirectory(tmp_path / "spool"), attempts, finisher, removal, application)
    await store.aclose()
    await catalog.aclose()


async def _read(store: DirectoryStore, key: str, size_bytes: int) -> bytes:
    return b"".join([piece async for piece in await store.open(key, offset=0, length=size_bytes)])


async def test_file_is_stored_told_and_only_then_gone_from_the_spool(site: Site) -> None:
    """One transaction holds state, event and webhook."""
    recording = await site.ended()
    spooled = site.spooled(recording)
    done = await site.finisher.finish(recording, spooled, site.facts(recording))
    assert done.state is RecordingState.AVAILABLE
    assert done.file is not None
    assert done.file.file_id == recording.file_id
    assert (done.file.size_bytes, done.file.frames, done.file.sha256) == (6, 16_000, spooled.sha256)
    assert await _read(site.store, done.file.object_key, 6) == b"a file"
    assert not spooled.path.exists()
    assert done.expire_time is not None
    assert done.available_time is not None
    assert done.expire_time - done.available_time == site.application.retention
    stored = await site.catalog.recordings.get(recording.recording_id, None)
    assert stored == done
    assert (await site.told(recording))[-1] is EventType.RECORDING_COMPLETED
    deliveries = await site.catalog.deliveries.list(DeliveryFilter(recording_id=recording.recording_id), 10, "")
    assert [delivery.url for delivery in deliveries.items] == [site.application.event_url]
    assert site.attempts.made == []


async def test_finishing_again_changes_nothing(site: Site) -> None:
    """After a crash between any two steps it is done once more: one file, one event, one webhook."""
    recording = await site.ended()
    first = await site.finisher.finish(recording, site.spooled(recording), site.facts(recording))
    again = await site.finisher.finish(recording, site.spooled(recording), site.facts(recording))
    assert again == first
    assert (await site.told(recording)).count(EventType.RECORDING_COMPLETED) == 1
    deliveries = await site.catalog.deliveries.list(DeliveryFilter(recording_id=recording.recording_id), 10, "")
    assert len(deliveries.items) == 1


async def test_store_that_is_away_is_waited_for(site: Site) -> None:
    """The spool holds; nobody is told before the file is there."""
    recording = await site.ended()
    site.store.away = 5
    done = await site.finisher.finish(recording, site.spooled(recording), site.facts(recording))
    assert done.state is RecordingState.AVAILABLE
    assert (site.store.away, site.store.stored) == (0, 1)


async def test_recording_without_audio_is_empty_and_has_no_file_and_no_webhook(site: Site) -> None:
    """Never a success without a file."""
    recording = await site.ended()
    done = await site.finisher.finish(recording, None, site.facts(recording))
    assert (done.state, done.file) == (RecordingState.EMPTY, None)
    assert (await site.told(recording))[-1] is EventType.RECORDING_EMPTY
    deliveries = await site.catalog.deliveries.list(DeliveryFilter(recording_id=recording.recording_id), 10, "")
    assert deliveries.items == ()


async def test_synchronous_recording_waits_for_the_first_attempt(site: Site) -> None:
    """The next action runs after the webhook."""
    recording = replace(await site.ended(), options=RecordOptions(end_on_key="#"))
    await site.finisher.finish(recording, site.spooled(recording), site.facts(recording))
    assert len(site.attempts.made) == 1


async def test_deleted_file_is_gone_before_it_is_told_and_deleting_again_tells_nothing_new(site: Site) -> None:
    """The record of it stays."""
    recording = await site.ended()
    done = await site.finisher.finish(recording, site.spooled(recording), site.facts(recording))
    assert done.file is not None
    deleted = await site.removal.delete(recording.recording_id, site.application.application_id)
    assert deleted.state is RecordingState.DELETED
    with pytest.raises(NotFound):
        await site.store.open(done.file.object_key, offset=0, length=6)
    assert await site.removal.delete(recording.recording_id, None) == deleted
    assert (await site.told(recording)).count(EventType.RECORDING_DELETED) == 1


async def test_running_and_foreign_recordings_are_not_deleted(site: Site) -> None:
    """Stop it first; another's does not exist."""
    recording = await site.ended()
    with pytest.raises(Conflict) as refused:
        await site.removal.delete(recording.recording_id, None)
    assert refused.value.reason is Reason.RECORDING_LIVE
    with pytest.raises(NotFound):
        await site.removal.delete(recording.recording_id, uuid.uuid4())


async def test_files_go_when_their_retention_ends_and_not_before(site: Site) -> None:
    """All that are due, in batches."""
    done = []
    for _ in range(3):
        recording = await site.ended()
        done.append(await site.finisher.finish(recording, site.spooled(recording), site.facts(recording)))
    assert await site.removal.expire(datetime.now(UTC)) == 0
    assert done[-1].expire_time is not None
    assert await site.removal.expire(done[-1].expire_time) == 3
    assert await site.removal.expire(done[-1].expire_time) == 0
    for recording in done:
        stored = await site.catalog.recordings.get(recording.recording_id, None)
        assert stored.state is RecordingState.EXPIRED
        assert recording.file is not None
        with pytest.raises(NotFound):
            await site.store.open(recording.file.object_key, offset=0, length=6)


async def test_application_goes_with_its_files_unless_a_recording_runs(site: Site) -> None:
    """Nothing of it is left."""
    recording = await site.ended()
    with pytest.raises(Conflict):
        await site.removal.remove_application(site.application.application_id)
    done = await site.finisher.finish(recording, site.spooled(recording), site.facts(recording))
    await site.removal.remove_application(site.application.application_id)
    assert done.file is not None
    with pytest.raises(NotFound):
        await site.store.open(done.file.object_key, offset=0, length=6)
    with pytest.raises(NotFound):
        await site.catalog.applications.get(site.application.application_id)

"""What only a database server brings with it: several writers, wrong credentials, restarts, silence."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import sqlalchemy as sa
from tests.contract.catalog.values import NOW, a_recording, an_application
from tests.harness import postgres
from tests.harness.postgres import PostgresServer

from recorder_service.catalog import connector as connector_module
from recorder_service.catalog.catalog import Catalog
from recorder_service.catalog.engine import DatabaseOptions
from recorder_service.catalog.event_rows import Detail, insert_event
from recorder_service.catalog.filters import EventFilter
from recorder_service.catalog.recording_rows import count_event, take_recording
from recorder_service.domain.application import Application
from recorder_service.domain.event import Event, EventType
from recorder_service.domain.recording import Recording
from recorder_service.errors import Conflict, Reason, StartupError, Unavailable

_SLEEP = sa.text("SELECT pg_sleep(:seconds)")


@pytest.fixture
def engine() -> str:
    """Only PostgreSQL."""
    return "postgresql"


@pytest.fixture
def own_server(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    """A server that the test may stop."""
    with postgres.running() as server:
        yield server


@pytest.fixture
async def own_catalog(own_server: PostgresServer) -> AsyncIterator[Catalog]:
    """A catalog on that server."""
    opened = await Catalog.open(own_server.create_database(), DatabaseOptions(migrate=True))
    yield opened
    await opened.aclose()


def key_press(recording: Recording, hold_s: float) -> Callable[[sa.Connection], Event]:
    """Make the work that tells one more event of a recording and keeps its transaction open for a while."""

    def work(connection: sa.Connection) -> Event:
        take_recording(connection, recording.recording_id)
        counted = count_event(connection, recording.recording_id)
        event = insert_event(connection, counted, EventType.DTMF, time=NOW, event_id=None, detail=Detail())
        connection.execute(_SLEEP, {"seconds": hold_s})
        return event

    return work


async def test_reader_does_not_pass_an_open_transaction(catalog: Catalog, application: Application) -> None:
    """What was committed waits for what began earlier: then both are read, in order, and who waits is woken."""
    recording = a_recording(application.application_id)
    begun = await catalog.recordings.begin(recording)
    slow = asyncio.create_task(catalog._database.write(key_press(recording, 1.0)))
    await asyncio.sleep(0.3)
    quick = await catalog.recordings.begin(a_recording(application.application_id))
    batch = await catalog.events.since(begun.position, EventFilter(), 10)
    assert (batch.events, batch.position, batch.hidden) == ((), begun.position, True)
    first = await slow
    while not (batch := await catalog.events.since(begun.position, EventFilter(), 10)).events:
        assert await catalog.events.changed.wait(catalog.events.changed.count, timeout_s=5)
    assert batch.events == (first, quick)
    assert first.position < quick.position


async def test_events_of_one_recording_keep_their_order(catalog: Catalog, application: Application) -> None:
    """Transactions that wait for each other come into the feed in the order of the recording's own numbers."""
    recording = a_recording(application.application_id)
    await catalog.recordings.begin(recording)
    await asyncio.gather(*(catalog._database.write(key_press(recording, 0.02)) for _ in range(12)))
    events = (await catalog.events.since(0, EventFilter(), 100)).events
    assert [event.recording_sequence for event in events] == list(range(1, 14))


async def test_turn_after_a_write_is_refused(catalog: Catalog, application: Application) -> None:
    """A transaction that has a number already may not queue: its number could be lower than those before it."""
    recording = a_recording(application.application_id)
    await catalog.recordings.begin(recording)

    def work(connection: sa.Connection) -> None:
        count_event(connection, recording.recording_id)
        take_recording(connection, recording.recording_id)

    with pytest.raises(RuntimeError, match="first write"):
        await catalog._database.write(work)


async def test_recording_begun_twice_at_once_is_begun_once(catalog: Catalog, application: Application) -> None:
    """Of many that begin one recording at the same moment one does, and the others are told that it exists."""
    recording = a_recording(application.application_id)
    told = await asyncio.gather(*(catalog.recordings.begin(recording) for _ in range(8)), return_exceptions=True)
    refused = [error for error in told if isinstance(error, Conflict)]
    assert len(refused) == 7
    assert {error.reason for error in refused} == {Reason.RECORDING_EXISTS}
    assert len((await catalog.events.since(0, EventFilter(), 10)).events) == 1


async def test_feed_goes_on_above_a_restored_dump(catalog: Catalog, application: Application, catalog_url: str) -> None:
    """Transaction numbers of another cluster may be higher than this one's: new events still come behind them."""
    old = await catalog.recordings.begin(a_recording(application.application_id))
    elsewhere = sa.text("UPDATE events SET transaction_id = transaction_id + 1000000")
    await catalog._database.write(lambda connection: connection.execute(elsewhere).rowcount)
    again = await Catalog.open(catalog_url)
    restored = (await again.events.since(0, EventFilter(), 10)).events
    assert [event.event_id for event in restored] == [old.event_id]
    new = await again.recordings.begin(a_recording(application.application_id))
    assert (await again.events.since(restored[-1].position, EventFilter(), 10)).events == (new,)
    await again.aclose()


async def test_commit_wakes_other_processes(catalog: Catalog, application: Application, catalog_url: str) -> None:
    """Who waits at one node is woken by a commit at another, well before looking by itself."""
    other = await Catalog.open(catalog_url)
    await asyncio.sleep(0.5)  # both begin to listen, which wakes too
    seen = catalog.events.changed.count
    await other.recordings.begin(a_recording(application.application_id))
    assert await catalog.events.changed.wait(seen, timeout_s=5)
    await other.aclose()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"password": "wrong-word"}, "check user and password"),
        ({"user": "nobody"}, "check user and password"),
        ({"database": "missing"}, "createdb --owner=recorder missing"),
    ],
)
async def test_wrong_credentials_are_refused_with_the_fix(
    postgres_server: PostgresServer, change: dict[str, str], fault: str
) -> None:
    """The message says what to change, and never holds the password."""
    with pytest.raises(StartupError) as caught:
        await Catalog.open(postgres_server.url(**change))
    assert caught.value.reason is Reason.INVALID_CONFIGURATION
    assert "RECORDER_DATABASE_URL" in caught.value.message
    assert fault in caught.value.message
    assert postgres_server.password not in str(caught.value)
    assert "wrong-word" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("postgresql://", "cannot be read"),
        ("postgresql://u:secret@host", "cannot be read"),
        ("postgresql://u:secret@host:port/db", "cannot be read"),
        ("postgresql://u:secret@127.0.0.1:1/db", "no PostgreSQL answers"),
        ("postgresql://u:secret@host.invalid/db", "cannot be found"),
    ],
)
async def test_wrong_url_is_refused_with_the_fix(url: str, fault: str) -> None:
    """A URL that is none, and a server that is not there, are told apart; the password is not told."""
    with pytest.raises(StartupError) as caught:
        await Catalog.open(url)
    assert fault in caught.value.message
    assert "secret" not in str(caught.value)


async def test_database_without_schema_is_refused_with_the_command(empty_url: str) -> None:
    """A start does not migrate a shared database by itself; it says what to type."""
    with pytest.raises(StartupError) as caught:
        await Catalog.open(empty_url)
    assert "recorder migrate" in caught.value.message


async def test_killed_server_is_unavailable_and_comes_back(own_catalog: Catalog, own_server: PostgresServer) -> None:
    """While the server is away calls are refused as Unavailable at once; when it is back, all works as before."""
    application = an_application()
    await own_catalog.applications.create(application)
    begun = await own_catalog.recordings.begin(a_recording(application.application_id))
    own_server.kill()
    for _ in range(5):
        began_s = time.monotonic()
        with pytest.raises(Unavailable) as caught:
            await own_catalog.recordings.begin(a_recording(application.application_id))
        assert caught.value.reason is Reason.CATALOG_FAILED
        assert time.monotonic() - began_s < 5
    own_server.start()
    async with asyncio.timeout(20):
        while True:
            try:
                event = await own_catalog.recordings.begin(a_recording(application.application_id))
                break
            except Unavailable:
                await asyncio.sleep(0.05)
    assert (await own_catalog.events.since(0, EventFilter(), 10)).events == (begun, event)


async def test_silent_server_is_unavailable(own_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes connections and says nothing costs callers the time limit, not their patience."""
    monkeypatch.setattr(connector_module, "_COMMAND_TIMEOUT_S", 0.5)
    monkeypatch.setattr(connector_module, "_CONNECT_TIMEOUT_S", 0.5)
    url = own_server.create_database()
    catalog = await Catalog.open(url, DatabaseOptions(migrate=True))
    application = an_application()
    await catalog.applications.create(application)
    own_server.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable):
            async with asyncio.timeout(15):
                await catalog.applications.get(application.application_id)
    finally:
        own_server.send_signal(signal.SIGCONT)
    async with asyncio.timeout(20):
        while True:
            try:
                assert await catalog.applications.get(application.application_id) == application
                break
            except Unavailable:
                await asyncio.sleep(0.05)
    await catalog.aclose()


async def test_commit_is_durable_whatever_the_server_prefers(catalog: Catalog) -> None:
    """The connections ask for durable commits by themselves."""
    query = sa.text("SHOW synchronous_commit")
    assert await catalog._database.read(lambda connection: connection.execute(query).scalar()) == "on"

"""A start while the database is away: waited for, said so, and ended in time; what no wait mends is refused at once."""

import asyncio
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.e2e.test_health import probe, until
from tests.harness import deployment, postgres
from tests.harness.client import Client
from tests.harness.postgres import PostgresServer
from tests.harness.s3_server import free_ports
from tests.harness.server import Server

WORKERS = ("--workers", "2")


@pytest.fixture
def database() -> Iterator[PostgresServer]:
    """A PostgreSQL server that can be stopped."""
    with postgres.running() as server:
        yield server


def a_node(root: Path, url: str, port: int, arguments: Sequence[str] = (), wait_s: float = 60) -> Server:
    environment = {
        "RECORDER_DATABASE_URL": url,
        "RECORDER_MIGRATE": "true",
        "RECORDER_DATABASE_WAIT_S": str(wait_s),
        "RECORDER_FILES_DIR": str(root / "files"),
    }
    return Server(root / "data", arguments=["--metrics-port", str(port), *arguments], environment=environment)


def readiness(port: int) -> int:
    return probe(port, "/readyz")[0]


@pytest.mark.parametrize("arguments", [(), WORKERS])
async def test_node_that_starts_before_its_database_serves_as_soon_as_it_is_there(
    database: PostgresServer, tmp_path: Path, arguments: Sequence[str]
) -> None:
    """Meanwhile it is alive and not ready, and says once what it waits for."""
    url, [port] = database.create_database(), free_ports(1)
    database.stop()
    server = a_node(tmp_path, url, port, arguments)
    starting = asyncio.create_task(asyncio.to_thread(server.start))
    try:
        await until(lambda: asyncio.to_thread(lambda: readiness(port) == 503 and "waiting_for_database" in server.log))
        if not arguments:
            assert probe(port, "/healthz")[0] == 200
        assert not starting.done()
        await asyncio.to_thread(database.start)
        await asyncio.wait_for(starting, 60)
        assert readiness(port) == 200
        async with Client(server.ports.grpc) as client:
            await client.create_tenant(server.admin_token)
    finally:
        await asyncio.wait((starting,))
        assert await asyncio.to_thread(server.terminate) == 0
    # Each node says so once, if it was there in time.
    assert 1 <= server.log.count('"waiting_for_database"') <= max(deployment.nodes(), len(arguments))
    assert "Traceback" not in server.log


def test_node_whose_database_stays_away_ends_in_time_and_says_why(tmp_path: Path) -> None:
    """One message with what to do, where it waited, and for how long."""
    server = a_node(tmp_path, "postgresql://recorder:secret@127.0.0.1:1/recorder", 0, wait_s=1)
    began_s = time.monotonic()
    with pytest.raises(RuntimeError, match="ended with 1"):
        server.start()
    assert time.monotonic() - began_s > 1
    server.close()
    assert "127.0.0.1:1, where no PostgreSQL answers" in server.log
    assert "waited 1 s for it (RECORDER_DATABASE_WAIT_S)" in server.log
    assert "secret" not in server.log
    assert "Traceback" not in server.log


@pytest.mark.parametrize("arguments", [(), WORKERS])
async def test_node_that_waits_for_its_database_can_be_stopped(tmp_path: Path, arguments: Sequence[str]) -> None:
    """SIGTERM ends it at once and in order."""
    [port] = free_ports(1)
    server = a_node(tmp_path, "postgresql://recorder@127.0.0.1:1/recorder", port, arguments)
    starting = asyncio.create_task(asyncio.to_thread(server.start))
    await until(lambda: asyncio.to_thread(lambda: "waiting_for_database" in server.log))
    server.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(server.wait, 15) == 0
    with pytest.raises((RuntimeError, ValueError)):
        await starting
    server.close()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"password": "wrong"}, "check user and password"),
        ({"user": "nobody"}, "check user and password"),
        ({"database": "missing"}, "createdb --owner=recorder missing"),
    ],
)
def test_what_no_wait_mends_is_refused_at_once(
    database: PostgresServer, tmp_path: Path, change: dict[str, str], fault: str
) -> None:
    """Wrong credentials, wrong database: with the fix in the message, long before the time to wait is over."""
    server = a_node(tmp_path, database.url(**change), 0, wait_s=600)
    with pytest.raises(RuntimeError, match="ended with 1"):
        server.start()
    server.close()
    assert fault in server.log
    assert "waiting_for_database" not in server.log

"""The catalogs that the suite runs on: the same tests on SQLite and on PostgreSQL."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.contract.catalog.values import an_application
from tests.harness import postgres
from tests.harness.postgres import PostgresServer

from recorder_service.catalog.catalog import Catalog
from recorder_service.catalog.engine import DatabaseOptions
from recorder_service.domain.application import Application


async def _migrate(url: str) -> None:
    await (await Catalog.open(url, DatabaseOptions(migrate=True))).aclose()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with the current schema and no content, to copy."""
    path = tmp_path_factory.mktemp("catalog") / "migrated.db"
    asyncio.run(_migrate(f"sqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running server; where there is none, CI fails and everybody else is told."""
    try:
        postgres.programs()
    except FileNotFoundError as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(f"NOT TESTED ON POSTGRESQL: {error}")
    with postgres.running() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_server(postgres_server: PostgresServer) -> PostgresServer:
    """The server, with a migrated database to copy."""
    postgres_server.execute(f"CREATE DATABASE {postgres.TEMPLATE} TEMPLATE template0")
    asyncio.run(_migrate(postgres_server.url(postgres.TEMPLATE)))
    return postgres_server


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> str:
    """Which database the test runs on."""
    name: str = request.param
    return name


@pytest.fixture
def empty_url(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database without any tables."""
    if engine == "sqlite":
        yield f"sqlite:///{tmp_path}/catalog.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = server.create_database()
    yield url
    server.drop_database(url)


@pytest.fixture
def catalog_url(engine: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database with tables and nothing in them."""
    if engine == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "catalog.db")
        yield f"sqlite:///{tmp_path}/catalog.db"
        return
    server: PostgresServer = request.getfixturevalue("migrated_server")
    url = server.create_database(postgres.TEMPLATE)
    yield url
    server.drop_database(url)


@pytest.fixture
async def catalog(catalog_url: str) -> AsyncIterator[Catalog]:
    """An open catalog without content."""
    opened = await Catalog.open(catalog_url)
    yield opened
    await opened.aclose()


@pytest.fixture
async def application(catalog: Catalog) -> Application:
    """A stored application."""
    created = an_application()
    await catalog.applications.create(created)
    return created

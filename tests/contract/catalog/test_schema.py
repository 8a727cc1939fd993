"""The schema is migrated, checked and the same as the tables in the code."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from recorder_service.catalog.catalog import Catalog
from recorder_service.catalog.engine import DatabaseOptions, open_database
from recorder_service.catalog.migrations import migration_config, upgrade
from recorder_service.catalog.schema import prepare_schema
from recorder_service.catalog.tables import SCHEMA_VERSION, metadata
from recorder_service.errors import Reason, StartupError

_MIGRATE = DatabaseOptions(migrate=True)
_OPEN = """
import asyncio, sys
from recorder_service.catalog.catalog import Catalog
from recorder_service.catalog.engine import DatabaseOptions

async def main():
    await (await Catalog.open(sys.argv[1], DatabaseOptions(migrate=True))).aclose()

asyncio.run(main())
print("alembic" in sys.modules)
"""


async def test_migrations_make_the_tables_of_the_code(empty_url: str) -> None:
    """A database migrated from empty has exactly the tables, columns and indexes of tables.py."""
    database = await open_database(empty_url, DatabaseOptions())
    await prepare_schema(database, migrate=True)

    def compare(connection: sa.Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))

    differences = await database.write(compare)
    await database.aclose()
    assert differences == []


def test_newest_migration_is_the_version_of_the_code() -> None:
    """There is one newest migration and tables.py names it."""
    assert ScriptDirectory.from_config(migration_config()).get_heads() == [SCHEMA_VERSION]


def test_positions_are_never_used_twice(tmp_path: Path) -> None:
    """The migration makes positions AUTOINCREMENT, so that a removed newest event's number does not come again."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/plain.db")
    with engine.begin() as connection:
        upgrade(connection)
        statement = connection.execute(sa.text("SELECT sql FROM sqlite_master WHERE name = 'events'")).scalar_one()
    engine.dispose()
    assert "AUTOINCREMENT" in statement


async def test_newer_schema_is_refused(catalog_url: str) -> None:
    """A database of a later version is left alone and the message names the versions and the way out."""
    database = await open_database(catalog_url, DatabaseOptions())
    newer = sa.text("UPDATE alembic_version SET version_num = '0999'")
    await database.write(lambda connection: connection.execute(newer).rowcount)
    with pytest.raises(StartupError) as caught:
        await Catalog.open(catalog_url, _MIGRATE)
    assert caught.value.reason is Reason.SCHEMA_TOO_NEW
    assert "0999" in caught.value.message
    assert "start the newer Recorder" in caught.value.message
    kept = sa.text("SELECT version_num FROM alembic_version")
    assert await database.read(lambda connection: connection.execute(kept).scalar()) == "0999"
    await database.aclose()


async def test_two_that_open_an_empty_database_migrate_it_once(empty_url: str) -> None:
    """Two catalogs opened at once on nothing both work and agree on the feed's name."""
    first, second = await asyncio.gather(Catalog.open(empty_url, _MIGRATE), Catalog.open(empty_url, _MIGRATE))
    assert await second.events.position_of(first.events.cursor(0)) == 0
    await first.aclose()
    await second.aclose()


async def test_alembic_is_loaded_only_to_migrate(empty_url: str, tmp_path: Path) -> None:
    """Opening a current database, from any directory, loads no Alembic; the first opening does."""
    loaded: list[str] = []
    for _ in range(2):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _OPEN, empty_url, cwd=tmp_path, stdout=subprocess.PIPE
        )
        output, _ = await asyncio.wait_for(process.communicate(), timeout=30)
        loaded.append(output.decode().strip())
    assert loaded == ["True", "False"]


@pytest.mark.parametrize("url", ["", "nonsense", "sqlite://", "sqlite:////no/such/place/c.db", "sqlite:////tmp"])
async def test_unusable_url_is_refused(url: str) -> None:
    """A URL that names no SQLite file that can be written is a configuration error naming the setting."""
    with pytest.raises(StartupError) as caught:
        await Catalog.open(url)
    assert caught.value.reason is Reason.INVALID_CONFIGURATION
    assert "RECORDER_DATABASE_URL" in caught.value.message


@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
async def test_database_file_is_private(catalog: Catalog, tmp_path: Path) -> None:
    """Others may not read the files: they hold the secrets of applications."""
    await catalog.applications.list()
    modes = {entry.name: entry.stat().st_mode & 0o077 for entry in os.scandir(tmp_path)}
    assert modes == {"catalog.db": 0, "catalog.db-wal": 0, "catalog.db-shm": 0}

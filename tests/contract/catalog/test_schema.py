"""The schema is made or migrated, checked and the same as the tables in the code."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from recorder_service.catalog.catalog import Catalog
from recorder_service.catalog.engine import DatabaseOptions, open_database
from recorder_service.catalog.migrations import migration_config, upgrade
from recorder_service.catalog.schema import prepare_schema, read_schema
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
    await database.write(upgrade)

    def compare(connection: sa.Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, metadata))

    differences = await database.write(compare)
    await database.aclose()
    assert differences == []


async def test_new_database_is_made_as_migrations_would_have_made_it(empty_url: str) -> None:
    """At once or step by step: columns, keys, indexes, defaults and the version are the same."""
    database = await open_database(empty_url, DatabaseOptions())
    await prepare_schema(database, migrate=True)
    made = await database.read(_description)
    await database.write(_drop)
    assert await database.read(_description) == {}
    await database.write(upgrade)
    migrated = await database.read(_description)
    await database.aclose()
    assert made == migrated


def _description(connection: sa.Connection) -> dict[str, list[str]]:
    """Tell everything of each table but the order of its columns."""
    inspector = sa.inspect(connection)
    found = {}
    for table in inspector.get_table_names():
        parts: list[object] = [
            *inspector.get_columns(table),
            *inspector.get_indexes(table),
            *inspector.get_foreign_keys(table),
            *inspector.get_unique_constraints(table),
            inspector.get_pk_constraint(table),
        ]
        found[table] = sorted(map(str, parts))
    if found:
        found["version"] = [str(connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one())]
    return found


def _drop(connection: sa.Connection) -> None:
    metadata.drop_all(connection)
    connection.execute(sa.text("DROP TABLE alembic_version"))


def test_newest_migration_is_the_version_of_the_code() -> None:
    """There is one newest migration and tables.py names it."""
    assert ScriptDirectory.from_config(migration_config()).get_heads() == [SCHEMA_VERSION]


@pytest.mark.parametrize("make", [upgrade, metadata.create_all])
def test_positions_are_never_used_twice(tmp_path: Path, make: Callable[[sa.Connection], None]) -> None:
    """Positions are AUTOINCREMENT, so that a removed newest event's number does not come again."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/plain.db")
    with engine.begin() as connection:
        make(connection)
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


async def test_alembic_is_loaded_only_for_a_schema_of_before(empty_url: str, tmp_path: Path) -> None:
    """Making the schema, or opening a current one, from any directory, loads no Alembic; an older one does."""
    loaded = [await _loads_alembic(empty_url, tmp_path) for _ in range(2)]
    database = await open_database(empty_url, DatabaseOptions())
    await database.write(_drop)
    await database.write(_migrate_to_the_first)
    loaded.append(await _loads_alembic(empty_url, tmp_path))
    assert (await read_schema(database)).current
    await database.aclose()
    assert loaded == [False, False, True]


async def _loads_alembic(url: str, directory: Path) -> bool:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _OPEN, url, cwd=directory, stdout=subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(process.communicate(), timeout=30)
    return {"True": True, "False": False}[output.decode().strip()]


def _migrate_to_the_first(connection: sa.Connection) -> None:
    config = migration_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "0001")


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

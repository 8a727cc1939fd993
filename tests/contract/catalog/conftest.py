"""The catalogs that the suite runs on. Another database joins as another value of `catalog_url`."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.contract.catalog.values import an_application

from recorder_service.catalog.catalog import Catalog
from recorder_service.domain.application import Application


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with the current schema and no content, to copy."""
    path = tmp_path_factory.mktemp("catalog") / "migrated.db"

    async def migrate() -> None:
        await (await Catalog.open(f"sqlite:///{path}")).aclose()

    asyncio.run(migrate())
    return path


@pytest.fixture(params=["sqlite"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without any tables."""
    return f"sqlite:///{tmp_path}/catalog.db"


@pytest.fixture
def catalog_url(empty_url: str, migrated_file: Path, tmp_path: Path) -> str:
    """The URL of a database with tables and nothing in them."""
    shutil.copy(migrated_file, tmp_path / "catalog.db")
    return empty_url


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

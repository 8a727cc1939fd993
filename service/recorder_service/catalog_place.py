"""Where the settings put the catalog, and bringing it up to date."""

import asyncio

from recorder_service.catalog.engine import DatabaseOptions
from recorder_service.catalog.schema import SchemaState, bring_up_to_date
from recorder_service.config import Settings

_WATCH_INTERVAL_S = 0.1


def is_shared(settings: Settings) -> bool:
    """Say whether other processes may use the catalog: a file that was named, or that a supervisor's nodes have."""
    return settings.database_url is not None or settings.supervised


def catalog_place(settings: Settings) -> tuple[str, DatabaseOptions]:
    """Return the URL of the catalog's database, which may hold a password, and how it is used."""
    options = DatabaseOptions(
        connections=settings.database_connections,
        watch_interval_s=_WATCH_INTERVAL_S if is_shared(settings) else None,
        migrate=settings.migrate,
    )
    if settings.database_url is None:
        return f"sqlite:///{settings.data_dir.absolute() / 'catalog.db'}", options
    return settings.database_url.get_secret_value(), options


def migrate(settings: Settings, *, check: bool) -> tuple[SchemaState, SchemaState]:
    """Bring the catalog's schema to this version, or only look whether that is due; return it before and after.

    Raises:
        StartupError: The database cannot be used, or is of a newer version.
        Unavailable: The database cannot serve now.
    """
    return asyncio.run(bring_up_to_date(catalog_place(settings)[0], check=check))

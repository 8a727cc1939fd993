"""Alembic migrations of the catalog, run from the installed package without an ini file.

A new one is `versions/revision_NNNN.py` with the next number, `SCHEMA_VERSION` in `tables.py` set to it, and the tables
there changed alike. A new database is made from the tables alone: what a migration does beside, `schema.py` has to do
for it.
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config


def migration_config() -> Config:
    """Point Alembic at the migrations of this package."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    return config


def upgrade(connection: sa.Connection) -> None:
    """Run every migration that is due, in the transaction that `connection` is in."""
    config = migration_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")

"""`recorder migrate`: bring the catalog's schema to this version."""

from typing import Annotated

import typer

from recorder_service.cli.failures import CommandFailed
from recorder_service.cli.output import Output
from recorder_service.cli.session import session_of


def migrate(
    context: typer.Context,
    *,
    database_url: Annotated[
        str | None, typer.Option(help="Database of the catalog; by default RECORDER_DATABASE_URL.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; end with 1 if a migration is due.")] = False,
) -> None:
    """Migrate the catalog's database; safe to run again, and from several places at once.

    Run it before the nodes of a new version start: migrations only add, so that nodes of the version before go on.
    """
    from recorder_service.errors import RecorderError

    session = session_of(context)
    try:
        from recorder_service.catalog_place import migrate as migrate_catalog
        from recorder_service.config import load_settings

        settings = load_settings(data_dir=session.data_dir, database_url=database_url)
        before, after = migrate_catalog(settings, check=check)
    except RecorderError as error:
        raise CommandFailed(
            error.message, reason=error.reason.value, metadata=error.details, retryable=error.retry_after_s is not None
        ) from None
    told = {"schema_version": after.found, "known_version": after.wanted, "migrated": before.found != after.found}
    Output(as_json=session.json).text(_sentence(before.found, after.found, after.wanted), told)
    if not after.current:
        raise SystemExit(1)


def _sentence(before: str | None, after: str | None, wanted: str) -> str:
    if after != wanted:
        found = "has no schema yet" if after is None else f"has schema version {after}"
        return f"the catalog {found}; version {wanted} is due: run `recorder migrate`"
    if before == after:
        return f"the catalog has schema version {after} already"
    return f"the catalog now has schema version {after}"

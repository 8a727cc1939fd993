"""Applications: the tenants, with everything that is theirs."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from recorder_service.catalog.documents import dump, load
from recorder_service.catalog.engine import Database
from recorder_service.catalog.events import keep_reached_place
from recorder_service.catalog.paging import Page, PageTokens, check_page_size, cut_page
from recorder_service.catalog.recording_rows import UNFINISHED, application_not_found
from recorder_service.catalog.tables import applications, deliveries, events, recordings
from recorder_service.domain.application import Application
from recorder_service.errors import Conflict, Reason


class Applications:
    """The applications, their keys among them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, application: Application) -> None:
        """Insert an application.

        Raises:
            Conflict: APPLICATION_EXISTS.
        """

        def work(connection: sa.Connection) -> None:
            if _locked(connection, application.application_id) is not None:
                raise Conflict(
                    Reason.APPLICATION_EXISTS,
                    f"application {application.application_id} exists; update it or choose another application_id",
                    details={"application_id": str(application.application_id)},
                )
            insert = applications.insert().values(application_id=application.application_id, **_values(application))
            connection.execute(insert)

        await self._database.write(work)

    async def get(self, application_id: UUID) -> Application:
        """Return an application.

        Raises:
            NotFound: APPLICATION_NOT_FOUND.
        """
        mine = applications.c.application_id == application_id
        found = await self._read(sa.select(applications.c.document).where(mine))
        if not found:
            raise application_not_found(application_id)
        return found[0]

    async def list(self, page_size: int = 0, page_token: str = "") -> Page[Application]:
        """Return a page of applications, by name and then id.

        Args:
            page_size: 0 means the default; lowered to the maximum.
            page_token: The page before's `next_page_token`.

        Raises:
            BadInput: INVALID_PAGE_TOKEN or INVALID_FIELD.
        """
        size = check_page_size(page_size)
        tokens = PageTokens("applications", {})
        key = sa.tuple_(applications.c.name, applications.c.application_id)
        query = sa.select(applications.c.document)
        if page_token:
            query = query.where(key > tokens.after_text(page_token))
        query = query.order_by(applications.c.name, applications.c.application_id).limit(size + 1)
        found = await self._read(query)
        return cut_page(found, size, tokens, lambda item: (item.name, item.application_id))

    async def update(self, application_id: UUID, change: Callable[[Application], Application]) -> Application:
        """Replace an application by what `change` makes of it; two updates at once never undo each other.

        Args:
            application_id: Which; `change` must not change it.
            change: Called with the stored value in the writer thread, inside the transaction; an error it raises leaves
                everything as it was.

        Raises:
            NotFound: APPLICATION_NOT_FOUND.
        """

        def work(connection: sa.Connection) -> Application:
            document = _locked(connection, application_id)
            if document is None:
                raise application_not_found(application_id)
            changed = change(load(Application, document))
            mine = applications.c.application_id == application_id
            connection.execute(applications.update().where(mine).values(**_values(changed)))
            return changed

        return await self._database.write(work)

    async def delete(self, application_id: UUID) -> None:
        """Remove an application with its recordings, events and deliveries; its files must be gone before.

        Raises:
            NotFound: APPLICATION_NOT_FOUND.
            Conflict: RECORDING_LIVE, if a recording still runs or its file is still being finished.
        """

        def work(connection: sa.Connection) -> None:
            if _locked(connection, application_id) is None:
                raise application_not_found(application_id)
            _check_at_rest(connection, application_id)
            keep_reached_place(connection)
            for table in (deliveries, events, recordings, applications):
                connection.execute(table.delete().where(table.c.application_id == application_id))

        await self._database.write(work)

    async def _read(self, query: sa.Select[tuple[str]]) -> tuple[Application, ...]:
        return await self._database.read(
            lambda connection: tuple(load(Application, row.document) for row in connection.execute(query))
        )


def _locked(connection: sa.Connection, application_id: UUID) -> str | None:
    query = sa.select(applications.c.document).where(applications.c.application_id == application_id)
    document: str | None = connection.execute(query.with_for_update()).scalar()
    return document


def _check_at_rest(connection: sa.Connection, application_id: UUID) -> None:
    running = sa.select(recordings.c.recording_id).where(
        recordings.c.application_id == application_id, recordings.c.state.in_(UNFINISHED)
    )
    recording_id = connection.execute(running.limit(1)).scalar()
    if recording_id is not None:
        raise Conflict(
            Reason.RECORDING_LIVE,
            f"application {application_id} still has recording {recording_id} running or being finished; "
            "stop its recordings and wait for their files",
            details={"application_id": str(application_id), "recording_id": str(recording_id)},
        )


def _values(application: Application) -> dict[str, Any]:
    return {"name": application.name, "document": dump(application)}

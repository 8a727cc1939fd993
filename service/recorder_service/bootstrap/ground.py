"""What every node stands on, whatever its role: catalog, file store, tokens, metrics."""

import asyncio
import os
from contextlib import AbstractContextManager, AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import structlog

from recorder_service.access.admin_token import admin_token_sha256, load_or_create_admin_token
from recorder_service.access.tokens import TokenVerifier
from recorder_service.catalog.catalog import Catalog
from recorder_service.catalog_place import catalog_place
from recorder_service.config import Settings, s3_settings
from recorder_service.errors import Reason, RecorderError, StartupError
from recorder_service.metrics.node import Metrics
from recorder_service.metrics.storage import FileStore, MeteredStore
from recorder_service.sessions.background import BackgroundTasks
from recorder_service.storage.directory import DirectoryStore
from recorder_service.tracing.loading import load_tracing
from recorder_service.tracing.spans import Tracing

log = structlog.get_logger(__name__)

_FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 5.0
_TELL_EVERY_S = 15.0


@dataclass(frozen=True, slots=True)
class Ground:
    """What everything else stands on.

    Attributes:
        data_dir: What nodes of one machine share.
        node_dir: What this node alone writes to.
    """

    data_dir: Path
    node_dir: Path
    catalog: Catalog
    store: FileStore
    metrics: Metrics
    tracing: Tracing
    background: BackgroundTasks


async def lay_ground(
    settings: Settings, stack: AsyncExitStack, metrics: Metrics, stop: asyncio.Event | None = None
) -> Ground:
    """Open catalog and store; `stack` closes them.

    Args:
        settings: Of the node.
        stack: Takes down what was opened.
        metrics: What the node shows of itself.
        stop: Ends the wait for a database that is away; without it nobody waits.

    Raises:
        StartupError: A setting, a directory, the database or the store cannot be used.
        StopAsked: `stop` came while it waited.
        Unavailable: CATALOG_FAILED.
    """
    tracing = load_tracing(os.environ)
    stack.push_async_callback(asyncio.to_thread, tracing.close)
    data_dir, node_dir = directories(settings)
    for directory in (data_dir, node_dir):
        await asyncio.to_thread(_make_directory, directory)
    catalog = await (_open_catalog(settings) if stop is None else wait_for_database(settings, stop))
    stack.push_async_callback(catalog.aclose)
    store = MeteredStore(_store(settings, data_dir), metrics.store, partial(_traced, tracing))
    stack.push_async_callback(store.aclose)
    await _check_store(store)
    return Ground(data_dir, node_dir, catalog, store, metrics, tracing, BackgroundTasks())


class StopAsked(Exception):
    """The process is to end before it serves."""


async def wait_for_database(settings: Settings, stop: asyncio.Event) -> Catalog:
    """Open the catalog, as soon as its database answers.

    Raises:
        StartupError: It cannot be used, or did not answer within `database_wait_s`.
        StopAsked: `stop` came first.
    """
    loop = asyncio.get_running_loop()
    give_up_s, wait_s, told_s = loop.time() + settings.database_wait_s, _FIRST_WAIT_S, -_TELL_EVERY_S
    while True:
        try:
            return await _open_catalog(settings)
        except RecorderError as error:
            if error.retry_after_s is None:
                raise
            left_s = give_up_s - loop.time()
            if left_s <= 0:
                raise _gave_up(error, settings.database_wait_s) from error
            if loop.time() - told_s >= _TELL_EVERY_S:
                told_s = loop.time()
                log.warning("waiting_for_database", error=error.message, left_s=round(left_s))
        with suppress(TimeoutError):
            async with asyncio.timeout(min(wait_s, left_s)):
                await stop.wait()
        if stop.is_set():
            raise StopAsked
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


async def _open_catalog(settings: Settings) -> Catalog:
    return await Catalog.open(*catalog_place(settings))


def _gave_up(error: RecorderError, waited_s: float) -> StartupError:
    message = f"{error.message}; waited {waited_s:g} s for it (RECORDER_DATABASE_WAIT_S)"
    return StartupError(error.reason, message, details=error.details)


def directories(settings: Settings) -> tuple[Path, Path]:
    """Return the absolute paths of what nodes of one machine share, and of what this node has for itself."""
    data_dir = settings.data_dir.absolute()
    return data_dir, data_dir if settings.node_dir is None else settings.node_dir.absolute()


async def token_verifier(settings: Settings, ground: Ground) -> TokenVerifier:
    """Make what finds out who is calling.

    Raises:
        StartupError: INVALID_CONFIGURATION, the file of the admin token cannot be used.
    """
    if settings.admin_token is not None:
        admin = admin_token_sha256(settings.admin_token.get_secret_value())
    else:
        admin = (await asyncio.to_thread(load_or_create_admin_token, ground.data_dir / "admin-token")).sha256
    return TokenVerifier(ground.catalog.applications, admin, now)


def now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def _store(settings: Settings, data_dir: Path) -> FileStore:
    s3 = s3_settings(settings)
    if s3 is None:
        return DirectoryStore(data_dir / "files" if settings.files_dir is None else settings.files_dir.absolute())
    # The SDK takes a while to import: only those who use it wait for it.
    from recorder_service.storage.s3 import S3Store

    return S3Store(s3)


def _traced(tracing: Tracing, operation: str) -> AbstractContextManager[object]:
    return tracing.client(f"files {operation}", {"recorder.store.operation": operation})


async def _check_store(store: FileStore) -> None:
    try:
        await store.check()
    except StartupError as error:
        if error.reason is not Reason.STORAGE_FAILED:
            raise
        # It may be away for hours: calls are recorded, and their files wait in the spool.
        log.warning("store_away", error=error.message)


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartupError(
            Reason.INVALID_CONFIGURATION,
            f"data directory {directory} cannot be made ({error.strerror}): name a writable one with --data-dir",
        ) from error

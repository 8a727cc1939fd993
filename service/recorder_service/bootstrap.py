"""The only place where parts are put together: builds a node, serves, and takes it down in order."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import structlog
import uvloop

from recorder_service.access.admin_token import admin_token_sha256, load_or_create_admin_token
from recorder_service.access.tokens import TokenVerifier
from recorder_service.api.applications import ApplicationServicer
from recorder_service.api.events import EventServicer
from recorder_service.api.interceptor import Interceptor
from recorder_service.api.recorder import RecorderServicer
from recorder_service.api.recordings import RecordingServicer
from recorder_service.api.server import GrpcServer, Servicers, Tls
from recorder_service.api.webhooks import WebhookServicer
from recorder_service.catalog.catalog import Catalog
from recorder_service.catalog.deliveries import Lease
from recorder_service.catalog_place import catalog_place
from recorder_service.config import Settings, s3_settings
from recorder_service.disk import DiskMarks, DiskWatch
from recorder_service.domain.recording import StopReason
from recorder_service.errors import Reason, RecorderError, StartupError
from recorder_service.finishing.finisher import Finisher
from recorder_service.finishing.removal import Removal
from recorder_service.finishing.spool import SpoolDirectory
from recorder_service.http.app import create_operations_app, create_public_app
from recorder_service.http.authorisation import Authorisation
from recorder_service.http.conversations import Conversations
from recorder_service.http.downloads import DownloadLimits, Downloads
from recorder_service.http.server import HttpServer
from recorder_service.http.tls import TlsFiles
from recorder_service.journal.journal import Journal
from recorder_service.journal.segments import write_durably
from recorder_service.journal.settings import JournalSettings
from recorder_service.journal.writer import JournalState
from recorder_service.logs import configure_logs
from recorder_service.metrics import Metrics
from recorder_service.probes import JournalProbe, StandingProbe
from recorder_service.sessions.admission import Admission
from recorder_service.sessions.background import BackgroundTasks
from recorder_service.sessions.conferences import Conferences
from recorder_service.sessions.live_recordings import LiveRecordings
from recorder_service.sessions.pace import Brake
from recorder_service.sessions.path_factory import PathFactory
from recorder_service.storage.directory import DirectoryStore
from recorder_service.webhooks.addresses import AddressGuard, SystemResolver
from recorder_service.webhooks.dispatcher import DispatcherSettings, WebhookDispatcher
from recorder_service.webhooks.leased_attempts import LeasedAttempts
from recorder_service.webhooks.networks import AddressRules
from recorder_service.webhooks.record_events import RecordEvents
from recorder_service.webhooks.schedule import RetrySchedule
from recorder_service.webhooks.sender import WebhookSender
from recorder_service.webhooks.transport import WebhookTransport

log = structlog.get_logger(__name__)

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_EXPIRY_INTERVAL_S = 60.0
_PURGE_INTERVAL_S = 3600.0
_DRAIN_RETRY_AFTER_S = 1.0
_LAST_WORDS_S = 5.0


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; a second signal stops at once.

    Raises:
        StartupError: A setting, a directory or a port cannot be used.
        SystemExit: The journal's disk failed; what was acknowledged is safe.
    """
    configure_logs(settings.log_level)
    if not uvloop.run(Node(settings).run()):
        raise SystemExit(1)


class FileStore(Protocol):
    """Keeps finished files: a directory or S3."""

    async def check(self) -> None:
        """Make sure that files can be kept."""

    async def store(self, key: str, source: Path, *, size_bytes: int, sha256: str) -> None:
        """Keep a file."""

    async def verify(self, key: str, *, size_bytes: int, sha256: str) -> None:
        """Make sure that what is kept is what was meant."""

    async def open(self, key: str, *, offset: int, length: int) -> AsyncGenerator[bytes, None]:
        """Give a part of a file."""

    async def delete(self, key: str) -> None:
        """Remove a file."""

    async def aclose(self) -> None:
        """Let go of threads and connections."""


@dataclass(frozen=True, slots=True)
class _Ground:
    """What everything else stands on."""

    journal: Journal
    catalog: Catalog
    store: FileStore
    verifier: TokenVerifier
    metrics: Metrics
    workers: ThreadPoolExecutor
    background: BackgroundTasks
    disk: DiskWatch


class Node:
    """One running recorder."""

    def __init__(self, settings: Settings) -> None:
        """Prepare; nothing is touched before `run`."""
        self._settings = settings
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._journal_failed = False
        self._standing = StandingProbe()
        self._brake = Brake()

    async def run(self) -> bool:
        """Serve until asked to stop; False if the journal failed."""
        for number in _STOP_SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._signalled)
        async with AsyncExitStack() as stack:
            ground = await self._ground(stack)
            authorisation = Authorisation(ground.verifier)
            conversations = Conversations(authorisation)
            downloads = self._public(ground, authorisation, conversations)
            downloads.bind()
            record_events = RecordEvents(self._settings.public_url or _own_url(self._settings, downloads.port))
            dispatcher = self._dispatcher(stack, ground)
            removal = Removal(ground.store, ground.catalog.recordings, ground.catalog.applications)
            recordings = self._recordings(ground, record_events, dispatcher)
            ground.metrics.watch(
                lambda: len(recordings), lambda: ground.journal.size_bytes, lambda: len(ground.background)
            )
            conferences = self._conferences(ground, recordings)
            conversations.attach(conferences)
            recovered = await recordings.recover()
            await conferences.recover(recordings)
            grpc_server = self._grpc(ground, recordings, conferences, removal, record_events)
            operations = self._operations(ground)
            await self._start(stack, downloads, operations, grpc_server)
            recordings.go_on()
            conferences.go_on()
            self._spawn(stack, ground.disk.run(partial(recordings.end_all, StopReason.DISK_FULL)), "disk")
            self._spawn(stack, self._brake.run(), "brake")
            self._spawn(stack, dispatcher.run(), "webhooks")
            self._spawn(stack, removal.run(_EXPIRY_INTERVAL_S), "expiry")
            self._spawn(stack, self._purge(ground.catalog), "purge")
            self._standing.ready()
            _announce(grpc_server.port, downloads.port, operations.port, recovered)
            await self._stop.wait()
            conferences.drain(_DRAIN_RETRY_AFTER_S)
            await self._drain(recordings, grpc_server, ground.background)
        _ignore_signals()
        return not self._journal_failed

    async def _ground(self, stack: AsyncExitStack) -> _Ground:
        directory = self._settings.data_dir.absolute()
        await asyncio.to_thread(_make_directory, directory)
        journal_settings = JournalSettings(commit_interval_s=self._settings.commit_interval_s)
        journal = await asyncio.to_thread(Journal.open, directory / "journal", settings=journal_settings)
        metrics = Metrics()
        loop = asyncio.get_running_loop()
        journal.start(loop, on_state=self._journal_changed, on_commit=metrics.committed)
        stack.push_async_callback(journal.close)
        catalog = await Catalog.open(*catalog_place(self._settings))
        stack.push_async_callback(catalog.aclose)
        store = self._store(directory)
        stack.push_async_callback(store.aclose)
        await self._check_store(store)
        workers = ThreadPoolExecutor(self._settings.render_threads, thread_name_prefix="render")
        stack.callback(workers.shutdown, wait=False, cancel_futures=True)
        verifier = TokenVerifier(catalog.applications, await asyncio.to_thread(self._admin_token, directory), _now)
        disk = DiskWatch(directory, _disk_marks(self._settings))
        await disk.look()
        return _Ground(journal, catalog, store, verifier, metrics, workers, BackgroundTasks(), disk)

    def _store(self, directory: Path) -> FileStore:
        s3 = s3_settings(self._settings)
        if s3 is None:
            return DirectoryStore(directory / "files")
        # The SDK takes a while to import: only those who use it wait for it.
        from recorder_service.storage.s3 import S3Store

        return S3Store(s3)

    async def _check_store(self, store: FileStore) -> None:
        try:
            await store.check()
        except StartupError as error:
            if error.reason is not Reason.STORAGE_FAILED:
                raise
            # It may be away for hours: calls are recorded, and their files wait in the spool.
            log.warning("store_away", error=error.message)

    def _admin_token(self, directory: Path) -> bytes:
        if self._settings.admin_token is not None:
            return admin_token_sha256(self._settings.admin_token.get_secret_value())
        return load_or_create_admin_token(directory / "admin-token").sha256

    def _public(self, ground: _Ground, authorisation: Authorisation, conversations: Conversations) -> HttpServer:
        limits = DownloadLimits(total=self._settings.max_downloads)
        downloads = Downloads(authorisation, ground.catalog.recordings, ground.store, ground.metrics, limits)
        application = create_public_app(downloads, conversations)
        return HttpServer(application, self._settings.host, self._settings.http_port, tls=self._https())

    def _operations(self, ground: _Ground) -> HttpServer:
        probe = JournalProbe(ground.journal)
        application = create_operations_app(ground.metrics.registry, alive=[probe], ready=[self._standing, ground.disk])
        return HttpServer(application, self._settings.host, self._settings.metrics_port)

    def _dispatcher(self, stack: AsyncExitStack, ground: _Ground) -> WebhookDispatcher[Lease]:
        resolver = SystemResolver()
        stack.callback(resolver.close)
        guard = AddressGuard(AddressRules(self._settings.webhook_allow_cidrs), resolver)
        transport = WebhookTransport(guard)
        stack.push_async_exit(transport)
        sender = WebhookSender(ground.catalog.applications, transport, RetrySchedule(), _now)
        deliveries = ground.catalog.deliveries
        attempts = LeasedAttempts(deliveries, sender, _now)
        limits = DispatcherSettings(workers=self._settings.webhook_workers)
        dispatcher = WebhookDispatcher(deliveries, deliveries.changed, attempts, _now, limits)
        stack.push_async_callback(dispatcher.stop)
        return dispatcher

    def _recordings(
        self, ground: _Ground, record_events: RecordEvents, dispatcher: WebhookDispatcher[Lease]
    ) -> LiveRecordings:
        finisher = Finisher(
            store=ground.store,
            applications=ground.catalog.applications,
            record_events=record_events,
            webhooks=dispatcher,
        )
        directory = self._settings.data_dir.absolute()
        return LiveRecordings(
            catalog=ground.catalog.recordings,
            journal=ground.journal,
            finisher=finisher,
            factory=PathFactory(SpoolDirectory(directory / "spool"), max_recording_s=self._settings.max_recording_s),
            workers=ground.workers,
            background=ground.background,
            admission=Admission(self._settings.max_live_recordings, partial(_no_room, ground)),
            brake=self._brake,
            node_id=_node_id(directory / "node-id"),
            resume_window_s=self._settings.resume_window_s,
        )

    def _conferences(self, ground: _Ground, recordings: LiveRecordings) -> Conferences:
        return Conferences(
            recordings=recordings,
            applications=ground.catalog.applications,
            journal=ground.journal,
            background=ground.background,
            resume_window_s=self._settings.resume_window_s,
            encoder=self._settings,
        )

    def _grpc(
        self,
        ground: _Ground,
        recordings: LiveRecordings,
        conferences: Conferences,
        removal: Removal,
        urls: RecordEvents,
    ) -> GrpcServer:
        catalog, settings = ground.catalog, self._settings
        servicers = Servicers(
            recorder=RecorderServicer(recordings, conferences, catalog.applications, settings, urls),
            recordings=RecordingServicer(
                catalog.recordings,
                recordings,
                removal,
                ground.store,
                urls,
                conferences=conferences,
            ),
            events=EventServicer(catalog.events, urls, max_subscribers=settings.max_subscribers),
            applications=ApplicationServicer(catalog.applications, removal, ground.verifier.forget),
            webhooks=WebhookServicer(catalog.deliveries),
        )
        interceptor = Interceptor(ground.verifier, ground.metrics.count_rpc)
        tls = None
        if settings.tls_cert is not None and settings.tls_key is not None:
            tls = Tls(settings.tls_cert, settings.tls_key, settings.tls_client_ca)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        return GrpcServer(servicers, interceptor, address=f"{host}:{settings.grpc_port}", tls=tls)

    def _https(self) -> TlsFiles | None:
        if self._settings.tls_cert is None or self._settings.tls_key is None:
            return None
        return TlsFiles(self._settings.tls_cert, self._settings.tls_key)

    async def _start(
        self, stack: AsyncExitStack, downloads: HttpServer, operations: HttpServer, grpc_server: GrpcServer
    ) -> None:
        for server in (operations, downloads):
            await server.start()
            stack.push_async_callback(server.stop, _LAST_WORDS_S)
        await grpc_server.start()
        stack.push_async_callback(grpc_server.stop, 0)

    def _spawn(self, stack: AsyncExitStack, work: Coroutine[object, object, None], name: str) -> None:
        """Run a task until the node goes down; its failure takes the node down, in order."""
        task = asyncio.create_task(work, name=name)

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and not self._stop.is_set():
                log.error("task_ended", task=name, exc_info=task.exception())
                self._stop.set()

        async def cancel() -> None:
            task.cancel()
            await asyncio.wait((task,), timeout=_LAST_WORDS_S)

        task.add_done_callback(ended)
        stack.push_async_callback(cancel)

    async def _purge(self, catalog: Catalog) -> None:
        """Forget old events and finished deliveries, hour by hour."""
        keep = timedelta(days=self._settings.event_retention_days)
        while True:
            try:
                await catalog.events.purge(_now() - keep)
                await catalog.deliveries.purge(_now() - keep)
            except RecorderError as error:
                log.warning("purge_failed", reason=error.reason.name, error=error.message)
            await asyncio.sleep(_PURGE_INTERVAL_S)

    async def _drain(self, recordings: LiveRecordings, server: GrpcServer, background: BackgroundTasks) -> None:
        """Ask senders to come back elsewhere, and let calls that are about to end do so."""
        log.info("draining", live_recordings=len(recordings))
        self._standing.draining()
        await server.refuse()
        recordings.drain(_DRAIN_RETRY_AFTER_S)
        ended = asyncio.create_task(recordings.wait_idle())
        now = asyncio.create_task(self._stop_now.wait())
        grace_s = 0 if self._journal_failed else self._settings.drain_grace_s
        await asyncio.wait((ended, now), timeout=grace_s, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        now.cancel()
        await server.stop(0)
        if not self._stop_now.is_set() and not await background.wait(_LAST_WORDS_S):
            log.warning("stopped_while_finishing", tasks=len(background))
        # What is cut off here is in the journal: the next start goes on from there.
        await background.cancel()

    def _signalled(self) -> None:
        if self._stop.is_set():
            self._stop_now.set()
        self._stop.set()

    def _journal_changed(self, state: JournalState) -> None:
        if state is JournalState.FAILED:
            log.error(
                "journal_failed", fix="check the disk of the journal, then start again: nothing acknowledged is lost"
            )
            self._journal_failed = True
            self._stop.set()


def _ignore_signals() -> None:
    """Let a signal that comes when everything is done not turn an orderly end into a death by that signal."""
    for number in _STOP_SIGNALS:
        asyncio.get_running_loop().remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)


def _no_room(ground: _Ground) -> RecorderError | None:
    return ground.disk.refusal() or ground.journal.refusal()


def _announce(grpc_port: int, http_port: int, metrics_port: int, recovered: int) -> None:
    """Tell whoever started the process, in one line, that it serves."""
    ports = {"grpc_port": grpc_port, "http_port": http_port, "metrics_port": metrics_port}
    line = {"status": "serving", **ports, "pid": os.getpid(), "recovered_recordings": recovered}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _own_url(settings: Settings, port: int) -> str:
    scheme = "http" if settings.tls_cert is None else "https"
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{scheme}://{host}:{port}"


def _disk_marks(settings: Settings) -> DiskMarks:
    return DiskMarks(
        soft_percent=settings.disk_soft_percent,
        hard_percent=settings.disk_hard_percent,
        soft_bytes=settings.disk_soft_mib << 20,
        hard_bytes=settings.disk_hard_mib << 20,
    )


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartupError(
            Reason.INVALID_CONFIGURATION,
            f"data directory {directory} cannot be made ({error.strerror}): name a writable one with --data-dir",
        ) from error


def _node_id(path: Path) -> str:
    """Return the name under which the catalog knows this node: made once, durably, it stays with the journal."""
    if not path.exists():
        write_durably(path, str(uuid4()).encode())
    return path.read_text().strip()


def _now() -> datetime:
    return datetime.now(UTC)

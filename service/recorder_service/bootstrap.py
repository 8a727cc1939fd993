"""The only place where parts are put together: builds a node, serves, and takes it down in order."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, AsyncExitStack
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
from recorder_service.config import Settings, s3_settings
from recorder_service.disk import DiskMarks, DiskWatch
from recorder_service.domain.recording import StopReason
from recorder_service.errors import Reason, RecorderError, StartupError
from recorder_service.finishing.finisher import Finisher
from recorder_service.finishing.removal import Removal
from recorder_service.finishing.spool import SpoolDirectory
from recorder_service.http.app import create_download_app, create_operations_app
from recorder_service.http.downloads import DownloadLimits, Downloads
from recorder_service.http.health import Probe
from recorder_service.http.server import HttpServer
from recorder_service.http.tls import TlsFiles
from recorder_service.journal.journal import Journal
from recorder_service.journal.segments import write_durably
from recorder_service.journal.settings import JournalSettings
from recorder_service.journal.writer import JournalState
from recorder_service.logs import configure_logs
from recorder_service.metrics.looks import Look, keep_looking, look_at_audio, look_at_spool
from recorder_service.metrics.node import Metrics
from recorder_service.metrics.storage import MeteredStore
from recorder_service.probes import AdmissionProbe, JournalProbe, StandingProbe
from recorder_service.sessions.admission import Admission
from recorder_service.sessions.background import BackgroundTasks
from recorder_service.sessions.live_recordings import LiveRecordings
from recorder_service.sessions.pace import Brake
from recorder_service.sessions.path_factory import PathFactory
from recorder_service.storage.directory import DirectoryStore
from recorder_service.tracing.loading import load_tracing
from recorder_service.tracing.transport import TracedTransport
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
# How often the metrics look at what the node knows, and at what has to be asked for.
_LOOK_S = 1.0
_QUERY_S = 5.0


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
    admission: Admission


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
        self._tracing = load_tracing(os.environ)

    async def run(self) -> bool:
        """Serve until asked to stop; False if the journal failed."""
        for number in _STOP_SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._signalled)
        async with AsyncExitStack() as stack:
            ground = await self._ground(stack)
            # Before recovery: whoever watches the node sees that it lives and recovers.
            operations = await self._operations(stack, ground)
            downloads = self._downloads(ground)
            downloads.bind()
            record_events = RecordEvents(self._settings.public_url or _own_url(self._settings, downloads.port))
            dispatcher = self._dispatcher(stack, ground)
            removal = Removal(ground.store, ground.catalog.recordings, ground.catalog.applications)
            recordings = self._recordings(ground, record_events, dispatcher)
            self._watch(stack, ground, recordings)
            recovered = await recordings.recover()
            grpc_server = self._grpc(ground, recordings, removal, record_events)
            await self._start(stack, downloads, grpc_server)
            recordings.go_on()
            self._spawn(stack, ground.disk.run(partial(recordings.end_all, StopReason.DISK_FULL)), "disk")
            self._spawn(stack, self._brake.run(), "brake")
            self._spawn(stack, dispatcher.run(), "webhooks")
            self._spawn(stack, removal.run(_EXPIRY_INTERVAL_S), "expiry")
            self._spawn(stack, self._purge(ground.catalog), "purge")
            self._standing.ready()
            self._spawn(stack, grpc_server.follow(partial(_all_well, self._ready(ground))), "health")
            _announce(grpc_server.port, downloads.port, operations.port, recovered)
            await self._stop.wait()
            await self._drain(recordings, grpc_server, ground.background)
        _ignore_signals()
        return not self._journal_failed

    async def _ground(self, stack: AsyncExitStack) -> _Ground:
        directory = self._settings.data_dir.absolute()
        await asyncio.to_thread(_make_directory, directory)
        journal_settings = JournalSettings(commit_interval_s=self._settings.commit_interval_s)
        journal = await asyncio.to_thread(Journal.open, directory / "journal", settings=journal_settings)
        metrics = Metrics()
        stack.push_async_callback(asyncio.to_thread, self._tracing.close)
        loop = asyncio.get_running_loop()
        told = metrics.journal
        told.recovered(journal.recovered)
        journal.start(loop, on_state=self._journal_changed, on_commit=told.committed, on_sync=told.synced)
        stack.push_async_callback(journal.close)
        catalog = await Catalog.open(f"sqlite:///{directory / 'catalog.db'}")
        stack.push_async_callback(catalog.aclose)
        store = MeteredStore(self._store(directory), metrics.store, self._traced_store)
        stack.push_async_callback(store.aclose)
        await self._check_store(store)
        workers = metrics.audio.workers(self._settings.render_threads)
        stack.callback(workers.shutdown, wait=False, cancel_futures=True)
        verifier = TokenVerifier(catalog.applications, await asyncio.to_thread(self._admin_token, directory), _now)
        disk = DiskWatch(directory, _disk_marks(self._settings))
        await disk.look()
        admission = Admission(self._settings.max_live_recordings, partial(_no_room, disk, journal))
        return _Ground(journal, catalog, store, verifier, metrics, workers, BackgroundTasks(), disk, admission)

    def _store(self, directory: Path) -> FileStore:
        s3 = s3_settings(self._settings)
        if s3 is None:
            return DirectoryStore(directory / "files")
        # The SDK takes a while to import: only those who use it wait for it.
        from recorder_service.storage.s3 import S3Store

        return S3Store(s3)

    def _traced_store(self, operation: str) -> AbstractContextManager[object]:
        return self._tracing.client(f"files {operation}", {"recorder.store.operation": operation})

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

    def _downloads(self, ground: _Ground) -> HttpServer:
        limits = DownloadLimits(total=self._settings.max_downloads)
        downloads = Downloads(
            ground.verifier, ground.catalog.recordings, ground.store, ground.metrics.downloads, limits
        )
        application = create_download_app(downloads)
        return HttpServer(application, self._settings.host, self._settings.http_port, tls=self._https())

    async def _operations(self, stack: AsyncExitStack, ground: _Ground) -> HttpServer:
        """Serve health and metrics."""
        alive, ready = JournalProbe(ground.journal), self._ready(ground)
        ground.metrics.readiness.watch((alive, *ready))
        application = create_operations_app(ground.metrics.registry, alive=[alive], ready=ready)
        server = HttpServer(application, self._settings.host, self._settings.metrics_port)
        await server.start()
        stack.push_async_callback(server.stop, _LAST_WORDS_S)
        return server

    def _ready(self, ground: _Ground) -> list[Probe]:
        return [self._standing, ground.disk, AdmissionProbe(ground.admission)]

    def _watch(self, stack: AsyncExitStack, ground: _Ground, recordings: LiveRecordings) -> None:
        """Let the metrics see what they count."""
        metrics, catalog, disk, journal = ground.metrics, ground.catalog, ground.disk, ground.journal
        metrics.recordings.watch(lambda: recordings)
        metrics.watch_background(lambda: len(ground.background))

        async def look_at_node() -> None:
            metrics.journal.look(journal)
            metrics.disk.look_at_disk(disk.free_bytes, disk.room_bytes)

        async def look_at_outbox() -> None:
            found = await catalog.backlog.look()
            metrics.webhooks.look(found.pending, found.oldest)

        spool = self._settings.data_dir.absolute() / "spool"
        looks = [
            Look("node", _LOOK_S, look_at_node),
            Look("audio", _LOOK_S, partial(look_at_audio, recordings, metrics.audio)),
            Look("spool", _QUERY_S, partial(look_at_spool, spool, metrics.disk)),
            Look("outbox", _QUERY_S, look_at_outbox),
        ]
        self._spawn(stack, keep_looking(looks), "looks")
        self._spawn(stack, metrics.process.watch_loop(), "loop")

    def _dispatcher(self, stack: AsyncExitStack, ground: _Ground) -> WebhookDispatcher[Lease]:
        resolver = SystemResolver()
        stack.callback(resolver.close)
        guard = AddressGuard(AddressRules(self._settings.webhook_allow_cidrs), resolver)
        transport = WebhookTransport(guard)
        stack.push_async_exit(transport)
        sender = WebhookSender(
            ground.catalog.applications, TracedTransport(transport, self._tracing), RetrySchedule(), _now
        )
        deliveries = ground.catalog.deliveries
        attempts = LeasedAttempts(deliveries, sender, _now, meter=ground.metrics.webhooks)
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
            factory=PathFactory(
                SpoolDirectory(directory / "spool"),
                max_recording_s=self._settings.max_recording_s,
                clocked=ground.metrics.audio.encoder,
            ),
            workers=ground.workers,
            background=ground.background,
            admission=ground.admission,
            brake=self._brake,
            node_id=_node_id(directory / "node-id"),
            resume_window_s=self._settings.resume_window_s,
            meter=ground.metrics.recordings,
        )

    def _grpc(self, ground: _Ground, recordings: LiveRecordings, removal: Removal, urls: RecordEvents) -> GrpcServer:
        catalog, settings = ground.catalog, self._settings
        servicers = Servicers(
            recorder=RecorderServicer(recordings, catalog.applications, settings, urls),
            recordings=RecordingServicer(catalog.recordings, recordings, removal, ground.store, urls),
            events=EventServicer(
                catalog.events, urls, max_subscribers=settings.max_subscribers, meter=ground.metrics.events
            ),
            applications=ApplicationServicer(catalog.applications, removal, ground.verifier.forget),
            webhooks=WebhookServicer(catalog.deliveries),
        )
        interceptor = Interceptor(ground.verifier, ground.metrics.requests.ended, self._tracing)
        tls = None
        if settings.tls_cert is not None and settings.tls_key is not None:
            tls = Tls(settings.tls_cert, settings.tls_key, settings.tls_client_ca)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        return GrpcServer(servicers, interceptor, address=f"{host}:{settings.grpc_port}", tls=tls)

    def _https(self) -> TlsFiles | None:
        if self._settings.tls_cert is None or self._settings.tls_key is None:
            return None
        return TlsFiles(self._settings.tls_cert, self._settings.tls_key)

    async def _start(self, stack: AsyncExitStack, downloads: HttpServer, grpc_server: GrpcServer) -> None:
        await downloads.start()
        stack.push_async_callback(downloads.stop, _LAST_WORDS_S)
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


def _all_well(probes: Sequence[Probe]) -> bool:
    return all(probe.fault() is None for probe in probes)


def _no_room(disk: DiskWatch, journal: Journal) -> RecorderError | None:
    return disk.refusal() or journal.refusal()


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

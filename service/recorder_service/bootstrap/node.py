"""One node: built from its role's parts, served, and taken down in order."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from functools import partial

import structlog

from recorder_service.api.conference_control import ConferenceControl
from recorder_service.api.relay import Relay
from recorder_service.api.server import GrpcServer
from recorder_service.bootstrap import upkeep
from recorder_service.bootstrap.ground import Ground, StopAsked, lay_ground, token_verifier
from recorder_service.bootstrap.recording import Callbacks, Desk, Live, live_of, live_recordings, open_desk
from recorder_service.bootstrap.serving import (
    Service,
    advertised,
    conference_recording,
    grpc_server,
    operations_server,
    own_url,
    public_server,
    relay,
)
from recorder_service.bootstrap.watching import looks
from recorder_service.catalog.deliveries import Lease
from recorder_service.cluster.parent import wait_for_parent
from recorder_service.config import Settings
from recorder_service.domain.recording import StopReason
from recorder_service.finishing.finisher import Finisher
from recorder_service.finishing.removal import Removal
from recorder_service.finishing.sweeping import sweep_now_and_then
from recorder_service.http.authorisation import Authorisation
from recorder_service.http.conversations import Conversations
from recorder_service.http.health import Probe
from recorder_service.http.server import HttpServer
from recorder_service.journal.writer import JournalState
from recorder_service.metrics.looks import keep_looking
from recorder_service.metrics.node import Metrics
from recorder_service.probes import AdmissionProbe, JournalProbe, StandingProbe
from recorder_service.rendering.pool import RenderProcesses
from recorder_service.sessions.live_recordings import LiveRecordings
from recorder_service.webhooks.dispatcher import WebhookDispatcher
from recorder_service.webhooks.record_events import RecordEvents

log = structlog.get_logger(__name__)

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_DRAIN_RETRY_AFTER_S = 1.0
_LAST_WORDS_S = 5.0
_GIVE_BACK_S = 1.0
# A fenced node only says goodbye.
_FENCED_GRACE_S = 1.0


class Node:
    """One running recorder."""

    def __init__(self, settings: Settings) -> None:
        """Prepare; nothing is touched before `run`."""
        self._settings = settings
        self._role = settings.role
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._failed = False
        self._fenced = False
        self._standing = StandingProbe()

    async def run(self) -> bool:
        """Serve until asked to stop; False if the journal failed or the lease was lost for good."""
        for number in _STOP_SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._signalled)
        async with AsyncExitStack() as stack:
            if self._settings.supervised:
                self._spawn(stack, wait_for_parent(self._signalled), "parent")
            with contextlib.suppress(StopAsked):
                await self._serve(stack)
        _ignore_signals()
        return not (self._failed or self._fenced)

    async def _serve(self, stack: AsyncExitStack) -> None:
        settings = self._settings
        # First of all: whoever watches the node sees that it lives, waits for its database, and recovers.
        metrics, alive = Metrics(), list[Probe]()
        ready: list[Probe] = [self._standing]
        operations = await self._operations(stack, metrics, alive, ready)
        ground = await lay_ground(settings, stack, metrics, self._stop)
        self._standing.recovering()
        verifier = await token_verifier(settings, ground)
        authorisation = Authorisation(verifier)
        conversations = Conversations(authorisation)
        downloads = None
        if self._role.serves_files:
            downloads = public_server(settings, ground, authorisation, conversations)
        http_port = 0 if downloads is None else downloads.bind()
        urls = RecordEvents(settings.public_url or own_url(settings, http_port))
        dispatcher = upkeep.webhook_dispatcher(settings, ground, stack)
        removal = Removal(ground.store, ground.catalog.recordings, ground.catalog.applications)
        desk, live = await self._recorder(stack, ground, urls, dispatcher)
        if desk is not None:
            alive.append(JournalProbe(desk.journal))
            ready.extend((desk.disk, desk.lease, AdmissionProbe(desk.admission)))
        metrics.readiness.watch((*alive, *ready))
        self._spawn(stack, keep_looking(looks(ground, desk, None if live is None else live.recordings)), "looks")
        self._spawn(stack, ground.metrics.process.watch_loop(), "loop")
        recovered = 0 if live is None else await live.recover()
        cluster = relay(settings, ground, stack)
        conferences = conference_recording(live, ground)
        conversations.attach(ConferenceControl(conferences, None if cluster is None else cluster[1]))
        service = Service(ground, verifier, removal, urls, live)
        grpc = None
        if self._role.records or self._role.serves_files:
            grpc = grpc_server(settings, service, None if cluster is None else cluster[0])
        await self._start(stack, downloads, grpc)
        await self._take_part(stack, desk, live, grpc)
        if self._role.keeps_house:
            self._keep_house(stack, ground, dispatcher, removal)
        self._standing.ready()
        if grpc is not None:
            self._spawn(stack, grpc.follow(partial(_all_well, ready)), "health")
        _announce(grpc, downloads, operations, recovered)
        await self._stop.wait()
        await self._drain(live, grpc, ground, None if cluster is None else cluster[1])

    async def _recorder(
        self, stack: AsyncExitStack, ground: Ground, urls: RecordEvents, dispatcher: WebhookDispatcher[Lease]
    ) -> tuple[Desk | None, Live | None]:
        """Open what records, if the role does."""
        if not self._role.records:
            return None, None

        def fenced() -> None:
            ground.metrics.leases.lost()
            self._lease_lost()

        desk = await open_desk(self._settings, ground, stack, Callbacks(self._journal_changed, fenced))
        self._spawn(stack, desk.lease.run(), "lease")
        if desk.processes is not None:
            self._spawn(stack, self._watch_rendering(desk.processes), "rendering")
        finisher = Finisher(
            store=ground.store, applications=ground.catalog.applications, record_events=urls, webhooks=dispatcher
        )
        recordings = live_recordings(self._settings, ground, desk, finisher)
        return desk, live_of(self._settings, ground, desk, recordings)

    async def _operations(
        self, stack: AsyncExitStack, metrics: Metrics, alive: Sequence[Probe], ready: Sequence[Probe]
    ) -> HttpServer:
        metrics.readiness.watch(ready)
        server = operations_server(self._settings, metrics, alive, ready)
        await server.start()
        stack.push_async_callback(server.stop, _LAST_WORDS_S)
        return server

    async def _start(self, stack: AsyncExitStack, downloads: HttpServer | None, grpc: GrpcServer | None) -> None:
        if downloads is not None:
            await downloads.start()
            stack.push_async_callback(downloads.stop, _LAST_WORDS_S)
        if grpc is not None:
            await grpc.start()
            stack.push_async_callback(grpc.stop, 0)

    async def _take_part(
        self, stack: AsyncExitStack, desk: Desk | None, live: Live | None, grpc: GrpcServer | None
    ) -> None:
        """Let other nodes find this one, and what was brought back live again."""
        if desk is None or live is None or grpc is None:
            return
        if grpc.peer_port:
            await desk.lease.advertise(advertised(self._settings, grpc.peer_port))
        live.go_on()
        self._spawn(stack, desk.brake.run(), "brake")
        self._spawn(stack, desk.disk.run(partial(live.recordings.end_all, StopReason.DISK_FULL)), "disk")

    def _keep_house(
        self, stack: AsyncExitStack, ground: Ground, dispatcher: WebhookDispatcher[Lease], removal: Removal
    ) -> None:
        self._spawn(stack, dispatcher.run(), "webhooks")
        self._spawn(stack, removal.run(upkeep.EXPIRY_INTERVAL_S), "expiry")
        self._spawn(stack, upkeep.purge(self._settings, ground), "purge")
        self._spawn(stack, sweep_now_and_then(ground.store, upkeep.SWEEP_INTERVAL_S), "sweep")

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

    async def _drain(self, live: Live | None, grpc: GrpcServer | None, ground: Ground, passing: Relay | None) -> None:
        """Ask senders to come back elsewhere, and let calls that are about to end do so."""
        log.info("draining", live_recordings=0 if live is None else len(live.recordings))
        self._standing.draining()
        given_back = 0 if passing is None else len(passing)
        if passing is not None:
            passing.drain()
        if grpc is not None:
            await grpc.refuse()
        if live is not None:
            live.drain(_DRAIN_RETRY_AFTER_S)
            await self._wait_for_calls(live.recordings)
            await live.leave()
        if grpc is not None:
            # Streams that were passed on are told so now, however early the node has nothing else to wait for.
            await grpc.stop(_GIVE_BACK_S if given_back and not self._stop_now.is_set() else 0)
        if not self._stop_now.is_set() and not await ground.background.wait(_LAST_WORDS_S):
            log.warning("stopped_while_finishing", tasks=len(ground.background))
        # What is cut off here is in the journal: the next start goes on from there.
        await ground.background.close()

    async def _wait_for_calls(self, recordings: LiveRecordings) -> None:
        ended = asyncio.create_task(recordings.wait_idle())
        now = asyncio.create_task(self._stop_now.wait())
        grace_s = 0 if self._failed else _FENCED_GRACE_S if self._fenced else self._settings.drain_grace_s
        await asyncio.wait((ended, now), timeout=grace_s, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        now.cancel()

    def _signalled(self) -> None:
        if self._stop.is_set():
            self._stop_now.set()
        self._stop.set()

    def _lease_lost(self) -> None:
        self._fenced = True
        self._stop.set()

    async def _watch_rendering(self, processes: RenderProcesses) -> None:
        """End the node when a render process has ended: the next start makes from the journal what was in it."""
        await processes.lost()
        log.error("render_process_ended", fix="look for the system's out-of-memory killer, then start again")
        self._failed = True
        self._stop.set()

    def _journal_changed(self, state: JournalState) -> None:
        if state is JournalState.FAILED:
            log.error(
                "journal_failed", fix="check the disk of the journal, then start again: nothing acknowledged is lost"
            )
            self._failed = True
            self._stop.set()


def _all_well(probes: Sequence[Probe]) -> bool:
    return all(probe.fault() is None for probe in probes)


def _ignore_signals() -> None:
    """Let a signal that comes when everything is done not turn an orderly end into a death by that signal."""
    for number in _STOP_SIGNALS:
        asyncio.get_running_loop().remove_signal_handler(number)
        signal.signal(number, signal.SIG_IGN)


def _announce(grpc: GrpcServer | None, downloads: HttpServer | None, operations: HttpServer, recovered: int) -> None:
    """Tell whoever started the process, in one line, that it serves; a port of what it does not serve is null."""
    line = {
        "status": "serving",
        "grpc_port": None if grpc is None else grpc.port,
        "http_port": None if downloads is None else downloads.port,
        "metrics_port": operations.port,
        "cluster_port": None if grpc is None or not grpc.peer_port else grpc.peer_port,
        "pid": os.getpid(),
        "recovered_recordings": recovered,
    }
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()

"""The part of a node that records: its journal, its lease, its live recordings."""

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from uuid import uuid4

import sqlalchemy as sa

from recorder_service.api.rounds import Rounds
from recorder_service.audio.plan import Plan, Rendering
from recorder_service.bootstrap.ground import Ground
from recorder_service.catalog.nodes import check_claim
from recorder_service.catalog.recordings import Recordings
from recorder_service.catalog_place import is_shared
from recorder_service.cluster.joining import Applicant, join, place_of
from recorder_service.cluster.lease import Lease
from recorder_service.config import Settings
from recorder_service.disk import DiskMarks, DiskWatch
from recorder_service.errors import Conflict, NotFound, Reason, RecorderError, StartupError
from recorder_service.finishing.finisher import Finisher
from recorder_service.finishing.spool import SpoolDirectory
from recorder_service.journal.journal import Journal
from recorder_service.journal.segments import write_durably
from recorder_service.journal.settings import JournalSettings
from recorder_service.journal.writer import JournalState
from recorder_service.rendering.pool import RenderProcesses
from recorder_service.sessions.admission import Admission
from recorder_service.sessions.conferences import Conferences
from recorder_service.sessions.live_recordings import LiveRecordings
from recorder_service.sessions.pace import Brake
from recorder_service.sessions.path_factory import PathFactory
from recorder_service.sessions.shared_conferences import SharedConferences
from recorder_service.sessions.workers import Workers

NODE_ID_FILE = "node-id"
JOURNAL_DIRECTORY = "journal"
_LOCK_FILE = "lock"


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What a node is told by its parts."""

    on_journal_state: Callable[[JournalState], None]
    on_fenced: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Desk:
    """What a node records with.

    Attributes:
        recordings: The catalog's, as the owner of what this node records may write them.
        rounds: Where its streams wait for each other.
        processes: Where audio is rendered; None if that is done here.
    """

    journal: Journal
    lease: Lease
    disk: DiskWatch
    recordings: Recordings
    brake: Brake
    workers: Workers = field(repr=False)
    admission: Admission = field(repr=False)
    rounds: Rounds
    processes: RenderProcesses | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Live:
    """What is going on at a node that records.

    Attributes:
        rounds: Where its streams wait for each other.
        shared: Stands before the conferences where other nodes may have their names; None where there are none.
    """

    recordings: LiveRecordings
    conferences: Conferences
    rounds: Rounds
    shared: SharedConferences | None = None

    @property
    def entrance(self) -> Conferences | SharedConferences:
        """Where streams of conferences, and requests that concern conferences, come in."""
        return self.shared or self.conferences

    async def recover(self) -> int:
        """Bring back what a former run left unfinished, and return how many recordings that is."""
        count = await self.recordings.recover()
        await self.conferences.recover(self.recordings)
        if self.shared is not None:
            await self.shared.recover()
        return count

    def go_on(self) -> None:
        """Let what was brought back live again, now that streams can come."""
        self.recordings.go_on()
        self.conferences.go_on()
        if self.shared is not None:
            self.shared.go_on()

    def drain(self, retry_after_s: float) -> None:
        """Take nothing new, and ask the senders to come back elsewhere."""
        self.conferences.drain(retry_after_s)
        self.recordings.drain(retry_after_s)

    async def leave(self) -> None:
        """Keep what goes on after the next start from being taken over meanwhile."""
        if self.shared is not None:
            await self.shared.keep()


async def open_desk(
    settings: Settings, ground: Ground, stack: AsyncExitStack, callbacks: Callbacks, *, patient: bool = True
) -> Desk:
    """Take the journal and the lease; `stack` gives them back.

    Args:
        settings: Of the node.
        ground: What it stands on.
        stack: Takes it down.
        callbacks: Whom to tell.
        patient: Whether to wait for the lease of a former run on another machine to end.

    Raises:
        StartupError: DIRECTORY_LOCKED: another process has the journal or the lease; or the journal cannot be used.
    """
    directory = ground.node_dir / JOURNAL_DIRECTORY
    journal_settings = JournalSettings(commit_interval_s=settings.commit_interval_s)
    journal = await asyncio.to_thread(Journal.open, directory, settings=journal_settings)
    told = ground.metrics.journal
    told.recovered(journal.recovered)
    loop = asyncio.get_running_loop()
    rounds = Rounds(settings.round_interval_s)
    journal.start(
        loop,
        on_state=callbacks.on_journal_state,
        on_commit=told.committed,
        on_sync=told.synced,
        arrival_s=rounds.arrival_s,
    )
    stack.push_async_callback(journal.close)
    place = await asyncio.to_thread(place_of, directory / _LOCK_FILE)
    node_id = await asyncio.to_thread(_node_id, ground.node_dir / NODE_ID_FILE)
    await _check_catalog(ground, journal, node_id)
    applicant = Applicant(node_id, settings.role, place, settings.lease_s, patient)
    taken = await join(ground.catalog.nodes, applicant)
    nodes = ground.catalog.nodes
    lease = Lease(nodes, taken.claim, settings.lease_s, taken_s=taken.asked_s, on_fenced=callbacks.on_fenced)
    stack.push_async_callback(lease.leave)
    processes = None
    if settings.render_processes:
        processes = await RenderProcesses.start(settings.render_processes)
        stack.push_async_callback(processes.close)
    disk = DiskWatch(ground.node_dir, _disk_marks(settings))
    await disk.look()
    owned = ground.catalog.recordings.guarded(partial(_guard, lease))
    brake, workers = Brake(), _workers(settings, ground, stack)
    admission = Admission(settings.max_live_recordings, partial(_no_room, disk, journal, lease, brake, workers))
    return Desk(journal, lease, disk, owned, brake, workers, admission, rounds, processes)


def _workers(settings: Settings, ground: Ground, stack: AsyncExitStack) -> Workers:
    """Start the threads that render: so many for calls in real time, as many each for ends and for backlogs."""
    threads = max(settings.render_threads, settings.render_processes)
    told = ground.metrics.audio
    told.threads(threads)
    # Ends wait for a process or for the disk: no batch shall wait behind them.
    prompt, patient = told.workers(2 * threads), told.workers(threads)
    for pool in (prompt, patient):
        stack.callback(pool.shutdown, wait=False, cancel_futures=True)
    workers = Workers(prompt, patient, threads)
    stack.callback(workers.close)
    return workers


def live_recordings(settings: Settings, ground: Ground, desk: Desk, finisher: Finisher) -> LiveRecordings:
    """Make the node's live recordings, with nothing in them yet."""
    spool = SpoolDirectory(ground.node_dir / "spool")
    recordings = LiveRecordings(
        catalog=desk.recordings,
        journal=desk.journal,
        finisher=finisher,
        factory=PathFactory(
            spool,
            max_recording_s=settings.max_recording_s,
            render=_render(desk.processes),
            on_encoded=ground.metrics.audio.encoded,
        ),
        workers=desk.workers,
        background=ground.background,
        admission=desk.admission,
        brake=desk.brake,
        node_id=desk.lease.claim.node_id,
        resume_window_s=settings.resume_window_s,
        meter=ground.metrics.recordings,
    )
    ground.metrics.recordings.watch(lambda: recordings)
    ground.metrics.watch_background(lambda: len(ground.background))
    return recordings


def _render(processes: RenderProcesses | None) -> Callable[[Plan], Rendering]:
    """Return what begins the rendering of a recording."""
    if processes is not None:
        return processes.begin
    # NumPy and the encoders are loaded only where audio is rendered.
    from recorder_service.audio.rendition import Rendition

    return Rendition


def _conferences(settings: Settings, ground: Ground, desk: Desk, recordings: LiveRecordings) -> Conferences:
    """Make the node's conferences, with nothing in them yet."""
    return Conferences(
        recordings=recordings,
        applications=ground.catalog.applications,
        journal=desk.journal,
        background=ground.background,
        resume_window_s=settings.resume_window_s,
        encoder=settings,
    )


def live_of(settings: Settings, ground: Ground, desk: Desk, recordings: LiveRecordings) -> Live:
    """Put together what is going on at a node, with nothing in it yet."""
    conferences = _conferences(settings, ground, desk, recordings)
    if not is_shared(settings):
        # Nobody else can have a name: the catalog is not asked.
        return Live(recordings, conferences, desk.rounds)
    shared = SharedConferences(
        conferences,
        ground.catalog.conferences.guarded(partial(_guard, desk.lease)),
        desk.lease.claim,
        may_inherit=lambda: desk.lease.steady,
        background=ground.background,
        keep_s=settings.resume_window_s,
    )
    return Live(recordings, conferences, desk.rounds, shared)


def _no_room(disk: DiskWatch, journal: Journal, lease: Lease, brake: Brake, workers: Workers) -> RecorderError | None:
    """Return why no recording may begin, or None."""
    return disk.refusal() or journal.refusal() or lease.refusal() or brake.refusal() or workers.refusal()


async def _check_catalog(ground: Ground, journal: Journal, node_id: str) -> None:
    """Refuse a catalog that never saw this node: all of the journal's audio would look like rubbish in it.

    Raises:
        StartupError: INVALID_CONFIGURATION.
    """
    left = journal.recordings()
    if not left or await ground.catalog.nodes.find(node_id) is not None:
        return
    for recording_id in left:
        # The catalog of a version that knew no nodes.
        with contextlib.suppress(NotFound):
            await ground.catalog.recordings.get(recording_id, None)
            return
    raise StartupError(
        Reason.INVALID_CONFIGURATION,
        f"the journal in {ground.node_dir} holds {len(left)} recordings, but the catalog knows neither them nor node "
        f"{node_id}: give the RECORDER_DATABASE_URL or --data-dir that the node had, or move `journal`, `spool` and "
        "`node-id` away",
        details={"field": "database_url", "node_id": node_id},
    )


def _guard(lease: Lease, connection: sa.Connection) -> None:
    """Refuse a write of this node unless its lease is held, here and in the transaction that writes."""
    lease.check()
    try:
        check_claim(connection, lease.claim)
    except Conflict:
        lease.lose()
        raise


def _disk_marks(settings: Settings) -> DiskMarks:
    return DiskMarks(
        soft_percent=settings.disk_soft_percent,
        hard_percent=settings.disk_hard_percent,
        soft_bytes=settings.disk_soft_mib << 20,
        hard_bytes=settings.disk_hard_mib << 20,
    )


def _node_id(path: Path) -> str:
    """Return the name under which the catalog knows this node: made once, durably, it stays with the journal."""
    if not path.exists():
        write_durably(path, str(uuid4()).encode())
    return path.read_text().strip()

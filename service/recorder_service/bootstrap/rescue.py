"""Finishing the recordings of a journal whose node is gone."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from recorder_service.bootstrap import upkeep
from recorder_service.bootstrap.ground import Ground, directories, lay_ground
from recorder_service.bootstrap.recording import (
    JOURNAL_DIRECTORY,
    NODE_ID_FILE,
    Callbacks,
    live_of,
    live_recordings,
    open_desk,
)
from recorder_service.bootstrap.serving import own_url
from recorder_service.config import Settings
from recorder_service.domain.recording import Recording, RecordingState
from recorder_service.errors import Reason, StartupError
from recorder_service.finishing.finisher import Finisher
from recorder_service.metrics.node import Metrics
from recorder_service.sessions.live_recordings import LiveRecordings
from recorder_service.webhooks.record_events import RecordEvents

Progress = Callable[[int, int], None]

_LOOK_INTERVAL_S = 0.1


@dataclass(frozen=True, slots=True)
class Rescued:
    """What became of the recordings.

    Attributes:
        node_id: Whose they were.
        recordings: Each in its state now, in the order of their starts.
    """

    node_id: str
    recordings: tuple[Recording, ...]

    @property
    def unfinished(self) -> tuple[Recording, ...]:
        """Those that could not be finished; their audio is still in the journal."""
        left = (RecordingState.RECORDING, RecordingState.PAUSED, RecordingState.FINISHING)
        return tuple(recording for recording in self.recordings if recording.state in left)


async def rescue(settings: Settings, progress: Progress) -> Rescued:
    """Take the place of a node that is gone, until everything it had begun is finished.

    Raises:
        StartupError: The directory holds no journal of a node of this catalog, or that node may still live.
    """
    _, node_dir = directories(settings)
    node_id = _known_id(node_dir)
    async with AsyncExitStack() as stack:
        ground = await lay_ground(settings, stack, Metrics())
        await _check_gone(ground, node_id)
        lost = asyncio.Event()
        callbacks = Callbacks(lambda _state: None, lost.set)
        # Nobody can come back to these recordings: they are finished as interrupted at once.
        alone = settings.model_copy(update={"resume_window_s": 0.0})
        desk = await open_desk(alone, ground, stack, callbacks, patient=False)
        renewing = asyncio.create_task(desk.lease.run())
        stack.callback(renewing.cancel)
        urls = RecordEvents(settings.public_url or own_url(settings, settings.http_port))
        finisher = Finisher(
            store=ground.store,
            applications=ground.catalog.applications,
            record_events=urls,
            webhooks=upkeep.webhook_dispatcher(settings, ground, stack),
        )
        recordings = live_recordings(alone, ground, desk, finisher)
        known = await ground.catalog.recordings.unfinished(node_id)
        live = live_of(alone, ground, desk, recordings)
        await live.recover()
        live.go_on()
        await _finished(ground, recordings, len(known), progress, lost)
        await ground.background.close()
        ended = [await ground.catalog.recordings.get(recording.recording_id, None) for recording in known]
    return Rescued(node_id, tuple(ended))


async def _finished(
    ground: Ground, recordings: LiveRecordings, count: int, progress: Progress, lost: asyncio.Event
) -> None:
    """Wait until nothing is left to do, telling of it on the way."""
    while (left := max(len(recordings), len(ground.background))) and not lost.is_set():
        progress(count, min(left, count))
        await asyncio.sleep(_LOOK_INTERVAL_S)
    progress(count, 0)


def _known_id(node_dir: Path) -> str:
    if not (node_dir / JOURNAL_DIRECTORY).is_dir() or not (node_dir / NODE_ID_FILE).is_file():
        raise StartupError(
            Reason.INVALID_CONFIGURATION,
            f"{node_dir} is no node's directory: name the one that holds `{NODE_ID_FILE}` and `{JOURNAL_DIRECTORY}`",
            details={"field": "journal", "value": str(node_dir)},
        )
    return (node_dir / NODE_ID_FILE).read_text().strip()


async def _check_gone(ground: Ground, node_id: str) -> None:
    """Refuse while the node may live; and in a strange catalog, where all of its audio would look like rubbish."""
    state = await ground.catalog.nodes.find(node_id)
    if state is None:
        raise StartupError(
            Reason.INVALID_CONFIGURATION,
            f"the catalog knows no node {node_id}: give the --data-dir or RECORDER_DATABASE_URL that the node had",
            details={"node_id": node_id},
        )
    if state.alive:
        raise StartupError(
            Reason.DIRECTORY_LOCKED,
            f"node {node_id} may still live: its lease lasts {state.lease_left_s:.1f} s more; stop it, or start it "
            "again and it finishes its recordings by itself; else wait for that time",
            details={"node_id": node_id, "lease_left_s": f"{state.lease_left_s:.1f}"},
        )

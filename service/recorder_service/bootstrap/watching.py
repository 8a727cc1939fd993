"""What the metrics look at in the background."""

from functools import partial

from recorder_service.bootstrap.ground import Ground
from recorder_service.bootstrap.recording import Desk
from recorder_service.metrics.looks import Look, look_at_audio, look_at_spool
from recorder_service.sessions.live_recordings import LiveRecordings

# How often: at what the node knows, and at what has to be asked for.
_LOOK_S = 1.0
_QUERY_S = 5.0


def looks(ground: Ground, desk: Desk | None, recordings: LiveRecordings | None) -> list[Look]:
    """List the looks of a node; those at recordings only where it records."""
    metrics = ground.metrics

    async def look_at_outbox() -> None:
        found = await ground.catalog.backlog.look()
        metrics.webhooks.look(found.pending, found.oldest)

    made = [Look("outbox", _QUERY_S, look_at_outbox)]
    if desk is None or recordings is None:
        return made
    journal, disk, processes = desk.journal, desk.disk, desk.processes

    async def look_at_node() -> None:
        metrics.journal.look(journal)
        metrics.disk.look_at_disk(disk.free_bytes, disk.room_bytes)
        if processes is not None:
            metrics.audio.look_at_processes(processes.resident_bytes)

    return [
        *made,
        Look("node", _LOOK_S, look_at_node),
        Look("audio", _LOOK_S, partial(look_at_audio, recordings, metrics.audio)),
        Look("spool", _QUERY_S, partial(look_at_spool, ground.node_dir / "spool", metrics.disk)),
    ]

"""The only place where parts are put together: builds nodes, serves, and takes them down in order."""

import uvloop

from recorder_service.bootstrap.fleet import Fleet
from recorder_service.bootstrap.node import Node
from recorder_service.bootstrap.rescue import Progress, Rescued, rescue
from recorder_service.config import Settings
from recorder_service.logs import configure_logs

__all__ = ["Progress", "Rescued", "recover", "serve"]


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; a second signal stops at once.

    Raises:
        StartupError: A setting, a directory or a port cannot be used.
        SystemExit: The journal's disk failed, the node was fenced, or a worker failed; what was acknowledged is safe.
    """
    configure_logs(settings.log_level)
    work = Fleet(settings).run() if settings.workers > 1 else Node(settings).run()
    if not uvloop.run(work):
        raise SystemExit(1)


def recover(settings: Settings, progress: Progress) -> Rescued:
    """Finish the recordings of a journal whose node is gone; blocks until all of them are finished.

    Args:
        settings: As that node's: `node_dir` holds its journal.
        progress: Told how many recordings there are and how many are left.

    Raises:
        StartupError: The node lives, its directory is in use or is none, or a setting cannot be used.
    """
    configure_logs(settings.log_level)
    return uvloop.run(rescue(settings, progress))

"""Journals of workers that a smaller fleet no longer has: finished by a process of their own, one after the other."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

_TRIES = 5


def node_directories(base: Path) -> Iterator[Path]:
    """Give the directories in `base` that a node had: itself, for a node alone, and those of workers."""
    for directory in (base, *sorted(base.glob("node-*"))):
        if (directory / "node-id").is_file() and (directory / "journal").is_dir():
            yield directory


async def finish_leftovers(
    directories: Sequence[Path], command: Sequence[str], environment: Mapping[str, str], wait_s: float
) -> None:
    """Finish what is left in directories without a node; a failure is logged and disturbs nobody.

    Args:
        directories: Of the nodes that are no more.
        command: Finishes the one that is added as its last argument.
        environment: All of its environment.
        wait_s: Between two tries: after a crash the leases of the former nodes have to end first.
    """
    for directory in directories:
        for _ in range(_TRIES):
            process = await asyncio.create_subprocess_exec(
                *command, str(directory), env=dict(environment), stdin=asyncio.subprocess.DEVNULL
            )
            try:
                code = await process.wait()
            except asyncio.CancelledError:
                # It may be stopped at any time; the next start goes on.
                process.terminate()
                await process.wait()
                raise
            log.info("leftover_journal", directory=str(directory), exit_code=code)
            if code == 0:
                break
            await asyncio.sleep(wait_s)

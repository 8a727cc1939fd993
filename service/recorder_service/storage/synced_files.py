"""Small steps on files and directories that a crash cannot undo. All of them block."""

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

BLOCK_BYTES = 1024 * 1024


class Interrupted(Exception):
    """Nobody waits for the result of this thread any more. It ends the thread's work and is seen by no one."""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    """Open a file for reading, never through a symbolic link, and close it at the end."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def write_new(path: Path, data: bytes) -> None:
    """Write a short file that must not exist yet, and sync it. Its name is durable after `sync_directory`."""
    with os.fdopen(_create(path), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def copy(source: Path, target: Path, stop: threading.Event) -> None:
    """Copy bytes into a file that must not exist yet, without a sync.

    Raises:
        Interrupted: `stop` was set.
    """
    with source.open("rb", buffering=0) as origin, os.fdopen(_create(target), "wb") as file:
        while block := origin.read(BLOCK_BYTES):
            still_wanted(stop)
            file.write(block)


def hash_of(descriptor: int, stop: threading.Event) -> str:
    """Return the SHA-256 of the rest of an open file, lower-case hex.

    Raises:
        Interrupted: `stop` was set.
    """
    digest = hashlib.sha256()
    block = memoryview(bytearray(BLOCK_BYTES))
    while count := os.readv(descriptor, [block]):
        still_wanted(stop)
        digest.update(block[:count])
    return digest.hexdigest()


def make_directories(root: Path, directory: Path) -> None:
    """Make what is missing on the way from `root`, which exists, to `directory`; mode 0700."""
    below = directory.relative_to(root)
    for part in (*reversed(below.parents[:-1]), below):
        with contextlib.suppress(FileExistsError):
            (root / part).mkdir(mode=0o700)


def sync_path(root: Path, directory: Path) -> None:
    """Make the names on the way from `root` to `directory`, and those in it, durable.

    Also of directories that were there before: another thread may have made them a moment ago.
    """
    for parent in (directory, *directory.parents):
        sync_directory(parent)
        if parent == root:
            return


def sync_directory(directory: Path) -> None:
    """Make names made, changed and removed in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def still_wanted(stop: threading.Event) -> None:
    """Go on, or end the thread's work.

    Raises:
        Interrupted: `stop` was set.
    """
    if stop.is_set():
        raise Interrupted


def _create(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

"""A file store in a directory."""

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from recorder_service.errors import Damaged, Reason, StartupError, Unavailable
from recorder_service.storage import disk_files
from recorder_service.storage.object_keys import checked_key

CHUNK_BYTES = 256 * 1024
# A disk slower than this counts as away; longer files may take longer.
SLOWEST_BYTES_PER_S = 4 * 1024 * 1024

_T = TypeVar("_T")


class DirectoryStore:
    """Keep files below one directory (modes 0600 and 0700), on this machine or on a shared mount.

    Nothing blocks the event loop: reading and writing have a thread pool each, so that a flood of downloads never holds
    up the storing of new recordings. Several nodes may share the directory: keys hold random file ids.
    """

    def __init__(
        self,
        root: Path,
        *,
        write_threads: int = 2,
        read_threads: int = 4,
        wait_s: float = 30.0,
        link: Callable[[Path, Path], None] = os.link,
    ) -> None:
        """Take the directory; nothing is touched before `check`.

        Args:
            root: The store's directory.
            write_threads: Files stored, verified and removed at once.
            read_threads: Chunks read at once.
            wait_s: Longest wait for one answer of the disk, beyond what the size of a file explains.
            link: Makes the hard link; its OSError of "not possible here" leads to a copy.
        """
        self._root = root
        self._wait_s = wait_s
        self._link = link
        self._writers = ThreadPoolExecutor(write_threads, thread_name_prefix="store-write")
        self._readers = ThreadPoolExecutor(read_threads, thread_name_prefix="store-read")

    async def check(self) -> None:
        """Make the directory if needed and prove that it can be written.

        Raises:
            StartupError: INVALID_CONFIGURATION, naming the directory, the cause and the fix.
        """
        try:
            await self._run(self._writers, "preparing", lambda _: disk_files.prepare(self._root))
        except Unavailable as error:
            raise StartupError(
                Reason.INVALID_CONFIGURATION,
                f"file store directory {self._root} cannot be written by user {os.geteuid()} ({error}): "
                f"choose another directory, or make this one writable for that user",
                details={"field": "storage.directory", "value": str(self._root)},
            ) from error

    async def store(self, key: str, source: Path, *, size_bytes: int, sha256: str) -> None:
        """Put a file in place, durably: linked under a temporary name (or copied), synced, renamed, directories synced.

        Doing it again is free of effect. It compares the size only; `verify` compares the bytes.

        Raises:
            BadInput: INVALID_FIELD: `key` is no key.
            Damaged: `source` is missing or has another size.
            Unavailable: STORAGE_FAILED: the disk failed, is full, is away or too slow.
        """
        name, content = checked_key(key), disk_files.Content(size_bytes, sha256)
        await self._run(
            self._writers,
            f"storing {name}",
            lambda stop: disk_files.place(self._root, name, source, content, stop, link=self._link),
            size_bytes,
        )

    async def verify(self, key: str, *, size_bytes: int, sha256: str) -> None:
        """Read the whole stored file back, in blocks of 1 MiB in a worker thread, and compare size and SHA-256.

        See `disk_files.compare` for what that proves and what it cannot.

        Raises:
            BadInput: INVALID_FIELD: `key` is no key.
            Damaged: The file is missing or has other bytes.
            Unavailable: STORAGE_FAILED: the disk failed, is away or too slow; nothing is known about the file.
        """
        name, content = checked_key(key), disk_files.Content(size_bytes, sha256)
        await self._run(
            self._writers,
            f"verifying {name}",
            lambda stop: disk_files.compare(self._root, name, content, stop),
            size_bytes,
        )

    async def open(self, key: str, *, offset: int, length: int) -> AsyncGenerator[bytes, None]:
        """Return exactly `length` bytes from `offset` in chunks of 256 KiB; the last may be shorter.

        Between chunks no file is open and no thread is busy: dropping the generator anywhere leaks nothing.

        Raises:
            BadInput: INVALID_FIELD: `key` is no key.
            NotFound: FILE_NOT_FOUND.
            Damaged: The stored file ends earlier; also raised by the generator, after the bytes that are there.
            Unavailable: STORAGE_FAILED; also raised by the generator.
        """
        if offset < 0 or length < 0:
            raise ValueError(f"offset {offset} and length {length} must not be negative")
        name = checked_key(key)
        size = await self._run(self._readers, f"opening {name}", lambda _: disk_files.stored_size(self._root, name))
        if size < offset + length:
            raise _short(name, size, offset + length)
        return self._chunks(name, offset, offset + length)

    async def delete(self, key: str) -> None:
        """Remove a file; one that is not there is as good as removed.

        Raises:
            BadInput: INVALID_FIELD: `key` is no key.
            Unavailable: STORAGE_FAILED: it may still be there.
        """
        name = checked_key(key)
        await self._run(self._writers, f"removing {name}", lambda _: disk_files.remove(self._root, name))

    async def aclose(self) -> None:
        """End the worker threads once their current work is done."""
        await asyncio.to_thread(self._writers.shutdown)
        await asyncio.to_thread(self._readers.shutdown)

    async def _chunks(self, key: str, offset: int, end: int) -> AsyncGenerator[bytes, None]:
        while offset < end:
            chunk = await self._chunk(key, offset, min(CHUNK_BYTES, end - offset))
            if not chunk:
                raise _short(key, offset, end)
            yield chunk
            offset += len(chunk)

    async def _chunk(self, key: str, offset: int, length: int) -> bytes:
        return await self._run(
            self._readers, f"reading {key}", lambda _: disk_files.read_block(self._root, key, offset, length)
        )

    async def _run(
        self, pool: ThreadPoolExecutor, doing: str, job: Callable[[threading.Event], _T], size_bytes: int = 0
    ) -> _T:
        """Run a job in a thread; a job that nobody waits for any more is told so and ends at its next block."""
        stop = threading.Event()
        try:
            async with asyncio.timeout(self._wait_s + size_bytes / SLOWEST_BYTES_PER_S):
                return await asyncio.wrap_future(pool.submit(job, stop))
        except TimeoutError as error:
            raise _away(f"{doing} took too long") from error
        except OSError as error:
            raise _away(f"{doing} failed: {error.strerror or error}") from error
        finally:
            stop.set()


def _away(what: str) -> Unavailable:
    return Unavailable(Reason.STORAGE_FAILED, f"file store: {what}", retry_after_s=10)


def _short(key: str, end: int, expected_end: int) -> Damaged:
    return Damaged(
        Reason.DAMAGED,
        f"stored file {key} ends at byte {end}, before byte {expected_end}",
        details={"object_key": key, "end": str(end), "expected_end": str(expected_end)},
    )

"""A file store in a bucket of Amazon S3, MinIO, SeaweedFS or any other store that speaks S3."""

import asyncio
import re
import threading
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from recorder_service.errors import Damaged, Reason, StartupError, Unavailable
from recorder_service.storage.disk_files import Content
from recorder_service.storage.s3_bucket import Bucket
from recorder_service.storage.s3_client import Connections, authority, client, credentials, encryption
from recorder_service.storage.s3_errors import RETRY_AFTER_S, translated
from recorder_service.storage.s3_objects import Objects
from recorder_service.storage.s3_settings import S3Settings
from recorder_service.storage.s3_uploads import Uploads
from recorder_service.storage.workers import Workers

CHUNK_BYTES = 256 * 1024
# What one request of a download fetches: little at first, for a quick begin, then more, for fewer requests.
MAX_BLOCK_BYTES = 1024 * 1024
# A line slower than this counts as away; larger files may take longer.
SLOWEST_BYTES_PER_S = 1024 * 1024
MAX_URL_TTL_S = 3600
_MISTRUSTED_KEPT = 10_000
_PLAIN_NAME = re.compile(r"[^A-Za-z0-9._ -]", re.ASCII)

_T = TypeVar("_T")


class S3Store:
    """Keep files as objects of one bucket, with the SHA-256 of each in its metadata.

    Nothing blocks the event loop: uploads and downloads have threads and connections of their own, so that a flood of
    downloads never holds up the storing of new recordings. Every network wait is bounded by the settings. Several nodes
    may share the bucket and the prefix: keys hold random file ids.
    """

    def __init__(self, settings: S3Settings) -> None:
        """Take the settings; nobody is asked anything before `check`.

        Raises:
            StartupError: INVALID_CONFIGURATION: `ca_file` holds no certificates.
        """
        self._settings = settings
        trusted = authority(settings)
        to_store = Connections(settings, settings.upload_threads + settings.parallel_parts, trusted)
        from_store = Connections(settings, settings.download_threads, trusted)
        self._connections = (to_store, from_store)
        keys = credentials(settings)
        writing, reading = client(settings, to_store, keys), client(settings, from_store, keys)
        self._public = client(settings, from_store, keys, public=True)
        self._uploads = Uploads(
            writing,
            settings.bucket,
            encryption(settings),
            part_bytes=settings.part_bytes,
            parallel=settings.parallel_parts,
        )
        self._stored, self._served = Objects(writing, settings.bucket), Objects(reading, settings.bucket)
        self._bucket = Bucket(writing, settings, self._stored, self._uploads)
        self._writers = Workers(settings.upload_threads, name="s3-write", queue_wait_s=settings.queue_wait_s)
        self._readers = Workers(settings.download_threads, name="s3-read", queue_wait_s=settings.queue_wait_s)
        self._mistrusted: dict[str, None] = {}

    async def check(self) -> None:
        """Find or make the bucket, and prove that objects can be written, read back and removed.

        Unfinished uploads of earlier runs are swept, and where the bucket has no lifecycle rules one is set that does
        the same; neither is a condition.

        Raises:
            StartupError: INVALID_CONFIGURATION: a setting, a right or the bucket is wrong, and the message says which.
                STORAGE_FAILED: the store was not reached; only this may pass by itself.
        """
        try:
            await self._run(self._writers, "preparing", self._bucket.prepare)
        except Unavailable as error:
            raise StartupError(
                Reason.STORAGE_FAILED,
                f"S3 store {self._settings.endpoint}: {error.message}: start the store, or correct endpoint",
                details={"field": "storage.s3.endpoint", "value": self._settings.endpoint},
                retry_after_s=error.retry_after_s,
            ) from error

    async def store(self, key: str, source: Path, *, size_bytes: int, sha256: str) -> None:
        """Upload a file, unless the object stands there with this size and SHA-256.

        In a locked bucket every needless upload would leave a version that cannot be removed. What `verify` found
        damaged is uploaded anew. Bytes other than promised never take the key: the hash is compared before the object
        is made.

        Raises:
            BadInput: INVALID_FIELD: `key` is no key.
            Damaged: `source` is missing, or has another size or SHA-256.
            Unavailable: STORAGE_FAILED: the store failed, is away or too slow. No parts are left behind unless the
                store was away for that too: `sweep`.
        """
        name, content = self._settings.object_name(key), Content(size_bytes, sha256)
        mistrusted = name in self._mistrusted

        def place(stop: threading.Event) -> None:
            if mistrusted or not self._stored.holds(name, content):
                self._uploads.put(name, source, content, stop)

        await self._run(self._writers, f"storing {name}", place, size_bytes)
        self._mistrusted.pop(name, None)

    async def verify(self, key: str, *, size_bytes: int, sha256: str) -> None:
        """Compare the object with what was stored: its size, the SHA-256 in its metadata, and its bytes.

        By default the whole object is read back and hashed (`S3Settings.read_back`): only that shows that the store
        can give the recording back. See `s3_objects.Objects.compare` for what it proves and what it cannot.

        Raises:
            BadInput: INVALID_FIELD: `key` is no key.
            Damaged: The object is missing or has other bytes; the next `store` replaces it.
            Unavailable: STORAGE_FAILED: the store is away, or its bucket missing; nothing is known about the object.
        """
        name, content = self._settings.object_name(key), Content(size_bytes, sha256)
        read_back = self._settings.read_back
        try:
            await self._run(
                self._writers,
                f"verifying {name}",
                lambda stop: self._stored.compare(name, content, stop, read_back=read_back),
                size_bytes,
            )
        except Damaged:
            if len(self._mistrusted) < _MISTRUSTED_KEPT:
                self._mistrusted[name] = None
            raise

    async def open(self, key: str, *, offset: int, length: int) -> AsyncGenerator[bytes, None]:
        """Return exactly `length` bytes from `offset` in chunks of 256 KiB; the last may be shorter.

        The bytes come in requests of up to 1 MiB, each for the object as it was at first. Between them no connection
        and no thread is held: dropping the generator anywhere leaks nothing, however slow its reader is.

        Raises:
            BadInput: INVALID_FIELD: `key` is no key.
            NotFound: FILE_NOT_FOUND; also raised by the generator when the object is removed meanwhile.
            Damaged: The object is shorter; also raised by the generator, when it was replaced meanwhile.
            Unavailable: STORAGE_FAILED; also raised by the generator.
        """
        if offset < 0 or length < 0:
            raise ValueError(f"offset {offset} and length {length} must not be negative")
        name = self._settings.object_name(key)
        found = await self._run(self._readers, f"opening {name}", lambda _: self._served.stat(name))
        if found.size_bytes < offset + length:
            raise _short(name, found.size_bytes, offset + length)
        return self._chunks(name, found.etag, offset, offset + length)

    async def delete(self, key: str) -> None:
        """Remove an object, and all its versions where the bucket keeps them. One that is not there is no error.

        Raises:
            BadInput: INVALID_FIELD: `key` is no key.
            Unavailable: STORAGE_FAILED: it may still be there; also when an object lock or a missing right keeps it.
        """
        name = self._settings.object_name(key)
        await self._run(self._writers, f"removing {name}", lambda _: self._stored.remove(name))
        self._mistrusted.pop(name, None)

    async def sweep(self) -> int:
        """Abort unfinished multipart uploads below the prefix that are older than `stale_upload_s`; return how many.

        To be called now and then, every few hours. See `s3_uploads.Uploads.sweep` for what MinIO does not tell.

        Raises:
            Unavailable: STORAGE_FAILED.
        """
        return await self._run(self._writers, "sweeping unfinished uploads", lambda _: self._bucket.sweep())

    async def presigned_url(self, key: str, *, ttl_s: int, content_type: str, file_name: str) -> str:
        """Sign a URL from which anybody who has it can download the object, for a short time, without Recorder.

        It cannot be revoked, and it ends early with temporary credentials. That the object exists is not checked.

        Args:
            key: The file's.
            ttl_s: How long the URL is good, from 1 to 3600 s.
            content_type: Sent as Content-Type.
            file_name: Under which the download is saved; any text.

        Raises:
            BadInput: INVALID_FIELD: `key` is no key.
            Unavailable: STORAGE_FAILED: no credentials were to be had.
        """
        if not 1 <= ttl_s <= MAX_URL_TTL_S:
            raise ValueError(f"ttl_s is {ttl_s}: it must lie between 1 and {MAX_URL_TTL_S}")
        name = self._settings.object_name(key)
        headers: dict[str, str | list[str] | tuple[str]] = {
            "response-content-type": content_type,
            "response-content-disposition": disposition(file_name),
        }

        def sign(_: threading.Event) -> str:
            with translated("signing a URL"):
                return self._public.presigned_get_object(
                    bucket_name=self._settings.bucket,
                    object_name=name,
                    expires=timedelta(seconds=ttl_s),
                    response_headers=headers,
                )

        return await self._run(self._readers, "signing a URL", sign)

    async def aclose(self) -> None:
        """End the threads once their current work is done: within the time limits of the requests under way."""
        await self._writers.aclose()
        await asyncio.to_thread(self._uploads.close)
        await self._readers.aclose()
        for connections in self._connections:
            connections.clear()

    async def _chunks(self, name: str, etag: str, offset: int, end: int) -> AsyncGenerator[bytes, None]:
        block_bytes = CHUNK_BYTES
        while offset < end:
            wanted = min(block_bytes, end - offset)
            block = await self._block(name, etag, offset, wanted)
            for start in range(0, len(block), CHUNK_BYTES):
                yield block[start : start + CHUNK_BYTES]
            offset += len(block)
            if len(block) < wanted:
                raise _short(name, offset, end)
            block_bytes = min(2 * block_bytes, MAX_BLOCK_BYTES)

    async def _block(self, name: str, etag: str, offset: int, length: int) -> bytes:
        return await self._run(
            self._readers,
            f"reading {name}",
            lambda stop: self._served.block(name, etag, offset, length, stop),
            length,
        )

    async def _run(self, workers: Workers, doing: str, job: Callable[[threading.Event], _T], size_bytes: int = 0) -> _T:
        try:
            return await workers.run(job, wait_s=self._settings.wait_s + size_bytes / SLOWEST_BYTES_PER_S)
        except TimeoutError as error:
            raise Unavailable(
                Reason.STORAGE_FAILED, f"file store: {doing} took too long", retry_after_s=RETRY_AFTER_S
            ) from error


def disposition(file_name: str) -> str:
    """Return a Content-Disposition that saves under `file_name`.

    Source: RFC 6266, 4.3 and appendix D: a plain name for old readers, the exact one encoded.
    """
    plain = _PLAIN_NAME.sub("_", file_name)
    exact = f"; filename*=UTF-8''{quote(file_name, safe='')}" if plain != file_name else ""
    return f'attachment; filename="{plain}"{exact}'


def _short(name: str, end: int, expected_end: int) -> Damaged:
    return Damaged(
        Reason.DAMAGED,
        f"stored file {name} ends at byte {end}, before byte {expected_end}",
        details={"object_key": name, "end": str(end), "expected_end": str(expected_end)},
    )

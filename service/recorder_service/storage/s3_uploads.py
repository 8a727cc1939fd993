"""Uploads to an S3 store: in one piece, or in parts that are forgotten again when anything goes wrong."""

import hashlib
import io
import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from minio.datatypes import Part
from minio.error import S3Error
from minio.sse import Sse

from recorder_service.errors import Damaged, Reason, Unavailable
from recorder_service.storage.disk_files import Content
from recorder_service.storage.s3_client import S3Client, UnfinishedUpload
from recorder_service.storage.s3_errors import MISSING_UPLOAD, RETRY_AFTER_S, code, translated
from recorder_service.storage.s3_settings import MIB, MIN_PART_BYTES
from recorder_service.storage.synced_files import opened, still_wanted

log = structlog.get_logger(__name__)
MAX_PARTS = 10_000
_CONTENT_TYPES = {".mp3": "audio/mpeg", ".wav": "audio/wav"}
_LOOK_AGAIN_S = 0.5


class Uploads:
    """Puts files into one bucket. Blocks; called in worker threads."""

    def __init__(
        self, client: S3Client, bucket: str, encryption: Sse | None, *, part_bytes: int, parallel: int
    ) -> None:
        """Start nothing yet.

        Args:
            client: Speaks to the store.
            bucket: Where the objects go.
            encryption: Asked for with every object.
            part_bytes: Larger files go up in parts.
            parallel: Parts under way, and in memory, at once, over all files.
        """
        self._client, self._bucket, self._encryption = client, bucket, encryption
        self._part_bytes = part_bytes
        self._room = threading.BoundedSemaphore(parallel)
        self._threads = ThreadPoolExecutor(parallel, thread_name_prefix="s3-part")

    def put(self, name: str, source: Path, content: Content, stop: threading.Event) -> None:
        """Upload a file with its SHA-256 in the metadata. Bytes that are not the promised ones never take the name.

        Raises:
            Damaged: The source is missing or is not what was promised.
            Unavailable: STORAGE_FAILED.
            Interrupted: `stop` was set.
        """
        with _source(source, content) as descriptor, translated(f"storing {name}"):
            if content.size_bytes <= self._part_bytes:
                self._put_whole(name, descriptor, content)
            else:
                self._put_parts(name, descriptor, content, stop)

    def put_bytes(self, name: str, data: bytes, sha256: str) -> None:
        """Upload bytes in one piece.

        Raises:
            MinioException, HTTPError, OSError, ValueError: It failed: see `s3_errors.translated`.
        """
        self._client.put_object(
            bucket_name=self._bucket,
            object_name=name,
            data=io.BytesIO(data),
            length=len(data),
            content_type=content_type(name),
            metadata={"sha256": sha256},
            sse=self._encryption,
            part_size=max(len(data), MIN_PART_BYTES),
            num_parallel_uploads=1,
        )

    def sweep(self, prefix: str, older_than_s: float) -> int:
        """Abort unfinished uploads of names that begin with `prefix`, if they began long enough ago; return how many.

        Younger ones may be under way on another node. Not every store tells all: MinIO lists them by prefix only where
        the prefix is empty or a whole name, and forgets them in a restart; it sweeps by itself after a day.

        Raises:
            Unavailable: STORAGE_FAILED.
        """
        begun_before = datetime.now(UTC) - timedelta(seconds=older_than_s)
        swept = 0
        with translated("sweeping unfinished uploads"):
            # A list that is being shortened must not be walked.
            for upload in list(self._client.unfinished_uploads(self._bucket, prefix)):
                swept += upload.begun_at < begun_before and self._forget(upload)
        return swept

    def close(self) -> None:
        """End the threads once their parts are done."""
        self._threads.shutdown(cancel_futures=True)

    def _put_whole(self, name: str, descriptor: int, content: Content) -> None:
        data = _read(descriptor, 0, content.size_bytes)
        _require(hashlib.sha256(data).hexdigest(), content)
        self.put_bytes(name, data, content.sha256)

    def _put_parts(self, name: str, descriptor: int, content: Content, stop: threading.Event) -> None:
        headers = {"Content-Type": content_type(name), "X-Amz-Meta-sha256": content.sha256}
        headers |= self._encryption.headers() if self._encryption else {}
        upload_id = self._client.begin_upload(self._bucket, name, headers)
        try:
            parts = self._send_parts(name, upload_id, descriptor, content, stop)
            self._join(name, upload_id, parts)
        except BaseException:
            self._abort(name, upload_id)
            raise

    def _join(self, name: str, upload_id: str, parts: list[Part]) -> None:
        if not self._client.complete_upload(self._bucket, name, upload_id, parts):
            raise Unavailable(
                Reason.STORAGE_FAILED,
                f"file store: storing {name} failed while its parts were joined",
                retry_after_s=RETRY_AFTER_S,
            )

    def _send_parts(
        self, name: str, upload_id: str, descriptor: int, content: Content, stop: threading.Event
    ) -> list[Part]:
        part_bytes = part_size(content.size_bytes, self._part_bytes)
        digest = hashlib.sha256()
        sent: list[Part] = []
        pending: deque[Future[Part]] = deque()
        try:
            for number, offset in enumerate(range(0, content.size_bytes, part_bytes), start=1):
                self._wait_room(stop)
                data = self._next_part(descriptor, offset, min(part_bytes, content.size_bytes - offset))
                pending.append(self._submit(name, upload_id, number, data, stop))
                digest.update(data)
                while pending and pending[0].done():
                    sent.append(pending.popleft().result())
            sent += [future.result() for future in pending]
        except BaseException:
            # A part that arrives after the abort would stay behind.
            for future in pending:
                future.cancel()
            wait(pending)
            raise
        _require(digest.hexdigest(), content)
        return sent

    def _wait_room(self, stop: threading.Event) -> None:
        still_wanted(stop)
        while not self._room.acquire(timeout=_LOOK_AGAIN_S):
            still_wanted(stop)

    def _next_part(self, descriptor: int, offset: int, length: int) -> bytes:
        try:
            return _read(descriptor, offset, length)
        except BaseException:
            self._room.release()
            raise

    def _submit(self, name: str, upload_id: str, number: int, data: bytes, stop: threading.Event) -> Future[Part]:
        def send() -> Part:
            still_wanted(stop)
            return self._client.upload_part(self._bucket, name, upload_id, number, data)

        try:
            future = self._threads.submit(send)
        except BaseException:
            self._room.release()
            raise
        future.add_done_callback(lambda _: self._room.release())
        return future

    def _abort(self, name: str, upload_id: str) -> None:
        """Forget the parts; the error that led here counts, not one of this attempt."""
        try:
            with translated(f"aborting the upload of {name}"):
                self._client.abort_upload(self._bucket, name, upload_id)
        except Unavailable as error:
            log.warning("upload_not_aborted", object_name=name, error=error.message, fix="the next sweep removes it")

    def _forget(self, upload: UnfinishedUpload) -> bool:
        try:
            self._client.abort_upload(self._bucket, upload.object_name, upload.upload_id)
        except S3Error as error:
            if code(error) not in MISSING_UPLOAD:
                raise
            return False
        return True


def part_size(size_bytes: int, wanted_bytes: int) -> int:
    """Return the size of the parts of a file: the wanted one, or the least whole number of MiB that makes 10,000 do.

    Source: Amazon S3 user guide, multipart upload limits: 10,000 parts of 5 MiB to 5 GiB.
    """
    least = -(-size_bytes // MAX_PARTS)
    return max(wanted_bytes, -(-least // MIB) * MIB)


def content_type(name: str) -> str:
    """Return the media type of an object by the end of its name."""
    return _CONTENT_TYPES.get(Path(name).suffix, "application/octet-stream")


@contextmanager
def _source(source: Path, content: Content) -> Iterator[int]:
    try:
        with opened(source) as descriptor:
            found_bytes = os.fstat(descriptor).st_size
            if found_bytes != content.size_bytes:
                raise Damaged(Reason.DAMAGED, f"file to store has {found_bytes} bytes, not {content.size_bytes}")
            yield descriptor
    except FileNotFoundError:
        raise Damaged(Reason.DAMAGED, f"{source} is missing and cannot be stored") from None
    except (OSError, CancelledError) as error:
        raise Unavailable(
            Reason.STORAGE_FAILED, f"{source} cannot be read ({error}): it was not stored", retry_after_s=RETRY_AFTER_S
        ) from error


def _read(descriptor: int, offset: int, length: int) -> bytes:
    """Read exactly `length` bytes."""
    data = os.pread(descriptor, length, offset)
    while len(data) < length:
        more = os.pread(descriptor, length - len(data), offset + len(data))
        if not more:
            raise Damaged(Reason.DAMAGED, f"file to store ended early, at byte {offset + len(data)}")
        data += more
    return data


def _require(sha256: str, content: Content) -> None:
    if sha256 != content.sha256:
        raise Damaged(Reason.DAMAGED, "file to store has another SHA-256 than recorded")

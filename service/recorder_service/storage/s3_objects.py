"""The blocking half of the S3 store: objects looked up, read back and removed. Called in worker threads."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from minio.error import S3Error
from urllib3.response import BaseHTTPResponse

from recorder_service.errors import Damaged, NotFound, Reason, Unavailable
from recorder_service.storage.disk_files import Content
from recorder_service.storage.s3_client import S3Client, stored_sha256
from recorder_service.storage.s3_errors import (
    CHANGED,
    FIXES,
    MISSING_OBJECT,
    RETRY_AFTER_S,
    TOO_SHORT,
    code,
    translated,
)
from recorder_service.storage.synced_files import still_wanted

_READ_BYTES = 256 * 1024
_PARTIAL_CONTENT = 206


@dataclass(frozen=True, slots=True)
class Stat:
    """An object as it is now; the store promises the same `etag` only for the same bytes."""

    size_bytes: int
    sha256: str
    etag: str


class Objects:
    """The objects of one bucket. Blocks."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client, self._bucket = client, bucket

    def stat(self, name: str) -> Stat:
        """Look an object up.

        Raises:
            NotFound: FILE_NOT_FOUND. Only the object is missing: the bucket is there.
            Unavailable: STORAGE_FAILED.
        """
        with translated(f"looking up {name}"), self._found(name):
            found = self._client.stat_object(bucket_name=self._bucket, object_name=name)
            return Stat(found.size or 0, stored_sha256(found.metadata), found.etag or "")

    def holds(self, name: str, content: Content) -> bool:
        """Tell whether the object stands there with this size and, in its metadata, this SHA-256.

        Raises:
            Unavailable: STORAGE_FAILED.
        """
        try:
            found = self.stat(name)
        except NotFound:
            return False
        return (found.size_bytes, found.sha256) == (content.size_bytes, content.sha256)

    def compare(self, name: str, content: Content, stop: threading.Event, *, read_back: bool) -> None:
        """Compare an object with what it must hold: size and metadata, and (`read_back`) the bytes themselves.

        What reading back proves: the store, asked for the object, sends the bytes that were hashed while they were
        written. It may send them from a cache, and it is the store's own matter how many disks they are on.

        Raises:
            Damaged: Other bytes, or no object.
            Unavailable: STORAGE_FAILED: nothing is known.
            Interrupted: `stop` was set.
        """
        try:
            fault = self._fault(name, content, stop) if read_back else self._fault_of_metadata(name, content)
        except NotFound:
            fault = "is missing"
        if fault:
            raise Damaged(Reason.DAMAGED, f"stored file {name} {fault}", details={"object_key": name})

    def block(self, name: str, etag: str, offset: int, length: int, stop: threading.Event) -> bytes:
        """Read `length` bytes from `offset` of the object that had this `etag`; fewer where it is shorter.

        Raises:
            NotFound: FILE_NOT_FOUND.
            Damaged: It was replaced meanwhile.
            Unavailable: STORAGE_FAILED.
            Interrupted: `stop` was set.
        """
        headers: dict[str, str | list[str] | tuple[str]] = {"If-Match": f'"{etag}"'} if etag else {}
        with translated(f"reading {name}"), self._found(name):
            response = self._client.get_object(
                bucket_name=self._bucket, object_name=name, offset=offset, length=length, request_headers=headers
            )
            with _body(response):
                _require_range(response, name, offset, length)
                return b"".join(_pieces(response, stop))

    def remove(self, name: str) -> None:
        """Remove an object and, where the bucket keeps versions, all of them: what is erased must be gone.

        Raises:
            Unavailable: STORAGE_FAILED: it may still be there.
        """
        with translated(f"removing {name}"):
            try:
                kept = self._client.remove(self._bucket, name)
            except S3Error as error:
                if code(error) not in MISSING_OBJECT:
                    raise
                return
            if kept:
                self._remove_versions(name)

    def _remove_versions(self, name: str) -> None:
        found = self._client.list_objects(bucket_name=self._bucket, prefix=name, recursive=True, include_version=True)
        for version in [found.version_id for found in found if found.object_name == name]:
            self._client.remove_object(bucket_name=self._bucket, object_name=name, version_id=version)

    def _fault_of_metadata(self, name: str, content: Content) -> str:
        found = self.stat(name)
        return _difference(found.size_bytes, found.sha256, content)

    def _fault(self, name: str, content: Content, stop: threading.Event) -> str:
        with translated(f"verifying {name}"), self._found(name):
            response = self._client.get_object(bucket_name=self._bucket, object_name=name)
            with _body(response):
                size_bytes = int(response.headers.get("content-length", content.size_bytes))
                fault = _difference(size_bytes, stored_sha256(response.headers), content)
                if fault:
                    return fault
                digest, count = hashlib.sha256(), 0
                for piece in _pieces(response, stop):
                    digest.update(piece)
                    count += len(piece)
        return _difference(count, digest.hexdigest(), content)

    @contextmanager
    def _found(self, name: str) -> Iterator[None]:
        try:
            yield
        except S3Error as error:
            if code(error) in MISSING_OBJECT:
                self._require_bucket()
                raise NotFound(Reason.FILE_NOT_FOUND, f"there is no stored file {name}") from None
            if code(error) in CHANGED:
                raise _damaged(name, "was replaced while it was read") from error
            if code(error) in TOO_SHORT:
                raise _damaged(name, "is shorter than expected") from error
            raise

    def _require_bucket(self) -> None:
        """An object that is missing together with its bucket is not lost: the store is not the one it should be."""
        if not self._client.bucket_exists(bucket_name=self._bucket):
            raise Unavailable(
                Reason.STORAGE_FAILED,
                f"file store: bucket {self._bucket} is missing: {FIXES['NoSuchBucket']}",
                retry_after_s=RETRY_AFTER_S,
            )


@contextmanager
def _body(response: BaseHTTPResponse) -> Iterator[None]:
    """Give the connection back after the whole body, and close it after anything else."""
    try:
        yield
    finally:
        if response.length_remaining != 0:
            response.close()
        response.release_conn()


def _pieces(response: BaseHTTPResponse, stop: threading.Event) -> Iterator[bytes]:
    """Read what has come, piece by piece: each wait is bounded, and a body that ends early is an error."""
    while piece := response.read1(_READ_BYTES, decode_content=False):
        still_wanted(stop)
        yield piece


def _require_range(response: BaseHTTPResponse, name: str, offset: int, length: int) -> None:
    if response.status == _PARTIAL_CONTENT:
        begins_right = str(response.headers.get("content-range", "")).startswith(f"bytes {offset}-")
    else:
        begins_right = offset == 0 and int(response.headers.get("content-length", -1)) <= length
    if not begins_right:
        raise Unavailable(
            Reason.STORAGE_FAILED,
            f"file store: reading {name} failed: the store answers with other bytes than asked for (range requests)",
            retry_after_s=RETRY_AFTER_S,
        )


def _difference(size_bytes: int, sha256: str, content: Content) -> str:
    if size_bytes != content.size_bytes:
        return f"has {size_bytes} bytes, not {content.size_bytes}"
    return "" if sha256 == content.sha256 else "has another SHA-256 than recorded"


def _damaged(name: str, fault: str) -> Damaged:
    return Damaged(Reason.DAMAGED, f"stored file {name} {fault}", details={"object_key": name})

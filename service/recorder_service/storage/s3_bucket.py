"""The bucket of the S3 store: checked, or made, at start."""

import hashlib
import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from xml.etree.ElementTree import ParseError

import structlog
from minio.commonconfig import ENABLED, Filter
from minio.error import MinioException, S3Error
from minio.lifecycleconfig import AbortIncompleteMultipartUpload, LifecycleConfig, Rule
from urllib3.exceptions import HTTPError

from recorder_service.errors import Damaged, Reason, RecorderError, StartupError, Unavailable
from recorder_service.storage.disk_files import Content
from recorder_service.storage.s3_client import S3Client
from recorder_service.storage.s3_errors import cause, code, may_pass
from recorder_service.storage.s3_objects import Objects
from recorder_service.storage.s3_settings import S3Settings
from recorder_service.storage.s3_uploads import Uploads

log = structlog.get_logger(__name__)
PROBE = ".recorder-store"
RULE_ID = "recorder-unfinished-uploads"
UNFINISHED_UPLOAD_DAYS = 2
_MADE_MEANWHILE = "BucketAlreadyOwnedByYou"


class Bucket:
    """Proves at start that the store can do what will be asked of it. Blocks; called in a worker thread."""

    def __init__(self, client: S3Client, settings: S3Settings, objects: Objects, uploads: Uploads) -> None:
        self._client, self._settings = client, settings
        self._objects, self._uploads = objects, uploads

    def prepare(self, stop: threading.Event) -> None:
        """Find the bucket or make it; write, read back and remove a small object; sweep; set the lifecycle rule.

        The last two are no condition: what they could not do is logged.

        Raises:
            StartupError: INVALID_CONFIGURATION, with the fix; STORAGE_FAILED where the store was not reached at all or
                answered that it cannot serve now, which may pass by itself.
        """
        self._step("listing", self._find)
        self._step("writing, reading back and removing a test object", lambda: self._probe(stop))
        with suppress(Unavailable):
            self.sweep()
        if self._settings.set_lifecycle:
            self._set_lifecycle()

    def sweep(self) -> int:
        """Abort unfinished uploads below the prefix that are old enough, and return how many.

        Raises:
            Unavailable: STORAGE_FAILED; logged too.
        """
        prefix = f"{self._settings.prefix}/" if self._settings.prefix else ""
        try:
            swept = self._uploads.sweep(prefix, self._settings.stale_upload_s)
        except Unavailable as error:
            log.warning("uploads_not_swept", error=error.message)
            raise
        if swept:
            log.info("uploads_swept", uploads=swept)
        return swept

    def _find(self) -> None:
        try:
            self._client.list_one(self._settings.bucket, self._settings.prefix)
        except S3Error as error:
            if code(error) != "NoSuchBucket":
                raise
            if not self._settings.create_bucket:
                raise self._refusal("is missing: make it, or allow Recorder to with create_bucket") from error
            self._make()

    def _make(self) -> None:
        try:
            self._client.make_bucket(bucket_name=self._settings.bucket)
        except S3Error as error:
            if code(error) == _MADE_MEANWHILE:
                return
            raise self._refusal(
                f"is missing and cannot be made ({cause(error)}): make it by hand, or give these credentials "
                f"s3:CreateBucket"
            ) from error
        log.info("bucket_made", bucket=self._settings.bucket)

    def _probe(self, stop: threading.Event) -> None:
        data = secrets.token_hex(32).encode()
        content = Content(len(data), hashlib.sha256(data).hexdigest())
        name = "/".join(filter(None, (self._settings.prefix, PROBE, secrets.token_hex(8))))
        self._uploads.put_bytes(name, data, content.sha256)
        try:
            self._objects.compare(name, content, stop, read_back=True)
        except Damaged as error:
            raise self._refusal(
                f"does not give back what was stored ({error.message}): use a store that keeps objects and their "
                f"metadata as they are, and is consistent after each write"
            ) from error
        finally:
            self._objects.remove(name)

    def _set_lifecycle(self) -> None:
        """Ask the store to abort unfinished uploads by itself. Rules that somebody made are never rewritten."""
        bucket = self._settings.bucket
        try:
            if self._client.get_bucket_lifecycle(bucket_name=bucket) is not None:
                return
            prefix = f"{self._settings.prefix}/" if self._settings.prefix else ""
            rule = Rule(
                ENABLED,
                rule_filter=Filter(prefix=prefix),
                rule_id=RULE_ID,
                abort_incomplete_multipart_upload=AbortIncompleteMultipartUpload(UNFINISHED_UPLOAD_DAYS),
            )
            self._client.set_bucket_lifecycle(bucket_name=bucket, config=LifecycleConfig([rule]))
        except (MinioException, HTTPError, ParseError, ValueError) as error:
            log.info(
                "lifecycle_rule_not_set",
                bucket=bucket,
                error=cause(error),
                fix="where the store has them, add a rule AbortIncompleteMultipartUpload to the bucket",
            )

    def _step(self, doing: str, step: Callable[[], None]) -> None:
        try:
            step()
        except StartupError:
            raise
        except RecorderError as error:
            raise self._failed(doing, error.message, error.__cause__) from error
        except (MinioException, HTTPError, ParseError, OSError, ValueError) as error:
            raise self._failed(doing, cause(error), error) from error

    def _failed(self, doing: str, why: str, error: BaseException | None) -> StartupError:
        bucket, endpoint = self._settings.bucket, self._settings.endpoint
        message = f"S3 bucket {bucket} at {endpoint}: {doing} failed: {why}"
        if not isinstance(error, Exception) or not may_pass(error):
            return StartupError(Reason.INVALID_CONFIGURATION, message, details=self._details("bucket", bucket))
        return StartupError(
            Reason.STORAGE_FAILED,
            f"{message}: start the store, or correct endpoint",
            details=self._details("endpoint", endpoint),
            retry_after_s=10,
        )

    def _refusal(self, fault: str) -> StartupError:
        bucket, endpoint = self._settings.bucket, self._settings.endpoint
        return StartupError(
            Reason.INVALID_CONFIGURATION,
            f"S3 bucket {bucket} at {endpoint} {fault}",
            details=self._details("bucket", bucket),
        )

    def _details(self, name: str, value: str) -> dict[str, str]:
        return {"field": f"storage.s3.{name}", "value": value}

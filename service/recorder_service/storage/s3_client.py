"""The client of an S3 store: the SDK with our own connections, time limits, and multipart uploads step by step."""

import io
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import urllib3
from minio import Minio
from minio.credentials.providers import EnvAWSProvider, IamAwsProvider, Provider, StaticProvider
from minio.datatypes import Part
from minio.sse import Sse, SseKMS, SseS3
from urllib3.response import BaseHTTPResponse

from recorder_service.errors import Reason, StartupError
from recorder_service.storage.s3_settings import Addressing, Credentials, Encryption, S3Settings, split_endpoint

SEND_BLOCK_BYTES = 256 * 1024
RETRIED_STATUSES = (429, 500, 502, 503, 504)
_LONGEST_PAUSE_S = 2.0
_METADATA_PREFIX = "x-amz-meta-"


@dataclass(frozen=True, slots=True)
class UnfinishedUpload:
    """A multipart upload that was begun and neither completed nor aborted."""

    object_name: str
    upload_id: str
    begun_at: datetime


class Connections(urllib3.PoolManager):
    """Connections to one store, with short time limits and few retries.

    The thread pool that uses them bounds their number, not they themselves: nobody waits for a connection.
    """

    def __init__(self, settings: S3Settings, size: int, authority: ssl.SSLContext | None = None) -> None:
        """Open nothing yet.

        Args:
            settings: Time limits.
            size: Idle connections kept.
            authority: Whose certificates are accepted, instead of those the system trusts.
        """
        super().__init__(
            num_pools=4,
            maxsize=size,
            block=False,
            blocksize=SEND_BLOCK_BYTES,
            timeout=urllib3.Timeout(connect=settings.connect_timeout_s, read=settings.read_timeout_s),
            # The store's own Retry-After may be an hour: it is passed on, not slept through in a thread.
            retries=urllib3.Retry(
                total=settings.retries,
                redirect=0,
                backoff_factor=0.2,
                backoff_max=_LONGEST_PAUSE_S,
                status_forcelist=RETRIED_STATUSES,
                raise_on_status=False,
                respect_retry_after_header=False,
            ),
            ssl_context=authority,
        )

    def urlopen(  # type: ignore[override] # as in PoolManager
        self,
        method: str,
        url: str,
        redirect: bool = True,  # noqa: ARG002, FBT001, FBT002 - as in PoolManager
        **kw: Any,
    ) -> BaseHTTPResponse:
        """Send a request; no redirect is followed, since nobody else may get a signed request.

        A body goes out in blocks: the time limit of a socket is one of a whole send, and a single one of a whole part
        would make a slow line look like a dead one.
        """
        if isinstance(body := kw.get("body"), bytes) and len(body) > SEND_BLOCK_BYTES:
            kw["body"] = io.BytesIO(body)
        return super().urlopen(method, url, redirect=False, **kw)


class S3Client(Minio):
    """The SDK's client, and the steps of a multipart upload that it keeps to itself.

    Its own `put_object` starts threads without a bound, goes on when nobody waits any more, and leaves the parts behind
    when it is interrupted by anything but an `Exception`.
    """

    def address(self, *, virtual: bool) -> None:
        """Put the bucket into the host's name, or into the path."""
        self._base_url.virtual_style_flag = virtual

    def begin_upload(self, bucket: str, name: str, headers: dict[str, str]) -> str:
        """Begin a multipart upload and return its id."""
        return self._create_multipart_upload(bucket_name=bucket, object_name=name, headers={**headers})

    def upload_part(self, bucket: str, name: str, upload_id: str, number: int, data: bytes) -> Part:
        """Upload one part; parts are numbered from 1."""
        etag = self._upload_part(
            bucket_name=bucket, object_name=name, data=data, headers=None, upload_id=upload_id, part_number=number
        )
        return Part(number, etag)

    def complete_upload(self, bucket: str, name: str, upload_id: str, parts: list[Part]) -> bool:
        """Make an object of the parts; False when the store began with a success and then said that it failed.

        Source: Amazon S3 API reference, CompleteMultipartUpload: status 200 may carry an error.
        """
        result = self._complete_multipart_upload(bucket_name=bucket, object_name=name, upload_id=upload_id, parts=parts)
        return bool(result.etag)

    def abort_upload(self, bucket: str, name: str, upload_id: str) -> None:
        """Forget a multipart upload and its parts."""
        self._abort_multipart_upload(bucket_name=bucket, object_name=name, upload_id=upload_id)

    def unfinished_uploads(self, bucket: str, prefix: str) -> Iterator[UnfinishedUpload]:
        """List unfinished multipart uploads of objects whose name begins with `prefix`."""
        marker: str | None = None
        while True:
            page = self._list_multipart_uploads(bucket_name=bucket, prefix=prefix, key_marker=marker)
            for upload in page.uploads:
                if upload.object_name and upload.upload_id and upload.initiated_time:
                    yield UnfinishedUpload(upload.object_name, upload.upload_id, upload.initiated_time)
            if not page.is_truncated or not page.next_key_marker:
                return
            marker = page.next_key_marker

    def list_one(self, bucket: str, prefix: str) -> None:
        """Ask for one name: unlike a HEAD of the bucket, a refusal comes with its reason."""
        self._execute("GET", bucket_name=bucket, query_params={"list-type": "2", "max-keys": "1", "prefix": prefix})

    def remove(self, bucket: str, name: str) -> bool:
        """Remove an object and tell whether a version of it stayed behind."""
        response = self._execute("DELETE", bucket_name=bucket, object_name=name)
        return str(response.headers.get("x-amz-delete-marker", "")).lower() == "true"


def client(settings: S3Settings, connections: Connections, provider: Provider, *, public: bool = False) -> S3Client:
    """Build a client for the store, or (`public`) one that signs URLs for those outside."""
    name = "public_endpoint" if public and settings.public_endpoint else "endpoint"
    host, secure = split_endpoint(name, getattr(settings, name))
    made = S3Client(endpoint=host, secure=secure, region=settings.region, http_client=connections, credentials=provider)
    if settings.addressing is Addressing.PATH:
        made.address(virtual=False)
    elif settings.addressing is Addressing.VIRTUAL:
        made.address(virtual=True)
    return made


def credentials(settings: S3Settings) -> Provider:
    """Choose where the keys come from; nothing is asked yet."""
    if settings.credentials is Credentials.ENVIRONMENT:
        return EnvAWSProvider()
    if settings.credentials is Credentials.IAM:
        return IamAwsProvider(http_client=Connections(settings, size=1), region=settings.region)
    return StaticProvider(settings.access_key, settings.secret_key, settings.session_token or None)


def encryption(settings: S3Settings) -> Sse | None:
    """Return what asks for encryption at rest."""
    if settings.encryption is Encryption.SSE_KMS:
        return SseKMS(settings.kms_key_id, {})
    return SseS3() if settings.encryption is Encryption.SSE_S3 else None


def stored_sha256(headers: Any) -> str:
    """Return the SHA-256 from an object's metadata, lower-case hex, or nothing."""
    return str(headers.get(f"{_METADATA_PREFIX}sha256") or "")


def authority(settings: S3Settings) -> ssl.SSLContext | None:
    """Load the authority that signs the store's certificate, if it has one of its own.

    Raises:
        StartupError: INVALID_CONFIGURATION: the file holds no certificates.
    """
    if settings.ca_file is None:
        return None
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except (ssl.SSLError, OSError) as error:
        raise StartupError(
            Reason.INVALID_CONFIGURATION,
            f"S3 setting ca_file ({settings.ca_file}) cannot be used ({error}): name a PEM file with certificates",
            details={"field": "storage.s3.ca_file", "value": str(settings.ca_file)},
        ) from error

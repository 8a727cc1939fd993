"""Settings of the S3 store."""

import enum
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from recorder_service.errors import BadInput, Reason, StartupError
from recorder_service.storage.object_keys import MAX_KEY_LENGTH, checked_key

MIB = 1024 * 1024
MIN_PART_BYTES = 5 * MIB
MAX_PART_BYTES = 512 * MIB
# Of Amazon S3; stores that allow more names exist, but such buckets cannot be moved.
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_ENDPOINT_EXAMPLE = "https://s3.eu-west-1.amazonaws.com or http://minio:9000"


class Credentials(enum.Enum):
    """Where the keys come from."""

    STATIC = "static"
    """`access_key`, `secret_key` and, for temporary ones, `session_token` of these settings."""
    ENVIRONMENT = "environment"
    """AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN."""
    IAM = "iam"
    """The machine's or pod's role: web identity token file, ECS endpoint or EC2 metadata. They are renewed in time."""


class Addressing(enum.Enum):
    """How the bucket stands in a URL."""

    AUTO = "auto"
    """As VIRTUAL on Amazon, as PATH elsewhere."""
    PATH = "path"
    VIRTUAL = "virtual"


class Encryption(enum.Enum):
    """Encryption at rest that is asked for with each file."""

    NONE = "none"
    """None is asked for; the bucket's own default applies."""
    SSE_S3 = "sse-s3"
    SSE_KMS = "sse-kms"
    """With the key `kms_key_id`."""


@dataclass(frozen=True, slots=True)
class S3Settings:
    """Where the store is, how to sign in, and its limits.

    A thread is held by a store that does not answer for at most `longest_request_s`; a multipart upload once more, to
    abort.

    Attributes:
        endpoint: `http(s)://host[:port]`; without a scheme https is meant. With https, certificates are checked.
        bucket: Its name.
        region: The bucket's; most stores other than Amazon take any.
        prefix: Put before every key, as `<prefix>/<key>`: several installations may share a bucket.
        access_key: For STATIC credentials.
        secret_key: For STATIC credentials.
        session_token: For temporary STATIC credentials.
        credentials: Where the keys come from.
        addressing: How the bucket stands in a URL.
        ca_file: PEM file of the authority that signed the store's certificate, instead of the system's.
        public_endpoint: As `endpoint`, as seen by those who follow presigned URLs; empty: the same.
        create_bucket: Make the bucket at start if it is missing.
        set_lifecycle: Ask a bucket without any lifecycle rules to abort unfinished uploads by itself.
        encryption: Encryption at rest.
        kms_key_id: For SSE_KMS.
        read_back: `verify` reads the whole object back and hashes it. Without, it trusts the size and the SHA-256 in
            the metadata, that is: the store's word that it keeps what it once took (it checked a hash of each request).
        part_bytes: Files larger than this go up in parts of this size (larger ones where 10,000 would not do).
        parallel_parts: Parts under way at once, over all files. Memory: this plus `upload_threads` parts.
        upload_threads: Files stored, verified and removed at once.
        download_threads: Blocks read at once.
        connect_timeout_s: Longest wait for a connection, and for room to send 256 KiB.
        read_timeout_s: Longest wait for the next bytes of an answer.
        retries: Further tries of one request after a failed connection, a lost one or 429, 500, 502, 503, 504. Few:
            what stays unavailable is tried again, later, by those who use the store.
        queue_wait_s: Longest wait for a free thread.
        wait_s: Longest wait for a whole operation, beyond what the size of a file explains.
        stale_upload_s: Unfinished multipart uploads older than this are swept. Longer than any upload: other nodes may
            be at it.
    """

    endpoint: str
    bucket: str
    region: str = "us-east-1"
    prefix: str = ""
    access_key: str = field(default="", repr=False)
    secret_key: str = field(default="", repr=False)
    session_token: str = field(default="", repr=False)
    credentials: Credentials = Credentials.STATIC
    addressing: Addressing = Addressing.AUTO
    ca_file: Path | None = None
    public_endpoint: str = ""
    create_bucket: bool = True
    set_lifecycle: bool = True
    encryption: Encryption = Encryption.NONE
    kms_key_id: str = ""
    read_back: bool = True
    part_bytes: int = 8 * MIB
    parallel_parts: int = 3
    upload_threads: int = 4
    download_threads: int = 8
    connect_timeout_s: float = 3.0
    read_timeout_s: float = 15.0
    retries: int = 1
    queue_wait_s: float = 60.0
    wait_s: float = 60.0
    stale_upload_s: float = 24 * 3600.0

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            StartupError: INVALID_CONFIGURATION, naming the field, its value and the fix.
        """
        self._check_place()
        self._check_credentials()
        if not MIN_PART_BYTES <= self.part_bytes <= MAX_PART_BYTES:
            raise _wrong("part_bytes", self.part_bytes, f"must lie between {MIN_PART_BYTES} and {MAX_PART_BYTES}")
        for name in ("parallel_parts", "upload_threads", "download_threads"):
            if getattr(self, name) < 1:
                raise _wrong(name, getattr(self, name), "must be at least 1")
        for name in ("connect_timeout_s", "read_timeout_s", "queue_wait_s", "wait_s", "stale_upload_s"):
            if getattr(self, name) <= 0:
                raise _wrong(name, getattr(self, name), "must be more than 0")
        if not 0 <= self.retries <= 5:
            raise _wrong("retries", self.retries, "must lie between 0 and 5")

    @property
    def longest_request_s(self) -> float:
        """Longest time one request to a store that never answers holds a thread, retries and pauses included."""
        pauses_s = sum(min(0.2 * 2.0**retry, 2.0) for retry in range(1, self.retries))
        return (self.retries + 1) * (self.connect_timeout_s + self.read_timeout_s) + pauses_s

    def object_name(self, key: str) -> str:
        """Return the object's name for a key of the store.

        Raises:
            BadInput: INVALID_FIELD: `key` is no key.
        """
        name = checked_key(key)
        return f"{self.prefix}/{name}" if self.prefix else name

    def _check_place(self) -> None:
        for name in ("endpoint", "public_endpoint"):
            value = getattr(self, name)
            if value or name == "endpoint":
                split_endpoint(name, value)
        if _BUCKET.fullmatch(self.bucket) is None or ".." in self.bucket:
            raise _wrong("bucket", self.bucket, "must be 3 to 63 lower-case letters, digits, '-' and '.'")
        try:
            if self.prefix:
                checked_key(self.prefix)
        except BadInput as error:
            raise _wrong(
                "prefix", self.prefix, f"must be a path such as 'recordings/eu', {MAX_KEY_LENGTH} characters at most"
            ) from error
        if not self.region:
            raise _wrong("region", self.region, "must be the bucket's region, such as 'eu-west-1'")
        if self.ca_file is not None and not self.ca_file.is_file():
            raise _wrong("ca_file", self.ca_file, "must be a readable PEM file")

    def _check_credentials(self) -> None:
        given = bool(self.access_key), bool(self.secret_key)
        if self.credentials is Credentials.STATIC and not all(given):
            raise _wrong("access_key", "", "and secret_key are needed for static credentials; or choose another source")
        if self.credentials is not Credentials.STATIC and any(given):
            raise _wrong(
                "credentials", self.credentials.value, "must be 'static' where access_key and secret_key stand"
            )
        if (self.encryption is Encryption.SSE_KMS) != bool(self.kms_key_id):
            raise _wrong("kms_key_id", self.kms_key_id, "goes together with encryption 'sse-kms'")
        if self.encryption is Encryption.SSE_KMS and not split_endpoint("endpoint", self.endpoint)[1]:
            raise _wrong("endpoint", self.endpoint, "must begin with https:// where encryption is 'sse-kms'")


def split_endpoint(name: str, url: str) -> tuple[str, bool]:
    """Return the `host[:port]` of an endpoint and whether TLS is meant.

    Raises:
        StartupError: INVALID_CONFIGURATION: it is none; `name` is the setting's.
    """
    parts = urlsplit(url if "://" in url else f"https://{url}")
    try:
        port_is_good = parts.port is None or parts.port > 0
    except ValueError:
        port_is_good = False
    extra = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    if parts.scheme not in {"http", "https"} or not parts.hostname or extra or not port_is_good:
        raise _wrong(name, url, f"must be a URL without a path, such as {_ENDPOINT_EXAMPLE}")
    return parts.netloc, parts.scheme == "https"


def _wrong(name: str, value: object, rule: str) -> StartupError:
    return StartupError(
        Reason.INVALID_CONFIGURATION,
        f"S3 setting {name} ({value!s}) {rule}" if str(value) else f"S3 setting {name} {rule}",
        details={"field": f"storage.s3.{name}", "value": str(value)[:80]},
    )

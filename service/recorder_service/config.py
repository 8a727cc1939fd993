"""Settings of the service: one typed source for flags, environment and the documented table."""

import ipaddress
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from recorder_service.domain.options import MP3_BITRATES_KBPS
from recorder_service.errors import Reason, StartupError
from recorder_service.storage.s3_settings import Addressing, Credentials, Encryption, S3Settings

ENVIRONMENT_PREFIX = "RECORDER_"
MIN_ADMIN_TOKEN_LENGTH = 32
Port = Annotated[int, Field(ge=0, le=65535)]


def _bitrate(value: int) -> int:
    if value not in MP3_BITRATES_KBPS:
        raise ValueError(f"must be one of {', '.join(map(str, MP3_BITRATES_KBPS))}")
    return value


def _networks(cidrs: tuple[str, ...]) -> tuple[str, ...]:
    for cidr in cidrs:
        ipaddress.ip_network(cidr)
    return cidrs


def _admin_token(token: SecretStr) -> SecretStr:
    if len(token.get_secret_value()) < MIN_ADMIN_TOKEN_LENGTH:
        raise ValueError(f"must have at least {MIN_ADMIN_TOKEN_LENGTH} characters")
    return token


Bitrate = Annotated[int, AfterValidator(_bitrate)]
Cidrs = Annotated[tuple[str, ...], NoDecode, AfterValidator(_networks)]
AdminToken = Annotated[SecretStr, AfterValidator(_admin_token)]


class Settings(BaseSettings):
    """All settings. Each may be given as `RECORDER_<NAME>`; flags of `recorder serve` win over the environment.

    An empty variable is the same as none.
    """

    model_config = SettingsConfigDict(env_prefix=ENVIRONMENT_PREFIX, env_ignore_empty=True, extra="ignore", frozen=True)

    data_dir: Path = Field(Path("data"), description="Journal, spool, catalog, files and the admin token live here.")
    host: str = Field("127.0.0.1", description="Address that gRPC, HTTP and metrics listen on.")
    grpc_port: Port = Field(50051, description="Port of gRPC; 0 picks a free one.")
    http_port: Port = Field(8080, description="Port of downloads and health; 0 picks a free one.")
    metrics_port: Port = Field(9464, description="Port of Prometheus metrics; 0 picks a free one.")
    public_url: str = Field(
        "", description="Base of `recording_url`, as clients reach the HTTP port; empty means its own address."
    )
    allow_plaintext: bool = Field(
        default=False, description="Serve beyond loopback without TLS (behind a proxy or mesh that encrypts)."
    )
    tls_cert: Path | None = Field(None, description="Certificate chain of the server, PEM; turns TLS on.")
    tls_key: Path | None = Field(None, description="Private key of the server, PEM.")
    tls_client_ca: Path | None = Field(
        None, description="Clients must show a certificate of this CA (mutual TLS), PEM."
    )
    admin_token: AdminToken | None = Field(
        None, description="The admin token; by default one is made at first start in `DATA_DIR/admin-token`."
    )

    max_live_recordings: int = Field(1000, ge=1, description="Most recordings that may run at once on this node.")
    max_recording_s: int = Field(86_400, ge=3, description="Longest recording, s.")
    resume_window_s: float = Field(60, ge=0, description="How long an interrupted recording waits to be resumed, s.")
    ack_interval_s: float = Field(
        0.5, ge=0.05, le=10, description="Longest wait for an acknowledgement unless a stream asks otherwise, s."
    )
    commit_interval_s: float = Field(
        0.01, ge=0, le=1, description="How long the journal gathers messages before one fdatasync, s."
    )
    disk_soft_percent: float = Field(
        10, ge=0, le=99, description="Soft mark: with less free space no recording may begin, % of the disk."
    )
    disk_soft_mib: int = Field(10_240, ge=0, description="Soft mark on large disks: at most this much, MiB.")
    disk_hard_percent: float = Field(
        5, ge=0, le=99, description="Hard mark: with less free space recordings are ended in order, % of the disk."
    )
    disk_hard_mib: int = Field(2048, ge=0, description="Hard mark on large disks: at most this much, MiB.")
    drain_grace_s: float = Field(30, ge=0, description="How long a stopping server lets calls go on, s.")
    render_threads: int = Field(2, ge=1, description="Threads that mix and encode.")

    mp3_bitrate_kbps: Bitrate = Field(32, description="Bit rate of mono MP3 files, kbit/s.")
    mp3_split_bitrate_kbps: Bitrate = Field(64, description="Bit rate of split MP3 files, kbit/s for both channels.")
    mp3_quality: int = Field(5, ge=0, le=9, description="LAME quality: 0 is best, 9 is fastest.")

    database_url: SecretStr | None = Field(
        None,
        description="Database of the catalog: `postgresql://user:password@host:port/database` or `sqlite:///file`; by "
        "default `DATA_DIR/catalog.db`.",
    )
    database_connections: int = Field(
        10, ge=2, le=1000, description="Most connections to PostgreSQL of one node, beside one that listens."
    )
    migrate: bool | None = Field(
        None, description="Whether a start may migrate the catalog; by default on SQLite only."
    )

    s3_endpoint: str = Field(
        "", description="S3 store for finished files, `http(s)://host[:port]`; empty keeps them in `DATA_DIR/files`."
    )
    s3_bucket: str = Field("recordings", description="Its bucket; made at start if missing.")
    s3_region: str = Field("us-east-1", description="The bucket's region; most stores other than Amazon take any.")
    s3_prefix: str = Field("", description="Put before every object's name.")
    s3_access_key: SecretStr | None = Field(None, description="Access key, for static credentials.")
    s3_secret_key: SecretStr | None = Field(None, description="Secret key, for static credentials.")
    s3_credentials: Credentials = Field(
        Credentials.STATIC, description="Where the keys come from: static, environment (AWS_*) or iam."
    )
    s3_addressing: Addressing = Field(
        Addressing.AUTO, description="How the bucket stands in a URL: auto, path or virtual."
    )
    s3_ca_file: Path | None = Field(None, description="Authority of the store's certificate, PEM.")
    s3_encryption: Encryption = Field(
        Encryption.NONE, description="Encryption at rest to ask for: none, sse-s3 or sse-kms."
    )
    s3_kms_key_id: str = Field("", description="Key for sse-kms.")
    s3_read_back: bool = Field(
        default=True, description="Read every stored file back and compare its hash before the local copy goes."
    )

    webhook_allow_cidrs: Cidrs = Field(
        (), description="Private networks that webhooks may go to, comma-separated CIDRs."
    )
    webhook_workers: int = Field(32, ge=1, description="Webhooks sent at once.")
    max_subscribers: int = Field(200, ge=1, description="Most event subscriptions at once.")
    max_downloads: int = Field(64, ge=1, description="Most downloads at once.")
    event_retention_days: int = Field(30, ge=1, description="How long events and finished deliveries are kept, days.")
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="Least severity that is logged.")

    @model_validator(mode="before")
    @classmethod
    def _split_lists(cls, values: dict[str, object]) -> dict[str, object]:
        cidrs = values.get("webhook_allow_cidrs")
        if isinstance(cidrs, str):
            values["webhook_allow_cidrs"] = tuple(part.strip() for part in cidrs.split(",") if part.strip())
        return values

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("RECORDER_TLS_CERT and RECORDER_TLS_KEY go together: give both or neither")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("RECORDER_TLS_CLIENT_CA needs RECORDER_TLS_CERT and RECORDER_TLS_KEY")
        if self.tls_cert is None and not self.allow_plaintext and not _is_loopback(self.host):
            raise ValueError(
                f"RECORDER_HOST is {self.host}, beyond loopback: give RECORDER_TLS_CERT and RECORDER_TLS_KEY, or "
                "RECORDER_ALLOW_PLAINTEXT=true if something in front of Recorder encrypts"
            )
        return self


def s3_settings(settings: Settings) -> S3Settings | None:
    """Return where the S3 store is, None if files are kept in a directory.

    Raises:
        StartupError: INVALID_CONFIGURATION, naming the setting.
    """
    if not settings.s3_endpoint:
        return None
    return S3Settings(
        endpoint=settings.s3_endpoint,
        bucket=settings.s3_bucket,
        region=settings.s3_region,
        prefix=settings.s3_prefix,
        access_key=_revealed(settings.s3_access_key),
        secret_key=_revealed(settings.s3_secret_key),
        credentials=settings.s3_credentials,
        addressing=settings.s3_addressing,
        ca_file=settings.s3_ca_file,
        encryption=settings.s3_encryption,
        kms_key_id=settings.s3_kms_key_id,
        read_back=settings.s3_read_back,
    )


def _revealed(secret: SecretStr | None) -> str:
    return "" if secret is None else secret.get_secret_value()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def load_settings(**flags: object) -> Settings:
    """Read the settings; flags that are not None win over the environment.

    Raises:
        StartupError: INVALID_CONFIGURATION, one line for each setting at fault with its environment name.
    """
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        lines = (_line(fault["loc"], fault["msg"].removeprefix("Value error, ")) for fault in error.errors())
        raise StartupError(Reason.INVALID_CONFIGURATION, "; ".join(lines)) from None


def _line(place: tuple[int | str, ...], message: str) -> str:
    """Name the setting at fault; where several do not go together, the message names them itself."""
    return f"{ENVIRONMENT_PREFIX}{str(place[0]).upper()}: {message}" if place else message

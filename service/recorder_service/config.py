"""Settings of the service: one typed source for flags, environment, file and the documented table."""

import enum
import ipaddress
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from recorder_service.config_file import read_config_file
from recorder_service.domain.node import Role
from recorder_service.domain.options import MP3_BITRATES_KBPS
from recorder_service.errors import Reason, StartupError
from recorder_service.storage.s3_settings import Addressing, Credentials, Encryption, S3Settings

ENVIRONMENT_PREFIX = "RECORDER_"
MIN_ADMIN_TOKEN_LENGTH = 32
MIN_CLUSTER_SECRET_LENGTH = 32
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


def _cluster_secret(secret: SecretStr) -> SecretStr:
    if len(secret.get_secret_value()) < MIN_CLUSTER_SECRET_LENGTH:
        raise ValueError(f"must have at least {MIN_CLUSTER_SECRET_LENGTH} characters")
    return secret


def _address(address: str) -> str:
    host, _, port = address.rpartition(":")
    if address and not (host and port.isdigit() and int(port) <= 65535):
        raise ValueError("must be host:port, as 10.0.0.7:50052 or [::1]:0")
    return address


Address = Annotated[str, AfterValidator(_address)]
ClusterSecret = Annotated[SecretStr, AfterValidator(_cluster_secret)]
Bitrate = Annotated[int, AfterValidator(_bitrate)]
Cidrs = Annotated[tuple[str, ...], NoDecode, AfterValidator(_networks)]
AdminToken = Annotated[SecretStr, AfterValidator(_admin_token)]


_MASK = "**********"
_PASSWORD = re.compile(r"(://[^/@:]*:)[^/@]*(@)")
_DATABASE_FIX = "give RECORDER_DATABASE_URL"


class Settings(BaseSettings):
    """All settings: flags of the command win over the environment (`RECORDER_<NAME>`), which wins over the file.

    An empty variable is the same as none.
    """

    model_config = SettingsConfigDict(env_prefix=ENVIRONMENT_PREFIX, env_ignore_empty=True, extra="ignore", frozen=True)

    config: Path | None = Field(None, description="TOML file with settings, named as here but in lower case.")
    data_dir: Path = Field(Path("data"), description="Journal, spool, catalog, files and the admin token live here.")
    node_dir: Path | None = Field(
        None, description="Where this node alone keeps its journal, spool and name; by default `DATA_DIR`."
    )
    files_dir: Path | None = Field(
        None, description="Directory of finished files where there is no S3 store; by default `DATA_DIR/files`."
    )
    role: Role = Field(
        Role.ALL, description="What this node does: all, ingest (calls), http (downloads, reading) or dispatcher."
    )
    workers: int = Field(1, ge=1, le=256, description="Nodes to run as processes behind one gRPC and HTTP port.")
    lease_s: float = Field(
        10, ge=0.5, le=300, description="How long a node that is not heard of is taken to be alive, s."
    )
    cluster_address: Address = Field(
        "", description="`host:port` where other nodes pass requests on to this one; port 0 picks a free one."
    )
    cluster_host: str = Field(
        "", description="Host under which other nodes reach it; by default that of RECORDER_CLUSTER_ADDRESS."
    )
    cluster_secret: ClusterSecret | None = Field(
        None, description="Secret by which nodes know each other, the same on all; `--workers` makes one."
    )
    cluster_ca: Path | None = Field(
        None, description="CA of the nodes' certificates, PEM: they talk TLS with tls_cert and tls_key."
    )
    host: str = Field("127.0.0.1", description="Address that gRPC, HTTP and metrics listen on.")
    grpc_port: Port = Field(50051, description="Port of gRPC; 0 picks a free one.")
    http_port: Port = Field(8080, description="Port of downloads and health; 0 picks a free one.")
    metrics_port: Port = Field(9464, description="Port of Prometheus metrics; 0 picks a free one.")
    metrics_host: str = Field("", description="Address of the metrics port alone; empty means RECORDER_HOST.")
    reuse_port: bool = Field(
        default=False, description="Let other nodes of this machine listen on the same gRPC and HTTP ports."
    )
    supervised: bool = Field(
        default=False, description="Set for the nodes of `--workers`: stop in order when standard input closes."
    )
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
    round_interval_s: float = Field(
        0.02,
        ge=0,
        le=0.1,
        description="How long the audio of a call waits for that of others, so that one turn serves all, s; 0: not at "
        "all, which costs more CPU.",
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
    render_processes: int = Field(
        2,
        ge=0,
        le=64,
        description="Processes that mix and encode; with 0 the render threads do it in the service itself, which takes "
        "less memory, but more CPU, and calls are received less promptly.",
    )
    render_threads: int = Field(
        2,
        ge=1,
        description="Threads that mix and encode, or wait for the processes that do, for calls in real time; as many "
        "more each for ends and backlogs.",
    )

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
    database_wait_s: float = Field(
        300, ge=0, description="How long a start waits for a database that does not answer, s."
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

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature of pydantic-settings
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the sources in their order: flags, environment, file."""
        path = init_settings().get("config") or env_settings().get("config")
        if not path:
            return init_settings, env_settings
        values = read_config_file(Path(path), cls.model_fields.keys() - {"config"})
        return init_settings, env_settings, InitSettingsSource(settings_cls, values)

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

    @model_validator(mode="after")
    def _fit_the_role(self) -> Self:
        if self.role is Role.ALL:
            return self
        if self.role is Role.DISPATCHER and self.workers > 1:
            raise ValueError("RECORDER_WORKERS share a port, and RECORDER_ROLE=dispatcher has none: start it once")
        if self.database_url is None:
            raise ValueError(f"RECORDER_ROLE={self.role.value} needs a database that nodes share: {_DATABASE_FIX}")
        if not self.s3_endpoint and self.files_dir is None:
            raise ValueError(
                f"RECORDER_ROLE={self.role.value} needs files that nodes share: give RECORDER_S3_ENDPOINT, or "
                "RECORDER_FILES_DIR with a directory that all of them see"
            )
        if self.role.records and not self.public_url:
            raise ValueError(
                f"RECORDER_ROLE={self.role.value} serves no downloads: give RECORDER_PUBLIC_URL, where the nodes that "
                "do are reached, since webhooks tell it"
            )
        return self

    @model_validator(mode="after")
    def _reach_each_other(self) -> Self:
        if self.cluster_address and self.cluster_secret is None:
            raise ValueError("RECORDER_CLUSTER_ADDRESS needs RECORDER_CLUSTER_SECRET, the same on all nodes")
        if self.cluster_ca is not None and self.tls_cert is None:
            raise ValueError("RECORDER_CLUSTER_CA needs RECORDER_TLS_CERT and RECORDER_TLS_KEY")
        host = self.cluster_address.rpartition(":")[0].strip("[]")
        if host and self.cluster_ca is None and not self.allow_plaintext and not _is_loopback(host):
            raise ValueError(
                f"RECORDER_CLUSTER_ADDRESS is {self.cluster_address}, beyond loopback: give RECORDER_CLUSTER_CA, "
                "RECORDER_TLS_CERT and RECORDER_TLS_KEY, or RECORDER_ALLOW_PLAINTEXT=true if the network encrypts"
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
    """Read the settings; flags that are not None win over the environment, which wins over the file.

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


def shown(settings: Settings) -> dict[str, Any]:
    """Return every setting as JSON and TOML write it, secrets masked; without those that are not set."""
    values = {name: _shown(getattr(settings, name)) for name in Settings.model_fields}
    return {name: value for name, value in values.items() if value is not None}


def _shown(value: object) -> object:
    match value:
        case SecretStr():
            return _MASK
        case Path():
            return str(value)
        case enum.Enum():
            return value.value
        case tuple():
            return list(value)
        case str():
            return _PASSWORD.sub(rf"\1{_MASK}\2", value)
    return value


def environment_of(settings: Settings) -> Mapping[str, str]:
    """Return the variables that give another process these settings, secrets and all; the file is not read again."""
    values = {name: _written(getattr(settings, name)) for name in Settings.model_fields if name != "config"}
    return {f"{ENVIRONMENT_PREFIX}{name.upper()}": text for name, text in values.items()}


def _written(value: object) -> str:
    match value:
        case None:
            return ""
        case SecretStr():
            return value.get_secret_value()
        case enum.Enum():
            return str(value.value)
        case tuple():
            return ",".join(value)
        case bool() | int() | float():
            return json.dumps(value)
    return str(value)

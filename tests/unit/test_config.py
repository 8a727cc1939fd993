"""Settings: from the environment and from flags, and what is said of wrong ones."""

from pathlib import Path

import pytest

from recorder_service.config import ENVIRONMENT_PREFIX, Settings, environment_of, load_settings, shown
from recorder_service.domain.node import Role
from recorder_service.errors import Reason, StartupError
from recorder_service.storage.s3_settings import Addressing, Credentials, Encryption

TOKEN = "recorder_admin_" + "a" * 43
# Every setting: how it is written, and what that means.
VALUES: dict[str, tuple[str, object]] = {
    "config": ("recorder.toml", Path("recorder.toml")),
    "data_dir": ("/var/lib/recorder", Path("/var/lib/recorder")),
    "node_dir": ("/var/lib/recorder/node-1", Path("/var/lib/recorder/node-1")),
    "files_dir": ("/srv/files", Path("/srv/files")),
    "role": ("dispatcher", Role.DISPATCHER),
    "workers": ("4", 4),
    "lease_s": ("0.5", 0.5),
    "cluster_address": ("[::1]:0", "[::1]:0"),
    "cluster_host": ("recorder-0.recorder", "recorder-0.recorder"),
    "cluster_secret": ("s" * 32, "s" * 32),
    "cluster_ca": ("ca.pem", Path("ca.pem")),
    "host": ("::1", "::1"),
    "grpc_port": ("1", 1),
    "http_port": ("0", 0),
    "metrics_port": ("65535", 65535),
    "metrics_host": ("127.0.0.1", "127.0.0.1"),
    "reuse_port": ("true", True),
    "supervised": ("true", True),
    "public_url": ("https://recorder.example.com", "https://recorder.example.com"),
    "allow_plaintext": ("true", True),
    "tls_cert": ("cert.pem", Path("cert.pem")),
    "tls_key": ("key.pem", Path("key.pem")),
    "tls_client_ca": ("ca.pem", Path("ca.pem")),
    "admin_token": (TOKEN, TOKEN),
    "max_live_recordings": ("7", 7),
    "max_recording_s": ("3", 3),
    "resume_window_s": ("0", 0.0),
    "ack_interval_s": ("0.05", 0.05),
    "round_interval_s": ("0.01", 0.01),
    "commit_interval_s": ("0.002", 0.002),
    "disk_soft_percent": ("99", 99.0),
    "disk_soft_mib": ("0", 0),
    "disk_hard_percent": ("0", 0.0),
    "disk_hard_mib": ("1", 1),
    "drain_grace_s": ("0.5", 0.5),
    "database_url": ("postgresql://recorder:secret@db/recorder", "postgresql://recorder:secret@db/recorder"),
    "database_connections": ("2", 2),
    "database_wait_s": ("0", 0.0),
    "migrate": ("true", True),
    "s3_endpoint": ("https://s3.example.com", "https://s3.example.com"),
    "s3_bucket": ("calls", "calls"),
    "s3_region": ("eu-west-1", "eu-west-1"),
    "s3_prefix": ("a/b", "a/b"),
    "s3_access_key": ("key", "key"),
    "s3_secret_key": ("secret", "secret"),
    "s3_credentials": ("iam", Credentials.IAM),
    "s3_addressing": ("path", Addressing.PATH),
    "s3_ca_file": ("ca.pem", Path("ca.pem")),
    "s3_encryption": ("sse-kms", Encryption.SSE_KMS),
    "s3_kms_key_id": ("alias/calls", "alias/calls"),
    "s3_read_back": ("false", False),
    "render_processes": ("0", 0),
    "render_threads": ("1", 1),
    "mp3_bitrate_kbps": ("160", 160),
    "mp3_split_bitrate_kbps": ("8", 8),
    "mp3_quality": ("0", 0),
    "webhook_allow_cidrs": (" 10.0.0.0/8, ::1/128 ,", ("10.0.0.0/8", "::1/128")),
    "webhook_workers": ("1", 1),
    "max_subscribers": ("1", 1),
    "max_downloads": ("1", 1),
    "event_retention_days": ("1", 1),
    "log_level": ("debug", "debug"),
}
WRONG: dict[str, tuple[str, ...]] = {
    "role": ("recorder", "ALL"),
    "workers": ("0", "257"),
    "lease_s": ("0.4", "301"),
    "cluster_address": ("10.0.0.7", ":50052", "host:http", "host:65536"),
    "cluster_secret": ("s" * 31,),
    "grpc_port": ("-1", "65536", "http", "1.5"),
    "http_port": ("-1", "65536"),
    "metrics_port": ("-1", "65536"),
    "allow_plaintext": ("maybe",),
    "admin_token": ("short", "x" * 31),
    "max_live_recordings": ("0", "-1", "many"),
    "max_recording_s": ("2",),
    "resume_window_s": ("-1", "nan"),
    "ack_interval_s": ("0.04", "11", "nan"),
    "round_interval_s": ("-0.1", "0.2"),
    "commit_interval_s": ("-0.1", "2"),
    "disk_soft_percent": ("-1", "100"),
    "disk_soft_mib": ("-1", "1.5"),
    "disk_hard_percent": ("-1", "100"),
    "disk_hard_mib": ("-1",),
    "drain_grace_s": ("-1",),
    "database_connections": ("1", "1001", "many"),
    "database_wait_s": ("-1", "long"),
    "migrate": ("perhaps",),
    "s3_credentials": ("none",),
    "s3_addressing": ("maybe",),
    "s3_encryption": ("rot13",),
    "s3_read_back": ("perhaps",),
    "render_processes": ("-1", "65"),
    "render_threads": ("0",),
    "mp3_bitrate_kbps": ("33", "0", "320"),
    "mp3_split_bitrate_kbps": ("31",),
    "mp3_quality": ("-1", "10"),
    "webhook_allow_cidrs": ("10.0.0.1/8", "everything"),
    "webhook_workers": ("0",),
    "max_subscribers": ("0",),
    "max_downloads": ("0",),
    "event_retention_days": ("0",),
    "log_level": ("loud", "INFO", "infos"),
}
SHARED = {"database_url": "sqlite:////srv/catalog.db", "files_dir": "/srv/files"}
COMPANIONS = {
    "role": SHARED,
    "cluster_address": {"cluster_secret": "s" * 32},
    "cluster_ca": {"tls_cert": "c", "tls_key": "k"},
    "tls_cert": {"tls_key": "k"},
    "tls_key": {"tls_cert": "c"},
    "tls_client_ca": {"tls_cert": "c", "tls_key": "k"},
}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recorder.toml").touch()
    for name in Settings.model_fields:
        monkeypatch.delenv(f"{ENVIRONMENT_PREFIX}{name.upper()}", raising=False)


def _plain(settings: Settings, name: str) -> object:
    value: object = getattr(settings, name)
    return value.get_secret_value() if hasattr(value, "get_secret_value") else value


def test_every_setting_is_tested_here() -> None:
    """A new setting has to be given its line."""
    assert set(VALUES) == set(Settings.model_fields)


@pytest.mark.parametrize("name", sorted(VALUES))
def test_setting_is_read_from_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """RECORDER_ and the name."""
    text, value = VALUES[name]
    for companion, written in (COMPANIONS.get(name, {}) | {name: text}).items():
        monkeypatch.setenv(f"RECORDER_{companion.upper()}", written)
    assert _plain(load_settings(), name) == value


@pytest.mark.parametrize("name", sorted(VALUES))
def test_flag_wins_over_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment holds something wrong, the flag something right."""
    text, value = VALUES[name]
    monkeypatch.setenv(f"RECORDER_{name.upper()}", WRONG.get(name, ("elsewhere",))[0])
    assert _plain(load_settings(**(COMPANIONS.get(name, {}) | {name: text})), name) == value


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in WRONG.items() for text in texts])
def test_wrong_setting_is_refused_by_its_environment_name(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever reads the error knows what to change."""
    monkeypatch.setenv(f"RECORDER_{name.upper()}", text)
    with pytest.raises(StartupError) as refused:
        load_settings()
    assert refused.value.reason is Reason.INVALID_CONFIGURATION
    assert refused.value.message.startswith(f"RECORDER_{name.upper()}: ")


def test_all_wrong_settings_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One start, one list."""
    monkeypatch.setenv("RECORDER_GRPC_PORT", "x")
    monkeypatch.setenv("RECORDER_MP3_QUALITY", "11")
    with pytest.raises(StartupError) as refused:
        load_settings(log_level="loud")
    for name in ("RECORDER_GRPC_PORT", "RECORDER_MP3_QUALITY", "RECORDER_LOG_LEVEL"):
        assert f"{name}: " in refused.value.message


def test_admin_token_is_in_no_error_and_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret is shown neither right nor wrong."""
    assert TOKEN not in repr(load_settings(admin_token=TOKEN))
    with pytest.raises(StartupError) as refused:
        load_settings(admin_token="hush-hush")
    assert "hush" not in refused.value.message


@pytest.mark.parametrize("name", sorted(VALUES))
def test_empty_variable_is_the_same_as_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Templates of deployments leave empty ones."""
    monkeypatch.setenv(f"RECORDER_{name.upper()}", "")
    assert _plain(load_settings(), name) == Settings.model_fields[name].default


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_needs_no_tls(host: str) -> None:
    """Nobody else can listen in."""
    assert load_settings(host=host).host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "recorder.example.com", ""])
def test_beyond_loopback_plaintext_is_refused_unless_allowed(host: str) -> None:
    """The error says both ways out."""
    with pytest.raises(StartupError) as refused:
        load_settings(host=host)
    for name in ("RECORDER_HOST", "RECORDER_TLS_CERT", "RECORDER_TLS_KEY", "RECORDER_ALLOW_PLAINTEXT"):
        assert name in refused.value.message
    assert load_settings(host=host, allow_plaintext=True).host == host
    assert load_settings(host=host, tls_cert="c", tls_key="k").host == host


@pytest.mark.parametrize(
    "flags", [{"tls_cert": "c"}, {"tls_key": "k"}, {"tls_client_ca": "a"}, {"tls_client_ca": "a", "tls_key": "k"}]
)
def test_half_a_tls_setup_is_refused(flags: dict[str, str]) -> None:
    """Certificate and key go together, and the client CA needs both."""
    with pytest.raises(StartupError) as refused:
        load_settings(**flags)
    assert "RECORDER_TLS_CERT" in refused.value.message
    assert "RECORDER_TLS_KEY" in refused.value.message


def test_settings_do_not_change() -> None:
    """They are read once."""
    with pytest.raises(ValueError, match="frozen"):
        load_settings().grpc_port = 1


@pytest.mark.parametrize("name", sorted(VALUES.keys() - {"config"}))
def test_setting_survives_the_way_to_another_process(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a worker gives it the settings of its supervisor."""
    settings = load_settings(**(COMPANIONS.get(name, {}) | {name: VALUES[name][0]}))
    for variable, text in environment_of(settings).items():
        monkeypatch.setenv(variable, text)
    assert load_settings() == settings


def test_flags_win_over_the_environment_and_that_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each source fills in what those before it leave open."""
    path = tmp_path / "settings.toml"
    path.write_text('grpc_port = 1\nhttp_port = 2\nmetrics_port = 3\nwebhook_allow_cidrs = ["10.0.0.0/8"]\n')
    monkeypatch.setenv("RECORDER_CONFIG", str(path))
    monkeypatch.setenv("RECORDER_HTTP_PORT", "20")
    monkeypatch.setenv("RECORDER_METRICS_PORT", "30")
    settings = load_settings(metrics_port=300)
    assert (settings.grpc_port, settings.http_port, settings.metrics_port) == (1, 20, 300)
    assert settings.webhook_allow_cidrs == ("10.0.0.0/8",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("grp_port = 1", "did you mean `grpc_port`?"),
        ("nothing_like_it = 1", "docs/configuration.md"),
        ("[grpc]\nport = 1", "a table [grpc]"),
        ("grpc_port = ", "is not TOML"),
        ("\udcff", "is not UTF-8"),
        (None, "cannot be read"),
    ],
)
def test_wrong_file_is_refused_with_the_fix(content: str | None, said: str, tmp_path: Path) -> None:
    """The message names the file and the place in it."""
    path = tmp_path / "settings.toml"
    if content is not None:
        path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(StartupError) as refused:
        load_settings(config=path)
    assert str(path) in refused.value.message
    assert said in refused.value.message


def test_secrets_are_shown_masked() -> None:
    """Also those inside URLs."""
    secret = "hush" * 10
    settings = load_settings(
        admin_token=secret, cluster_secret=secret, database_url=f"sqlite:///{secret}", public_url=f"http://u:{secret}@h"
    )
    values = shown(settings)
    assert secret not in repr(values)
    assert values["admin_token"] == "**********"
    assert values["public_url"] == "http://u:**********@h"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"role": "http", "files_dir": "f"}, "RECORDER_DATABASE_URL"),
        ({"role": "dispatcher", "database_url": "sqlite:////c.db"}, "RECORDER_S3_ENDPOINT"),
        ({"role": "ingest", **SHARED}, "RECORDER_PUBLIC_URL"),
        ({"role": "dispatcher", "workers": 2, **SHARED}, "RECORDER_WORKERS"),
        ({"cluster_address": "127.0.0.1:0"}, "RECORDER_CLUSTER_SECRET"),
        ({"cluster_address": "10.0.0.7:1", "cluster_secret": "s" * 32}, "RECORDER_CLUSTER_CA"),
        ({"cluster_ca": "ca.pem"}, "RECORDER_TLS_CERT"),
    ],
)
def test_role_without_what_it_shares_is_refused(flags: dict[str, object], said: str) -> None:
    """The error names the setting that is missing."""
    with pytest.raises(StartupError) as refused:
        load_settings(**flags)
    assert said in refused.value.message

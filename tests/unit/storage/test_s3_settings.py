"""Settings of the S3 store."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recorder_service.errors import BadInput, Reason, StartupError
from recorder_service.storage.s3_settings import Credentials, Encryption, S3Settings, split_endpoint

GOOD = S3Settings(endpoint="https://s3.eu-west-1.amazonaws.com", bucket="calls", access_key="key", secret_key="hidden")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("endpoint", ""), ("endpoint", "ftp://x"), ("endpoint", "https://x/path"), ("endpoint", "https://x:99999"),
        ("endpoint", "https://user@x"), ("public_endpoint", "https://x?y"), ("bucket", ""), ("bucket", "ab"),
        ("bucket", "Calls"), ("bucket", "a..b"), ("bucket", "a/b"), ("prefix", "/a"), ("prefix", "a/"),
        ("prefix", "../a"), ("region", ""), ("ca_file", Path("/none.pem")), ("access_key", ""), ("secret_key", ""),
        ("credentials", Credentials.IAM), ("encryption", Encryption.SSE_KMS), ("kms_key_id", "key"),
        ("part_bytes", 5 * 1024 * 1024 - 1), ("part_bytes", 2**30), ("parallel_parts", 0), ("upload_threads", 0),
        ("download_threads", 0), ("connect_timeout_s", 0), ("read_timeout_s", -1), ("retries", -1), ("retries", 6),
        ("queue_wait_s", 0), ("wait_s", 0), ("stale_upload_s", 0),
    ],
)  # fmt: skip
def test_bad_value_is_named_with_the_rule(field: str, value: Any) -> None:
    """The start is refused with the field's name, and without the secret."""
    with pytest.raises(StartupError) as caught:
        replace(GOOD, **{field: value})
    assert caught.value.reason is Reason.INVALID_CONFIGURATION
    assert field in caught.value.message
    assert "hidden" not in str(caught.value)


def test_key_service_needs_tls() -> None:
    """The SDK sends its key ids over TLS only."""
    sealed: dict[str, Any] = {"encryption": Encryption.SSE_KMS, "kms_key_id": "key"}
    assert replace(GOOD, **sealed).kms_key_id == "key"
    with pytest.raises(StartupError, match="https"):
        replace(GOOD, endpoint="http://minio:9000", **sealed)


def test_secrets_are_not_shown() -> None:
    """Neither key, secret nor token stands in a log line that shows the settings."""
    shown = repr(replace(GOOD, session_token="token-1"))
    assert "hidden" not in shown
    assert "token-1" not in shown


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://minio:9000", ("minio:9000", False)),
        ("https://s3.example.com/", ("s3.example.com", True)),
        ("s3.example.com", ("s3.example.com", True)),
        ("http://[::1]:9000", ("[::1]:9000", False)),
    ],
)
def test_endpoint_is_split(url: str, parts: tuple[str, bool]) -> None:
    """Without a scheme TLS is meant."""
    assert split_endpoint("endpoint", url) == parts


def test_prefix_stands_before_every_key() -> None:
    """And a key stays one."""
    assert GOOD.object_name("a/b.mp3") == "a/b.mp3"
    assert replace(GOOD, prefix="x/y").object_name("a/b.mp3") == "x/y/a/b.mp3"
    with pytest.raises(BadInput):
        GOOD.object_name("../b")


def test_longest_request_counts_every_try() -> None:
    """Two tries of 3 + 15 s by default; pauses from the second retry on."""
    assert GOOD.longest_request_s == 36
    assert replace(GOOD, retries=0).longest_request_s == 18
    assert replace(GOOD, retries=3).longest_request_s == pytest.approx(72 + 0.4 + 0.8)

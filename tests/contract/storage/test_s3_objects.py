"""What the S3 store does beyond the contract of all stores: versions, links, encryption, credentials."""

import asyncio
import base64
import contextlib
import datetime
import ipaddress
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from minio.commonconfig import ENABLED, Filter
from minio.lifecycleconfig import Expiration, LifecycleConfig, Rule
from minio.versioningconfig import VersioningConfig
from tests.harness import minio
from tests.harness.s3_bench import KEY, File, S3Bench, make_file
from tests.harness.s3_server import S3Server

from recorder_service.errors import Damaged, Reason, StartupError, Unavailable
from recorder_service.storage.s3 import S3Store
from recorder_service.storage.s3_bucket import RULE_ID
from recorder_service.storage.s3_settings import Addressing, Credentials, Encryption, S3Settings


@pytest.fixture
def file(tmp_path: Path) -> File:
    return make_file(tmp_path, 100_000)


async def test_erased_file_leaves_no_version(s3: S3Bench, file: File) -> None:
    """Where the bucket keeps versions, all of them go: an erased call must be gone."""
    bench = s3.with_settings(bucket="versioned")
    async with bench.store() as store:
        client = s3.server.client()
        client.set_bucket_versioning(bucket_name="versioned", config=VersioningConfig(ENABLED))
        bench.put(b"older bytes")
        await store.store(KEY, file.path, **file.promise)
        bench.put(b"a neighbour", KEY + ".txt")
        await store.delete(KEY)
        found = client.list_objects(
            bucket_name="versioned", prefix=bench.settings.prefix, recursive=True, include_version=True
        )
        left = {one.object_name for one in found if not one.object_name.split("/")[1].startswith(".")}
        assert left == {bench.name(KEY + ".txt")}


async def test_verifying_by_metadata_reads_nothing_back(s3: S3Bench, file: File) -> None:
    """Without `read_back` one look must do, and it sees another size, another hash and a missing object."""
    async with s3.store(read_back=False) as store:
        await store.store(KEY, file.path, **file.promise)
        s3.proxy.requests.clear()
        await store.verify(KEY, **file.promise)
        assert [line.split()[0] for line in s3.proxy.requests] == ["HEAD"]
        with pytest.raises(Damaged, match="100000 bytes, not 5"):
            await store.verify(KEY, size_bytes=5, sha256=str(file.promise["sha256"]))
        with pytest.raises(Damaged, match="SHA-256"):
            await store.verify(KEY, size_bytes=len(file.data), sha256="0" * 64)
        await store.delete(KEY)
        with pytest.raises(Damaged, match="missing"):
            await store.verify(KEY, **file.promise)


async def test_object_without_our_metadata_does_not_verify(s3: S3Bench, file: File) -> None:
    """Somebody else's copy is stored anew."""
    async with s3.store() as store:
        await asyncio.to_thread(s3.put, file.data)
        with pytest.raises(Damaged):
            await store.verify(KEY, **file.promise)
        await store.store(KEY, file.path, **file.promise)
        await store.verify(KEY, **file.promise)


async def test_presigned_url_serves_the_file_with_its_name_and_type(s3: S3Bench, file: File) -> None:
    """Anybody who has it, and nobody else, downloads under the name that was wished for."""
    async with s3.store() as store:
        await store.store(KEY, file.path, **file.promise)
        url = await store.presigned_url(KEY, ttl_s=60, content_type="audio/mpeg", file_name='Gespräch "1".mp3')
        answer = urllib3.request("GET", url)
        assert answer.status == 200
        assert answer.data == file.data
        assert answer.headers["content-type"] == "audio/mpeg"
        assert answer.headers["content-disposition"] == (
            "attachment; filename=\"Gespr_ch _1_.mp3\"; filename*=UTF-8''Gespr%C3%A4ch%20%221%22.mp3"
        )
        assert urllib3.request("GET", url.split("?")[0]).status == 403
        assert urllib3.request("GET", url.replace("0b9ecb43", "0b9ecb44")).status == 403


async def test_presigned_url_ends(s3: S3Bench, file: File) -> None:
    """After its time it is good for nothing."""
    async with s3.store() as store:
        await store.store(KEY, file.path, **file.promise)
        url = await store.presigned_url(KEY, ttl_s=1, content_type="audio/mpeg", file_name="a.mp3")
        await asyncio.sleep(2.1)
        assert urllib3.request("GET", url).status == 403
        for ttl_s in (0, 3601):
            with pytest.raises(ValueError, match=str(ttl_s)):
                await store.presigned_url(KEY, ttl_s=ttl_s, content_type="audio/mpeg", file_name="a.mp3")


async def test_presigned_url_carries_the_public_name() -> None:
    """Those outside reach the store under another name than Recorder does; nobody is asked for signing."""
    settings = S3Settings(
        endpoint="http://127.0.0.1:1",
        bucket="calls",
        access_key="key",
        secret_key="secret",
        public_endpoint="https://files.example.com",
        addressing=Addressing.VIRTUAL,
    )
    store = S3Store(settings)
    url = await store.presigned_url("a/b.mp3", ttl_s=60, content_type="audio/mpeg", file_name="b.mp3")
    await store.aclose()
    assert url.startswith("https://calls.files.example.com/a/b.mp3?")
    assert "X-Amz-Expires=60" in url
    assert "secret" not in url


async def test_keys_from_the_environment(s3: S3Bench, file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    """The names are those of Amazon's own tools; without them the start is refused."""
    without = {"access_key": "", "secret_key": "", "credentials": Credentials.ENVIRONMENT}
    for name in ("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StartupError) as caught:
        async with s3.store(**without):
            pass
    assert caught.value.reason is Reason.INVALID_CONFIGURATION
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3.server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3.server.secret_key)
    async with s3.store(**without) as store:
        await store.store(KEY, file.path, **file.promise)
        await store.verify(KEY, **file.promise)


@contextlib.contextmanager
def credentials_endpoint(server: S3Server) -> Iterator[str]:
    """Serve keys as a container's credentials endpoint does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            ends = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
            keys = {"AccessKeyId": server.access_key, "SecretAccessKey": server.secret_key}
            body = json.dumps({**keys, "Token": None, "Expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ")}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_address[1]}/keys"
        http.shutdown()
        thread.join()


async def test_keys_of_a_role(one_s3: S3Bench, file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pod's role gives the keys; where nobody gives any, the start is refused in bounded time."""
    role = {"access_key": "", "secret_key": "", "credentials": Credentials.IAM}
    for name in ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        monkeypatch.delenv(name, raising=False)
    with credentials_endpoint(one_s3.server) as url:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
        async with one_s3.store(**role) as store:
            await store.store(KEY, file.path, **file.promise)
            await store.verify(KEY, **file.promise)
    with pytest.raises(StartupError):
        async with one_s3.store(**role):
            pass


async def test_lifecycle_rule_is_set_once_and_others_are_left_alone(one_s3: S3Bench) -> None:
    """A bucket without rules gets one against unfinished uploads; a bucket with rules keeps exactly those."""
    client = one_s3.server.client()
    for _ in range(2):
        async with one_s3.store(bucket="no-rules"):
            pass
    config = client.get_bucket_lifecycle(bucket_name="no-rules")
    assert config is not None
    assert [rule.rule_id for rule in config.rules] == [RULE_ID]
    assert config.rules[0].abort_incomplete_multipart_upload is not None
    client.make_bucket(bucket_name="with-rules")
    rule = Rule(ENABLED, rule_filter=Filter(prefix="x/"), rule_id="theirs", expiration=Expiration(days=3))
    client.set_bucket_lifecycle(bucket_name="with-rules", config=LifecycleConfig([rule]))
    async with one_s3.store(bucket="with-rules"):
        pass
    config = client.get_bucket_lifecycle(bucket_name="with-rules")
    assert config is not None
    assert [rule.rule_id for rule in config.rules] == ["theirs"]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate for 127.0.0.1 that signs itself, in the files MinIO looks for."""
    directory = tmp_path_factory.mktemp("certificates")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (directory / "public.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / "private.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return directory


@pytest.fixture(scope="session")
def sealed_server(
    minio_server: S3Server, authority: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[S3Server]:
    """Run a MinIO that speaks TLS and has a key to encrypt with."""
    key = f"recorder:{base64.b64encode(os.urandom(32)).decode()}"
    data = tmp_path_factory.mktemp("sealed")
    with minio.running(data, certificates=authority, environment={"MINIO_KMS_SECRET_KEY": key}) as server:
        yield server


def sealed_settings(server: S3Server, **changes: object) -> S3Settings:
    given = {"endpoint": server.url, "bucket": "sealed", "part_bytes": 5 << 20, "read_timeout_s": 5.0, **changes}
    return S3Settings(access_key=server.access_key, secret_key=server.secret_key, **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("wanted", [Encryption.NONE, Encryption.SSE_S3, Encryption.SSE_KMS])
async def test_files_travel_under_tls_and_rest_encrypted(
    sealed_server: S3Server, authority: Path, tmp_path: Path, wanted: Encryption
) -> None:
    """Small and large files, the store's own key or one of the key service."""
    key_id = "recorder" if wanted is Encryption.SSE_KMS else ""
    ca_file = authority / "public.crt"
    store = S3Store(sealed_settings(sealed_server, ca_file=ca_file, encryption=wanted, kms_key_id=key_id))
    await store.check()
    for key, size_bytes in ((f"small-{wanted.value}.mp3", 1000), (f"large-{wanted.value}.wav", 6 << 20)):
        file = make_file(tmp_path, size_bytes)
        await store.store(key, file.path, **file.promise)
        await store.verify(key, **file.promise)
        url = await store.presigned_url(key, ttl_s=60, content_type="audio/mpeg", file_name="a.mp3")
        with urllib3.PoolManager(ca_certs=str(ca_file)) as http:
            answer = http.request("HEAD" if wanted is Encryption.NONE else "GET", url)
        sealed = {Encryption.NONE: None, Encryption.SSE_S3: "AES256", Encryption.SSE_KMS: "aws:kms"}[wanted]
        if wanted is not Encryption.NONE:
            assert answer.status == 200
            assert answer.headers.get("x-amz-server-side-encryption") == sealed
    await store.aclose()


async def test_unknown_authority_is_refused_with_the_fix(sealed_server: S3Server) -> None:
    """Certificates are always checked."""
    store = S3Store(sealed_settings(sealed_server))
    with pytest.raises(StartupError) as caught:
        await store.check()
    await store.aclose()
    assert caught.value.reason is Reason.INVALID_CONFIGURATION
    assert "ca_file" in caught.value.message


async def test_plain_text_to_a_tls_port_is_an_outage_not_a_crash(sealed_server: S3Server, file: File) -> None:
    """A store that moved to TLS is named, whatever it answers."""
    store = S3Store(sealed_settings(sealed_server, endpoint=f"http://127.0.0.1:{sealed_server.port}"))
    with pytest.raises(Unavailable):
        await store.store(KEY, file.path, **file.promise)
    await store.aclose()

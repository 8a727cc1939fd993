"""TLS and mutual TLS by flags; plaintext beyond loopback only when asked for by name."""

import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.harness.certificates import Authority
from tests.harness.server import Server


async def check_health(port: int, credentials: grpc.ChannelCredentials) -> health_pb2.HealthCheckResponse:
    async with grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        response: health_pb2.HealthCheckResponse = await stub.Check(health_pb2.HealthCheckRequest(), timeout=10)
        return response


def http_status(url: str, context: ssl.SSLContext) -> int:
    try:
        with urllib.request.urlopen(url, context=context, timeout=10) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


async def test_grpc_and_downloads_speak_tls(tmp_path: Path) -> None:
    """A client that trusts the CA gets through on both ports; a plaintext one does not."""
    authority = Authority(tmp_path)
    issued = authority.issue("127.0.0.1")
    flags = ["--tls-cert", str(issued.certificate), "--tls-key", str(issued.key)]
    with Server(tmp_path / "data", arguments=flags) as server:
        answer = await check_health(server.ports.grpc, grpc.ssl_channel_credentials(authority.pem))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.ports.grpc}") as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
        assert refused.value.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
        context = ssl.create_default_context(cadata=authority.pem.decode())
        url = f"https://127.0.0.1:{server.ports.http}/v1/files/none"
        assert http_status(url, context) == 401


async def test_mutual_tls_refuses_a_client_without_a_certificate(tmp_path: Path) -> None:
    """With a client CA only clients that show one of its certificates get through."""
    authority = Authority(tmp_path)
    issued, own = authority.issue("127.0.0.1"), authority.issue("client")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    flags = ["--tls-cert", str(issued.certificate), "--tls-key", str(issued.key)]
    with Server(tmp_path / "data", arguments=[*flags, "--tls-client-ca", str(tmp_path / "ca.pem")]) as server:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await check_health(server.ports.grpc, grpc.ssl_channel_credentials(authority.pem))
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        credentials = grpc.ssl_channel_credentials(
            authority.pem, private_key=own.key.read_bytes(), certificate_chain=own.certificate.read_bytes()
        )
        answer = await check_health(server.ports.grpc, credentials)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_plaintext_beyond_loopback_is_refused_unless_asked_for_by_name(tmp_path: Path) -> None:
    """The message names the ways out."""
    command = [sys.executable, "-m", "recorder_service", "serve", "--data-dir", str(tmp_path / "data")]
    ended = subprocess.run(
        [*command, "--host", "0.0.0.0"], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
    )
    assert ended.returncode == 1
    assert "RECORDER_TLS_CERT" in ended.stderr
    assert "RECORDER_ALLOW_PLAINTEXT" in ended.stderr
    with Server(tmp_path / "data", arguments=["--host", "0.0.0.0", "--allow-plaintext"]) as server:
        assert server.running

"""Connecting with TLS, and asking with a token, a deadline and typed errors."""

import datetime
from collections.abc import AsyncIterator
from dataclasses import dataclass
from ipaddress import ip_address

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from tests.unit.clients.contract_server import ContractServer, Held, RecordingServicer

from recorder.channel import Client, Tls, connect
from recorder.errors import RecorderError
from recorder.v1 import recording_service_pb2_grpc
from recorder.v1.recording_pb2 import Recording
from recorder.v1.webhook_service_pb2 import ListDeliveriesRequest

RECORDING_ID = "2c4f0e1a-6d9e-4a5b-9f0e-9b8a1c2d3e4f"


@dataclass(frozen=True)
class Pair:
    """A certificate that is its own CA, and its key."""

    certificate: bytes
    key: bytes


def self_signed(name: str) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Pair(certificate.public_bytes(Encoding.PEM), pem)


SERVER, CLIENT = self_signed("server"), self_signed("client")


@pytest.fixture
async def target() -> AsyncIterator[str]:
    """A server that wants the client's certificate."""
    server = grpc.aio.server()
    recordings = {RECORDING_ID: Held(Recording(recording_id=RECORDING_ID))}
    recording_service_pb2_grpc.add_RecordingServiceServicer_to_server(
        RecordingServicer(recordings),  # type: ignore[abstract] # the client asks for no more
        server,
    )
    credentials = grpc.ssl_server_credentials(
        [(SERVER.key, SERVER.certificate)], root_certificates=CLIENT.certificate, require_client_auth=True
    )
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


async def test_mutual_tls_is_spoken(target: str) -> None:
    """With the CA and an own certificate the server answers."""
    async with connect(target, tls=Tls(SERVER.certificate, CLIENT.certificate, CLIENT.key)) as client:
        assert (await client.recording(RECORDING_ID)).recording_id == RECORDING_ID


@pytest.mark.parametrize(
    "tls", [None, Tls(SERVER.certificate), Tls(CLIENT.certificate, CLIENT.certificate, CLIENT.key)]
)
async def test_wrong_trust_is_unavailable(target: str, tls: Tls | None) -> None:
    """Plaintext, no own certificate, and a CA that did not sign the server's are all refused."""
    async with connect(target, tls=tls) as client:
        with pytest.raises(RecorderError) as refusal:
            await client.recording(RECORDING_ID)
    assert refusal.value.reason == "UNAVAILABLE"


async def test_refusal_is_typed(client: Client) -> None:
    """The reason of the server's ErrorInfo is the error's, and it is no use to retry."""
    with pytest.raises(RecorderError) as refusal:
        await client.recording("unknown")
    error = refusal.value
    assert (error.reason, error.status, error.retryable) == ("RECORDING_NOT_FOUND", "NOT_FOUND", False)


async def test_server_that_is_no_recorder_is_named_by_its_status(server: ContractServer) -> None:
    """Without ErrorInfo the reason is the name of the gRPC status."""
    async with connect(server.target) as client:
        with pytest.raises(RecorderError) as refusal:
            await client.unary(client.webhooks.ListDeliveries, ListDeliveriesRequest())
    assert refusal.value.reason == "UNIMPLEMENTED"

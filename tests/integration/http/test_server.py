"""The HTTP server itself: binding, bounds for connections, stopping, TLS."""

import asyncio
import contextlib
import datetime
import signal
import socket
import ssl
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.types import Receive, Scope, Send
from tests.integration.http.site import LARGE_BYTES, hang_up, running_site

from recorder_service.errors import Reason, StartupError
from recorder_service.http.downloads import DownloadLimits
from recorder_service.http.server import HttpServer, ServerLimits
from recorder_service.http.tls import TlsFiles

LARGE = bytes(LARGE_BYTES)


async def hello(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
    await send({"type": "http.response.body", "body": b"hello"})


async def exchange(port: int, request: bytes, tls: ssl.SSLContext | None = None) -> bytes:
    """Send bytes and read until the server closes."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=tls, server_hostname=None if tls is None else "localhost"
    )
    writer.write(request)
    received = b""
    with contextlib.suppress(ConnectionResetError):
        received = await asyncio.wait_for(reader.read(), 5)
    await hang_up(writer)
    return received


GET = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


async def test_free_port_is_known_before_serving_and_works_after() -> None:
    """Port 0 becomes a real one at bind; a connection made between bind and start is answered."""
    server = HttpServer(hello, "127.0.0.1", 0)
    port = server.bind()
    assert port == server.port > 0
    early = asyncio.create_task(exchange(port, GET))
    await asyncio.sleep(0.05)
    assert not early.done()
    async with server:
        assert (await early).startswith(b"HTTP/1.1 200 OK\r\n")
        assert (await exchange(port, GET)).endswith(b"\r\n\r\nhello")


async def test_response_names_the_date_but_not_the_software() -> None:
    """Date is required of a server; its make is nobody's business."""
    async with HttpServer(hello, "127.0.0.1", 0) as server:
        head = (await exchange(server.port, GET)).lower()
    assert b"\r\ndate: " in head
    assert b"uvicorn" not in head


async def test_ipv6_is_served() -> None:
    """An address with colons is an IPv6 one."""
    async with HttpServer(hello, "::1", 0) as server:
        _reader, writer = await asyncio.open_connection("::1", server.port)
        await hang_up(writer)


async def test_taken_port_stops_the_start() -> None:
    """The refusal names the address and the way out."""
    async with HttpServer(hello, "127.0.0.1", 0) as first:
        with pytest.raises(StartupError, match=f"port {first.port} cannot be taken") as caught:
            HttpServer(hello, "127.0.0.1", first.port).bind()
    assert caught.value.reason is Reason.INVALID_CONFIGURATION


async def test_signal_handlers_are_left_alone() -> None:
    """The process belongs to somebody else."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    async with HttpServer(hello, "127.0.0.1", 0):
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


async def test_port_is_free_after_the_stop() -> None:
    """Stopping closes the listening socket, and stopping twice does no harm."""
    server = HttpServer(hello, "127.0.0.1", 0)
    async with server:
        port = server.port
    await server.stop()
    await server.wait()
    async with HttpServer(hello, "127.0.0.1", port):
        pass


async def test_answers_do_not_wait_for_acknowledgements() -> None:
    """Head and body go out at once: 50 requests on one connection take far less than 50 delayed ACKs of 40 ms."""
    async with HttpServer(hello, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        started = time.monotonic()
        for _ in range(50):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"hello")
        assert time.monotonic() - started < 1
        await hang_up(writer)


@pytest.mark.parametrize(
    "request_bytes",
    [b"", b"GET / HTTP/1.1\r\nHost: x\r\nX: ", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1"],
)
async def test_unfinished_request_is_cut(request_bytes: bytes) -> None:
    """Silence, half a head and half a body after the answer all end at the head timeout."""
    limits = ServerLimits(head_timeout_s=0.3, idle_timeout_s=1)
    async with HttpServer(hello, "127.0.0.1", 0, limits=limits) as server:
        started = time.monotonic()
        await exchange(server.port, request_bytes)
        assert time.monotonic() - started < 2


async def test_head_that_drips_is_cut() -> None:
    """A byte now and then does not prolong the wait."""
    async with HttpServer(hello, "127.0.0.1", 0, limits=ServerLimits(head_timeout_s=0.3)) as server:
        _reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        started = time.monotonic()
        with contextlib.suppress(ConnectionError):
            for _ in range(200):
                writer.write(b"G")
                await writer.drain()
                await asyncio.sleep(0.01)
        assert time.monotonic() - started < 1
        await hang_up(writer)


async def test_idle_connection_is_closed() -> None:
    """Keep-alive has an end."""
    async with HttpServer(hello, "127.0.0.1", 0, limits=ServerLimits(idle_timeout_s=1)) as server:
        answer = await exchange(server.port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer.endswith(b"hello")


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\nHost: x\r\nX: ", b"GET /"])
async def test_head_that_is_too_long_is_refused(start: bytes, end: bytes) -> None:
    """Whole or not, in the headers or the path: 400 or 431, and the connection is closed."""
    if end and start == b"GET /":
        end = b" HTTP/1.1\r\nHost: x" + end
    async with HttpServer(hello, "127.0.0.1", 0, limits=ServerLimits(head_bytes=4096)) as server:
        answer = await exchange(server.port, start + b"x" * 5000 + end)
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))
    assert b"hello" not in answer


async def test_connection_beyond_the_bound_is_refused() -> None:
    """503 while the others are open."""
    async with HttpServer(hello, "127.0.0.1", 0, limits=ServerLimits(connections=4)) as server:
        held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(4)]
        assert (await exchange(server.port, GET)).startswith(b"HTTP/1.1 503")
        for _, writer in held:
            await hang_up(writer)


async def test_running_download_ends_in_peace_at_a_stop(tmp_path: Path) -> None:
    """New connections are refused at once; a body that is on its way arrives whole."""
    async with running_site(tmp_path) as site:
        file = await site.add(LARGE)
        reader, writer = await site.connect(f"/v1/files/{file.file_id}")
        await reader.readuntil(b"\r\n\r\n")
        stopping = asyncio.create_task(site.server.stop())
        await asyncio.sleep(0.05)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", site.server.port)
        assert await reader.readexactly(LARGE_BYTES) == LARGE
        await asyncio.wait_for(stopping, 2)
        await hang_up(writer)


async def test_endless_download_is_cut_at_the_deadline(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A client that takes nothing does not hold up the stop, and nothing is logged as an error."""
    async with running_site(tmp_path, DownloadLimits(stall_s=60)) as site:
        file = await site.add(LARGE)
        _reader, writer = await site.connect(f"/v1/files/{file.file_id}")
        await asyncio.sleep(0.1)
        started = time.monotonic()
        await site.server.stop(grace_s=0.3)
        assert 0.3 <= time.monotonic() - started < 1.5
        assert site.downloads.running == 0
        assert not [record for record in caplog.records if record.levelname == "ERROR"]
        await hang_up(writer)


async def test_last_bytes_that_nobody_takes_do_not_hold_the_connection(tmp_path: Path) -> None:
    """A finished response to a client that stopped reading is let go after the idle and linger times."""
    limits = ServerLimits(idle_timeout_s=1, linger_s=0.2)
    async with running_site(tmp_path, server_limits=limits) as site:
        file = await site.add(bytes(40_000))
        assert site.server._socket is not None
        site.server._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.setblocking(False)
        await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", site.server.port))
        request = f"GET /v1/files/{file.file_id} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\r\n\r\n"
        await asyncio.get_running_loop().sock_sendall(raw, request.encode())
        await asyncio.sleep(1.5)
        started = time.monotonic()
        await site.server.stop(grace_s=5)
        assert time.monotonic() - started < 1
        raw.close()


def self_signed(directory: Path) -> TlsFiles:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = TlsFiles(directory / "tls.crt", directory / "tls.key")
    files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files.private_key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


async def test_https_is_spoken(tmp_path: Path) -> None:
    """With TLS files the server speaks TLS 1.2 or later, and nothing else."""
    files = self_signed(tmp_path)
    trust = ssl.create_default_context(cafile=str(files.certificate))
    async with HttpServer(hello, "127.0.0.1", 0, tls=files) as server:
        assert (await exchange(server.port, GET, trust)).endswith(b"hello")
        assert b"hello" not in await exchange(server.port, GET)


async def test_tls_files_that_cannot_be_used_stop_the_start(tmp_path: Path) -> None:
    """Missing or mixed-up files are named, and the port is not kept."""
    server = HttpServer(hello, "127.0.0.1", 0, tls=TlsFiles(tmp_path / "none.crt", tmp_path / "none.key"))
    port = server.bind()
    with pytest.raises(StartupError, match=r"none\.crt"):
        await server.start()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)

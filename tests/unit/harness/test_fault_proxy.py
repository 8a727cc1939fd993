"""The fault proxy does what tests rely on."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from tests.harness.fault_proxy import FaultProxy, Way
from urllib3 import PoolManager, Timeout
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProtocolError, ReadTimeoutError

BODY = b"x" * 300_000


class Handler(BaseHTTPRequestHandler):
    """Gives the body, and counts one it is sent."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(BODY)

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["content-length"]))
        if len(data) == int(self.headers["content-length"]):
            self.answer(str(len(data)).encode())

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Bears clients that go away."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing."""


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        with FaultProxy(server.server_address[1]) as made:
            yield made
        server.shutdown()
        thread.join()


class Client:
    """Asks through the proxy, without retries, over connections that are kept."""

    def __init__(self, proxy: FaultProxy) -> None:
        self._url = f"http://127.0.0.1:{proxy.port}/a"
        self._http = PoolManager(timeout=Timeout(connect=0.3, read=0.3), retries=False)

    def get(self) -> tuple[int, bytes]:
        answer = self._http.request("GET", self._url)
        return answer.status, answer.data

    def put(self) -> tuple[int, bytes]:
        answer = self._http.request("PUT", self._url, body=BODY)
        return answer.status, answer.data


@pytest.fixture
def client(proxy: FaultProxy) -> Client:
    made = Client(proxy)
    assert made.get() == (200, BODY)
    assert made.put() == (200, b"300000")
    return made


def test_requests_are_answered_in_the_server_s_place(proxy: FaultProxy, client: Client) -> None:
    """Also on connections that were open before, also after a body, and only so often."""
    proxy.answer(503, times=2, body="no")
    assert client.get() == client.put() == (503, b"no")
    assert client.get() == (200, BODY)


def test_only_some_requests_are_concerned(proxy: FaultProxy, client: Client) -> None:
    """The first line decides."""
    proxy.answer(500, only="^PUT /a")
    assert client.get()[0] == 200
    assert client.put()[0] == 500
    assert proxy.requests[-2:] == ["GET /a HTTP/1.1", "PUT /a HTTP/1.1"]


def test_black_hole_answers_nothing_and_ends(proxy: FaultProxy, client: Client) -> None:
    """Connecting works, asking does not."""
    proxy.black_hole()
    with pytest.raises(ReadTimeoutError):
        client.get()
    proxy.pass_through()
    assert client.get()[0] == 200


def test_refused_and_unreachable_differ(proxy: FaultProxy, client: Client) -> None:
    """One says no at once, the other nothing; both end."""
    proxy.refuse()
    with pytest.raises(NewConnectionError):
        client.get()
    proxy.unreachable()
    with pytest.raises(ConnectTimeoutError) as caught:
        client.get()
    assert not isinstance(caught.value, NewConnectionError)
    proxy.pass_through()
    assert client.get()[0] == 200


def test_answer_is_cut_after_exactly_so_many_bytes(proxy: FaultProxy, client: Client) -> None:
    """The head does not count."""
    proxy.cut(100_000)
    with pytest.raises(ProtocolError, match="100000 bytes read"):
        client.get()


def test_request_is_cut(proxy: FaultProxy, client: Client) -> None:
    """The server never gets it whole."""
    proxy.cut(100_000, way=Way.UP, times=1)
    with pytest.raises(ProtocolError):
        client.put()
    assert client.put()[0] == 200


def test_slow_is_as_slow_as_told(proxy: FaultProxy, client: Client) -> None:
    """A body of 300,000 bytes takes 0.3 s at 1 MB/s."""
    proxy.slow(1_000_000)
    began_s = time.monotonic()
    assert client.get() == (200, BODY)
    assert 0.25 < time.monotonic() - began_s < 1


def test_open_connections_are_reset(proxy: FaultProxy, client: Client) -> None:
    """The client has to connect anew."""
    before = proxy.connections
    proxy.reset()
    assert client.get()[0] == 200
    assert proxy.connections == before + 1

"""Downloads over HTTP: checked, whole or not at all, and careful with the token."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from recorder_service.cli.downloads import at_base, download_over_http
from recorder_service.cli.failures import CommandFailed

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves /file to who has the token; /moved points to /store by another host name."""

    seen: list[tuple[str, str | None]]
    port: int

    def do_GET(self) -> None:
        token = self.headers["Authorization"]
        self.seen.append((self.path, token))
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{self.port}/store")
            self.end_headers()
        elif self.path == "/store" or token == "Bearer good":
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT)
        else:
            self.send_error(401)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    Handler.seen = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Handler.port = server.server_port
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_file_is_written_whole(url: str, tmp_path: Path) -> None:
    """What came is at the path, and nothing else is left there."""
    download_over_http(f"{url}/file", "good", tmp_path / "a.mp3", size_bytes=len(CONTENT), sha256=SHA256)
    assert (tmp_path / "a.mp3").read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp3"]


def test_other_content_than_told_leaves_no_file(url: str, tmp_path: Path) -> None:
    """A wrong hash is an error, and no half file looks like a good one."""
    with pytest.raises(CommandFailed, match="SHA-256") as failure:
        download_over_http(f"{url}/file", "good", tmp_path / "a.mp3", size_bytes=len(CONTENT), sha256="0" * 64)
    assert failure.value.reason == "DAMAGED"
    assert list(tmp_path.iterdir()) == []


def test_refused_token_says_how_to_make_one(url: str, tmp_path: Path) -> None:
    """401 becomes the reason and hint that gRPC would give."""
    with pytest.raises(CommandFailed, match="401") as failure:
        download_over_http(f"{url}/file", "bad", tmp_path / "a.mp3", size_bytes=1, sha256=SHA256)
    assert "recorder token" in failure.value.hint


def test_token_does_not_follow_a_redirect(url: str, tmp_path: Path) -> None:
    """A store that the server points to is not told the token."""
    download_over_http(f"{url}/moved", "good", tmp_path / "a.mp3", size_bytes=len(CONTENT), sha256=SHA256)
    assert Handler.seen == [("/moved", "Bearer good"), ("/store", None)]


def test_server_that_is_away_is_unavailable(tmp_path: Path) -> None:
    """Nobody at the port: UNAVAILABLE, and a retry may help."""
    with pytest.raises(CommandFailed) as failure:
        download_over_http("http://127.0.0.1:1/x", "t", tmp_path / "a.mp3", size_bytes=1, sha256=SHA256)
    assert (failure.value.reason, failure.value.retryable) == ("UNAVAILABLE", True)


@pytest.mark.parametrize("base", ["http://10.0.0.1:8080", "http://10.0.0.1:8080/"])
def test_base_replaces_host_and_keeps_path(base: str) -> None:
    """The file's own host name need not be reachable."""
    assert at_base(base, "https://files.example.com/v1/files/abc") == "http://10.0.0.1:8080/v1/files/abc"

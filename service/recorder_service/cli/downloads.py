"""Fetching a finished file, whole and checked, over gRPC or HTTP."""

import hashlib
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from recorder_service.cli.failures import CommandFailed

if TYPE_CHECKING:
    from recorder.channel import Client

_PIECE_BYTES = 65_536
_HTTP_S = 60.0
_HTTP_REASONS = {401: "INVALID_TOKEN", 403: "NOT_PERMITTED", 404: "FILE_NOT_FOUND", 410: "FILE_EXPIRED"}


class _Target:
    """The file being written, with the hash of what was written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.size_bytes = 0

    def write(self, piece: bytes) -> None:
        """Append."""
        self._file.write(piece)
        self._hash.update(piece)
        self.size_bytes += len(piece)

    def check(self, size_bytes: int, sha256: str) -> None:
        """Compare with what the file should be.

        Raises:
            CommandFailed: If it is something else.
        """
        if (self.size_bytes, self._hash.hexdigest()) != (size_bytes, sha256):
            raise CommandFailed(
                f"the download has {self.size_bytes} bytes and SHA-256 {self._hash.hexdigest()}, the recording "
                f"{size_bytes} and {sha256}",
                reason="DAMAGED",
                hint="download it again; if that does not help, look at the server's log",
            )


async def download_over_grpc(client: "Client", recording_id: str, path: Path) -> None:
    """Write a recording's file to `path`, going on where a broken connection or an earlier try left off.

    Raises:
        CommandFailed: If `path` cannot be written.
        RecorderError: If there is no file, the connection cannot be had back, or what came is not the file.
    """
    try:
        await client.download_to(recording_id, path)
    except OSError as error:
        raise _unwritable(path, error) from None


def download_over_http(url: str, token: str, path: Path, *, size_bytes: int, sha256: str) -> None:
    """Write what an HTTP URL gives to `path`. The token does not follow a redirect to another host.

    Raises:
        CommandFailed: If the server refuses, `path` cannot be written, or what came is not the file.
    """
    if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
        raise CommandFailed(f"{url} is no http or https URL", hint="give --http http://HOST:PORT")
    request = urllib.request.Request(url)  # noqa: S310 - the scheme was looked at
    request.add_unredirected_header("Authorization", f"Bearer {token}")
    with _complete_or_nothing(path) as target:
        try:
            with urllib.request.urlopen(request, timeout=_HTTP_S) as answer:  # noqa: S310 - the same
                while piece := answer.read(_PIECE_BYTES):
                    target.write(piece)
        except urllib.error.HTTPError as error:
            error.close()
            reason = _HTTP_REASONS.get(error.code, "FAILED")
            raise CommandFailed(f"{url} answered {error.code} {error.reason}", reason=reason) from None
        except OSError as error:
            raise CommandFailed(f"cannot fetch {url}: {error}", reason="UNAVAILABLE", retryable=True) from None
        target.check(size_bytes, sha256)


def at_base(base: str, url: str) -> str:
    """Give the URL with another scheme, host and port, for when the server's own name is not reachable from here."""
    return urllib.parse.urljoin(base.rstrip("/") + "/", urllib.parse.urlsplit(url).path.lstrip("/"))


@contextmanager
def _complete_or_nothing(path: Path) -> Iterator[_Target]:
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            yield _Target(file)
        part.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        part.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> CommandFailed:
    return CommandFailed(f"cannot write {path}: {error.strerror}", hint="give another file with --out")

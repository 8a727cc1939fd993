"""The admin token: opaque, kept in a file that only its owner can read, known to the service as a hash."""

import contextlib
import hashlib
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from recorder_service.errors import Reason, StartupError

_PREFIX = "recorder_admin_"
_MIN_LENGTH = 32
_MAX_SIZE_BYTES = 1024


@dataclass(frozen=True, slots=True)
class AdminToken:
    """The admin token of a node.

    Attributes:
        sha256: What a token shown by a caller is compared with.
        created: Whether it was made just now.
    """

    sha256: bytes
    created: bool


def admin_token_sha256(token: str) -> bytes:
    """Return the hash by which the service knows an admin token."""
    return hashlib.sha256(token.encode()).digest()


def load_or_create_admin_token(path: Path) -> AdminToken:
    """Read the token from a file, or make one there if there is no file.

    A new file appears whole, durable and with mode 0600, or not at all; of several processes that start at once one
    makes it and the others read it.

    Raises:
        StartupError: INVALID_CONFIGURATION; the file cannot be read or made, others can read it, or it holds no token.
    """
    try:
        created = not path.exists() and _create(path, _PREFIX + secrets.token_urlsafe(32))
        return AdminToken(admin_token_sha256(_read(path)), created)
    except OSError as error:
        raise StartupError(
            Reason.INVALID_CONFIGURATION,
            f"the admin token file {path} cannot be used ({error.strerror}); make its directory writable for the "
            "service, or name another file",
        ) from error


def _create(path: Path, token: str) -> bool:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(token.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)  # unlike a rename it never replaces a file
            return True
        return False
    finally:
        draft.unlink()
        _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read(path: Path) -> str:
    with path.open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        data = file.read(_MAX_SIZE_BYTES + 1)
    if mode & 0o077:
        raise StartupError(
            Reason.INVALID_CONFIGURATION,
            f"the admin token file {path} has mode {mode:04o}, so others can read or change it: chmod 600 {path}",
        )
    token = data.decode("ascii", errors="replace").strip()
    if not _MIN_LENGTH <= len(token) <= _MAX_SIZE_BYTES or not token.isascii() or not token.isprintable():
        raise StartupError(
            Reason.INVALID_CONFIGURATION,
            f"the admin token file {path} holds no token of at least {_MIN_LENGTH} printable characters: remove it, "
            "and a new one is made at the next start",
        )
    return token

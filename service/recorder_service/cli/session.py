"""What every command is given: where the server is, who asks, and how answers are printed."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from recorder_service.cli.failures import CommandFailed, wrong_usage

if TYPE_CHECKING:
    from recorder.channel import Client, Tls

_Answer = TypeVar("_Answer")
_DEFAULT_DATA_DIR = Path("data")
_ADMIN_TOKEN_FILE = "admin-token"  # noqa: S105 - the name of a file
_MINTED_TTL_S = 900


@dataclass(frozen=True, slots=True)
class Session:
    """The global options.

    Attributes:
        server: `HOST:PORT` of gRPC.
        http: Base URL for downloads over HTTP; None downloads over gRPC.
        token: A ready token.
        application_id: Application to act for, or to choose with the admin token.
        key_file: The application's private key: tokens are made from it as needed.
        admin_token: The admin token as given.
        data_dir: The server's data directory, if this is its machine.
        tls_ca: CA of the server; turns TLS on.
        tls_cert: Own certificate, for mutual TLS.
        tls_key: Its key.
        json: Whether answers and errors are JSON.
    """

    server: str
    http: str | None
    token: str | None
    application_id: str | None
    key_file: Path | None
    admin_token: str | None
    data_dir: Path | None
    tls_ca: Path | None
    tls_cert: Path | None
    tls_key: Path | None
    json: bool

    def connect(self, *, as_admin: bool = False) -> "Client":
        """Prepare a client with the best token there is; must be called on the event loop."""
        from recorder.channel import connect

        return connect(self.server, token=self.token_supplier(as_admin=as_admin), tls=self.tls())

    def token_supplier(self, *, as_admin: bool = False) -> Callable[[], str]:
        """Choose who asks: the admin where needed, else the token, the application's key, or the admin after all.

        Raises:
            CommandFailed: If a key was given that cannot be read.
        """
        if as_admin:
            return self._admin_token
        if self.token is not None:
            token = self.token
            return lambda: token
        if self.key_file is not None:
            return self._minter()
        return self._admin_token

    def _minter(self) -> Callable[[], str]:
        application_id, key = self.application_id, read_key(self.key_file)
        if application_id is None:
            raise wrong_usage("--key needs --application", "add --application ID")
        # Made anew for every request: a long recording outlives one token.
        from recorder.tokens import application_token

        return lambda: application_token(application_id, key, ttl_s=_MINTED_TTL_S)

    def _admin_token(self) -> str:
        if self.admin_token is not None:
            return self.admin_token
        path = (self.data_dir or _DEFAULT_DATA_DIR) / _ADMIN_TOKEN_FILE
        try:
            return path.read_text().strip()
        except OSError as error:
            if self.data_dir is not None:
                raise wrong_usage(f"cannot read {path}: {error.strerror}", "give --admin-token TOKEN") from None
            raise CommandFailed("no token was given", reason="MISSING_TOKEN") from None

    def tls(self) -> "Tls | None":
        """Give what the connection is encrypted with; None is plain text.

        Raises:
            CommandFailed: If a file cannot be read, or one of the two of a certificate is missing.
        """
        if self.tls_ca is None and self.tls_cert is None:
            return None
        if (self.tls_cert is None) != (self.tls_key is None):
            raise wrong_usage("--tls-cert and --tls-key go together", "give both or neither")
        from recorder.channel import Tls

        files = (self.tls_ca, self.tls_cert, self.tls_key)
        return Tls(*(None if path is None else _read(path) for path in files))


def session_of(context: typer.Context) -> Session:
    """Give the session that the global options made."""
    session = context.find_object(Session)
    if session is None:
        raise LookupError("the command was called without its global options")
    return session


def run(work: Coroutine[Any, Any, _Answer]) -> _Answer:
    """Run a command's asynchronous part to its end.

    Raises:
        CommandFailed: In place of any refusal of the server.
    """
    import asyncio

    from recorder.errors import RecorderError

    try:
        return asyncio.run(work)
    except RecorderError as error:
        raise refused(error.reason, error.message, metadata=error.metadata, retryable=error.retryable) from None


def refused(reason: str, message: str, *, metadata: dict[str, str], retryable: bool) -> CommandFailed:
    """Describe a refusal, with the hint that its reason has."""
    if reason == "UNAVAILABLE":
        message = f"cannot reach the server: {message}"
    return CommandFailed(message, reason=reason, metadata=metadata, retryable=retryable)


def read_key(path: Path | None) -> str:
    """Read a private key.

    Raises:
        CommandFailed: If there is none, or it cannot be read.
    """
    if path is None:
        raise wrong_usage("no private key was given", "add --key FILE, as written by `recorder app create --key-out`")
    return _read(path).decode()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise wrong_usage(f"cannot read {path}: {error.strerror}") from None

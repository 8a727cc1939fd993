"""Connecting to a PostgreSQL server: with time limits, and at growing intervals while it is away."""

import asyncio
import random
import socket
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import asyncpg

from recorder_service.catalog.engine import unusable
from recorder_service.catalog.failures import away
from recorder_service.errors import StartupError, Unavailable

_CONNECT_TIMEOUT_S = 5.0
# The server ends what takes longer; the client, should the server be silent, a little later.
_STATEMENT_TIMEOUT_S = 15
_LOCK_TIMEOUT_S = 10
_IDLE_IN_TRANSACTION_TIMEOUT_S = 15
_COMMAND_TIMEOUT_S = _STATEMENT_TIMEOUT_S + 5.0
_FIRST_WAIT_S = 0.05
_LONGEST_WAIT_S = 2.0
# 14 is the oldest that gets security fixes.
_OLDEST_SERVER = 14
# SQLSTATE classes of a server that starts, stops, or is full: it comes back by itself.
# Source: PostgreSQL documentation, appendix A: connection exception, insufficient resources, operator intervention.
_AWAY_CLASSES = frozenset({"08", "53", "57"})
# What goes wrong while connecting; errors of the server, of the driver and of the network.
FAULTS = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError, ValueError)

Connection: TypeAlias = "asyncpg.Connection[Any]"


class Connector:
    """Opens connections of one URL. While the server cannot be reached, it is left alone for growing times."""

    def __init__(self, url: str) -> None:
        """Take the URL; nothing is connected to yet."""
        self._url = url
        self._wait_s = 0.0
        self._again_s = 0.0
        self._fault = ""

    async def connect(self, *_arguments: object, **_options: object) -> Connection:
        """Open a connection.

        Raises:
            Unavailable: CATALOG_FAILED, at once where the server was found to be away a moment ago.
        """
        if asyncio.get_running_loop().time() < self._again_s:
            raise away(self._fault)
        try:
            connection = await self.open()
        except FAULTS as error:
            raise self._failed(error) from error
        self._wait_s = 0.0
        return connection

    async def open(self) -> Connection:
        """Open a connection, whatever was found before; errors come as the driver raises them."""
        return await asyncpg.connect(
            self._url,
            timeout=_CONNECT_TIMEOUT_S,
            command_timeout=_COMMAND_TIMEOUT_S,
            server_settings={
                "application_name": "recorder",
                "statement_timeout": f"{_STATEMENT_TIMEOUT_S}s",
                "lock_timeout": f"{_LOCK_TIMEOUT_S}s",
                # An open transaction keeps later events from being read.
                "idle_in_transaction_session_timeout": f"{_IDLE_IN_TRANSACTION_TIMEOUT_S}s",
                # Told facts are durable, whatever the server's default is.
                "synchronous_commit": "on",
                "default_transaction_isolation": "read committed",
                "jit": "off",
            },
        )

    async def check(self) -> None:
        """Connect once, to tell now what is wrong.

        Raises:
            StartupError: INVALID_CONFIGURATION; with a time to try again where the server may only be away.
        """
        try:
            connection = await self.open()
        except FAULTS as error:
            raise self.refusal(error) from None
        try:
            version = connection.get_server_version()
            follows = await connection.fetchval("SELECT pg_is_in_recovery()")
        except FAULTS as error:
            raise self.refusal(error) from None
        finally:
            await connection.close(timeout=_CONNECT_TIMEOUT_S)
        if version.major < _OLDEST_SERVER:
            raise unusable(f"names PostgreSQL {version.major}; Recorder needs {_OLDEST_SERVER} or newer: upgrade it")
        if follows:
            raise unusable("names a standby, which takes no writes; name the primary")

    def refusal(self, error: BaseException) -> StartupError:
        """Say what a failed connection means to who set the URL; no word of the driver's, which may hold it."""
        parts = urlsplit(self._url)
        user, database = parts.username or "(none)", parts.path.lstrip("/") or "(none)"
        place = _place(self._url)
        match error:
            case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
                return unusable(
                    f"gives user {user} at {place}, whom the server does not let in; check user and password in the "
                    "URL, and pg_hba.conf"
                )
            case asyncpg.InvalidCatalogNameError():
                return unusable(
                    f"names database {database} at {place}, which does not exist; "
                    f"make it with: createdb --owner={user} {database}"
                )
            case asyncpg.InsufficientPrivilegeError():
                return unusable(f"gives user {user}, who may not use database {database}; grant it the right")
            case socket.gaierror() if error.errno == socket.EAI_AGAIN:
                return unusable(f"names host {parts.hostname}, and no name server answers", retry_after_s=_FIRST_WAIT_S)
            case socket.gaierror():
                return unusable(f"names host {parts.hostname}, which cannot be found; check the host in the URL")
            case asyncpg.PostgresError() if (error.sqlstate or "")[:2] in _AWAY_CLASSES:
                said = f"{error.sqlstate} {type(error).__name__}"
                return unusable(
                    f"names {place}, which serves nobody now: {said}; see its log", retry_after_s=_FIRST_WAIT_S
                )
            case asyncpg.PostgresError():
                return unusable(f"names {place}, which refuses: {error.sqlstate} {type(error).__name__}; see its log")
            case OSError() | TimeoutError():
                return unusable(
                    f"names {place}, where no PostgreSQL answers ({_said(error)}); start it, or check host, port and "
                    "firewall",
                    retry_after_s=_FIRST_WAIT_S,
                )
        return unusable(
            f"cannot be read as the URL of a PostgreSQL database ({type(error).__name__}); write it as "
            "postgresql://user:password@host:5432/database, with special characters as %XX"
        )

    def _failed(self, error: BaseException) -> Unavailable:
        self._wait_s = min(max(2 * self._wait_s, _FIRST_WAIT_S), _LONGEST_WAIT_S)
        jitter = random.uniform(0.5, 1.0)  # noqa: S311 - to spread the nodes
        self._again_s = asyncio.get_running_loop().time() + self._wait_s * jitter
        self._fault = f"{_place(self._url)}: {_said(error)}"
        return away(self._fault)


def check_url(url: str) -> None:
    """Check what can be checked without asking anybody.

    Raises:
        StartupError: INVALID_CONFIGURATION.
    """
    try:
        parts = urlsplit(url)
        named = parts.path.lstrip("/")
        _ = parts.port
    except ValueError:
        named = ""
    if not named:
        raise unusable(
            "cannot be read as the URL of a PostgreSQL database; write it as "
            "postgresql://user:password@host:5432/database, with special characters as %XX"
        )


def _place(url: str) -> str:
    """Return host and port of a URL, without anything secret."""
    return urlsplit(url).netloc.rpartition("@")[2] or "localhost"


def _said(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.partition(":")[0]
    return type(error).__name__

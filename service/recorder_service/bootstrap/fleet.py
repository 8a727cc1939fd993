"""`--workers N`: N nodes as processes of this machine, behind one gRPC port, one HTTP port and one metrics port."""

import asyncio
import json
import os
import secrets
import signal
import socket
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from recorder_service.bootstrap.ground import directories
from recorder_service.cluster.leftovers import finish_leftovers, node_directories
from recorder_service.cluster.supervisor import Supervisor
from recorder_service.cluster.worker import Worker, WorkerCommand
from recorder_service.config import ENVIRONMENT_PREFIX, Settings, environment_of
from recorder_service.errors import Reason, StartupError
from recorder_service.http.app import create_operations_app
from recorder_service.http.merged_metrics import MergedMetrics
from recorder_service.http.server import HttpServer

log = structlog.get_logger(__name__)

_LOOPBACK = "127.0.0.1"
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LAST_WORDS_S = 5.0
_PROGRAM = (sys.executable, "-m", "recorder_service")


class Fleet:
    """The nodes of one machine, and the process that keeps them running."""

    def __init__(self, settings: Settings) -> None:
        """Prepare; nothing is touched before `run`."""
        self._settings = settings
        self._stop = asyncio.Event()
        self._supervisor: Supervisor | None = None

    async def run(self) -> bool:
        """Serve until asked to stop; False if a worker did not end well.

        Raises:
            StartupError: A port cannot be taken, or a worker cannot start.
        """
        for number in _STOP_SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._signalled)
        with ExitStack() as held:
            ports = self._hold_ports(held)
            supervisor = Supervisor(self._workers(*ports), grace_s=self._settings.drain_grace_s)
            self._supervisor = supervisor
            operations = self._operations(supervisor)
            await operations.start()
            try:
                served = await self._started(supervisor)
                if served:
                    _announce(supervisor, *ports, operations.port)
                    await self._until_stopped(supervisor)
                await supervisor.stop()
            finally:
                await operations.stop(_LAST_WORDS_S)
        # A worker that was still being loaded dies of the signal that asks it to end: that is in order.
        return supervisor.ended_well or not served

    async def _started(self, supervisor: Supervisor) -> bool:
        """Wait until all serve, which takes as long as their database is away; False if asked to stop before."""
        starting = asyncio.create_task(supervisor.start())
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait((starting, stop), return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if not starting.done():
            starting.cancel()
            await asyncio.wait((starting,))
            return False
        await starting
        return True

    async def _until_stopped(self, supervisor: Supervisor) -> None:
        leftovers = asyncio.create_task(self._finish_leftovers())
        stop = asyncio.create_task(self._stop.wait())
        given_up = asyncio.create_task(supervisor.wait())
        await asyncio.wait((stop, given_up), return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        given_up.cancel()
        leftovers.cancel()
        await asyncio.wait((leftovers,))

    def _hold_ports(self, held: ExitStack) -> tuple[int, int]:
        """Take the ports without listening, so that nobody else gets them while a worker starts anew."""
        settings = self._settings
        grpc = _held(held, settings.host, settings.grpc_port, "--grpc-port")
        return grpc, _held(held, settings.host, settings.http_port, "--http-port")

    def _workers(self, grpc_port: int, http_port: int) -> list[Worker]:
        settings = self._settings
        data_dir, base = directories(settings)
        secret = secrets.token_urlsafe(32)
        if settings.cluster_secret is not None:
            secret = settings.cluster_secret.get_secret_value()
        cluster_host = settings.cluster_address.rpartition(":")[0] or _LOOPBACK
        shared = {
            "data_dir": str(data_dir),
            "workers": "1",
            "supervised": "true",
            "reuse_port": "true",
            "grpc_port": str(grpc_port),
            "http_port": str(http_port),
            "metrics_port": "0",
            "metrics_host": _LOOPBACK,
            "cluster_address": f"{cluster_host}:0",
            "cluster_secret": secret,
        }
        workers = []
        for number in range(1, settings.workers + 1):
            own = {**shared, "node_dir": str(_worker_directory(base, number))}
            environment = {**_foreign_environment(), **environment_of(settings), **_variables(own)}
            workers.append(Worker(WorkerCommand(str(number), (*_PROGRAM, "serve"), environment)))
        return workers

    async def _finish_leftovers(self) -> None:
        """Finish what workers left that this fleet does not have."""
        settings = self._settings
        _, base = directories(settings)
        if not settings.role.records:
            return
        own = {_worker_directory(base, number) for number in range(1, settings.workers + 1)}
        left = [directory for directory in node_directories(base) if directory not in own]
        environment = {**_foreign_environment(), **environment_of(settings)}
        await finish_leftovers(left, (*_PROGRAM, "recover", "--json", "--journal"), environment, settings.lease_s)

    def _operations(self, supervisor: Supervisor) -> HttpServer:
        settings = self._settings
        merged = MergedMetrics(partial(_metrics_ports, supervisor))
        registry = CollectorRegistry()
        registry.register(merged)
        application = create_operations_app(registry, alive=[], ready=[supervisor], refresh=merged.refresh)
        return HttpServer(application, settings.metrics_host or settings.host, settings.metrics_port)

    def _signalled(self) -> None:
        if self._stop.is_set() and self._supervisor is not None:
            self._supervisor.hasten()
        self._stop.set()


def _worker_directory(base: Path, number: int) -> Path:
    return base / f"node-{number}"


def _metrics_ports(supervisor: Supervisor) -> dict[str, int | None]:
    return {
        worker.name: None if worker.serving is None else worker.serving.metrics_port for worker in supervisor.workers
    }


def _foreign_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(ENVIRONMENT_PREFIX)}


def _variables(values: dict[str, str]) -> dict[str, str]:
    return {f"{ENVIRONMENT_PREFIX}{name.upper()}": value for name, value in values.items()}


def _held(held: ExitStack, host: str, port: int, flag: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    reserved = held.enter_context(socket.socket(family, socket.SOCK_STREAM))
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # Without the option that shares a port: another service that shares its own would go unnoticed.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind((host, port))
    except OSError as error:
        message = f"{host} port {port} cannot be taken ({error.strerror}): choose another with {flag}"
        raise StartupError(Reason.INVALID_CONFIGURATION, message) from error
    bound: int = reserved.getsockname()[1]
    return bound


def _announce(supervisor: Supervisor, grpc_port: int, http_port: int, metrics_port: int) -> None:
    """Tell whoever started the process, in one line, that all workers serve."""
    served = [worker.serving for worker in supervisor.workers if worker.serving is not None]
    line = {
        "status": "serving",
        "grpc_port": grpc_port,
        "http_port": http_port,
        "metrics_port": metrics_port,
        "pid": os.getpid(),
        "workers": [dict(serving.facts) for serving in served],
        "recovered_recordings": sum(int(serving.facts["recovered_recordings"]) for serving in served),
    }
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()

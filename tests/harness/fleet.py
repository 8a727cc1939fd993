"""A real `recorder serve --workers N`: one port, several processes."""

import json
import os
import signal
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from grpc_status import rpc_status
from prometheus_client.parser import text_string_to_metric_families
from tests.harness.client import Call, Client, Ledger, Tenant, reason
from tests.harness.server import PORT_TIMEOUT_S, Server


@dataclass(frozen=True, slots=True)
class FleetWorker:
    """One of the processes; `port` is its own gRPC port, which only other nodes use."""

    pid: int
    port: int


class Fleet(Server):
    """Workers behind one port."""

    def __init__(
        self,
        data_dir: Path,
        workers: int,
        *,
        environment: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        super().__init__(data_dir, arguments=["--workers", str(workers), *arguments], environment=environment)
        self.workers: list[FleetWorker] = []

    def start(self, *, keep_ports: bool = False, patience_s: float = PORT_TIMEOUT_S) -> dict[str, object]:
        """Start and wait until all workers serve."""
        told: dict[str, Any] = super().start(keep_ports=keep_ports, patience_s=patience_s)
        self.workers = [FleetWorker(worker["pid"], worker["cluster_port"]) for worker in told["workers"]]
        return told

    def kill_worker(self, index: int) -> None:
        """SIGKILL one of those that were started first."""
        os.kill(self.workers[index].pid, signal.SIGKILL)

    def came_back(self) -> list[dict[str, Any]]:
        """Return what was logged of workers that were started again."""
        lines = (json.loads(line) for line in self.log.splitlines() if line.startswith("{"))
        return [line for line in lines if line["event"] == "worker_serves_again"]

    def samples(self, name: str) -> dict[str, float]:
        """Return a metric's value by worker, labels other than that added up."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports.metrics}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        values: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name:
                    worker = sample.labels["worker"]
                    values[worker] = values.get(worker, 0.0) + sample.value
        return values


async def resumed(port: int, tenant: Tenant, recording_id: str, ledger: Ledger) -> tuple[Client, Call, list[str]]:
    """Resume on fresh connections until a node takes it; returns the reasons of the refusals, too."""
    reasons: list[str] = []
    while True:
        client = Client(port)
        call = Call(client, tenant.metadata, ledger)
        try:
            await call.resume(recording_id)
        except grpc.aio.AioRpcError as error:
            await client.__aexit__(None, None, None)
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            # A connection that a killed process left behind says nothing of its own.
            reasons.append("" if rpc_status.from_call(error) is None else reason(error))  # type: ignore[arg-type] # the stubs know only the calls of threads
        else:
            return client, call, reasons

"""Nodes that are one service: processes of their own on one database, or the workers of one."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.harness import deployment, postgres
from tests.harness.fleet import Fleet
from tests.harness.server import Server

_ADMIN_TOKEN = "recorder_admin_" + "r" * 43


@dataclass(frozen=True)
class Node:
    """One of them, by its own gRPC port; workers share the HTTP port.

    Attributes:
        server: The process, where it is one of its own.
    """

    grpc_port: int
    http_port: int
    server: Server | None = None


def shared_settings(root: Path, *, lease_s: float = 2) -> dict[str, str]:
    """Return the settings of nodes that share a PostgreSQL database, the one of this directory, and files."""
    (root / "files").mkdir(exist_ok=True)
    return {
        "RECORDER_DATABASE_URL": postgres.database_of(root),
        "RECORDER_MIGRATE": "true",
        **(deployment.store(root) or {"RECORDER_FILES_DIR": str(root / "files")}),
        "RECORDER_ADMIN_TOKEN": _ADMIN_TOKEN,
        "RECORDER_LEASE_S": str(lease_s),
        "RECORDER_CLUSTER_SECRET": "s" * 40,
        "RECORDER_CLUSTER_ADDRESS": "127.0.0.1:0",
        "RECORDER_RENDER_THREADS": "1",
        "RECORDER_DRAIN_GRACE_S": "0.5",
    }


@dataclass(frozen=True)
class Ring:
    """All nodes, and the token of their admin."""

    nodes: list[Node]
    admin_token: str


@contextlib.contextmanager
def own_nodes(root: Path, count: int, environment: Mapping[str, str] | None = None) -> Iterator[Ring]:
    """Run nodes as processes of their own on one PostgreSQL database."""
    settings = shared_settings(root) | dict(environment or {})
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(Server(root / f"node{n}", environment=settings)) for n in range(count)]
        yield Ring([Node(server.ports.grpc, server.ports.http, server) for server in servers], _ADMIN_TOKEN)


@contextlib.contextmanager
def workers(root: Path, count: int) -> Iterator[Ring]:
    """Run the workers of one process, on SQLite."""
    environment = {"RECORDER_LEASE_S": "2", "RECORDER_DRAIN_GRACE_S": "0.5", "RECORDER_RENDER_THREADS": "1"}
    with Fleet(root / "data", count, environment=environment) as fleet:
        yield Ring([Node(worker.port, fleet.ports.http) for worker in fleet.workers], fleet.admin_token)

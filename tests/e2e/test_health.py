"""What health tells the orchestrator: over gRPC by service, over HTTP for probes."""

import asyncio
import json
import signal
import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.harness.client import Client, leg
from tests.harness.server import Server

RECORDER = "recorder.v1.RecorderService"
OTHERS = ("", "recorder.v1.RecordingService", "recorder.v1.EventService", "recorder.v1.ApplicationService")
SERVING, NOT_SERVING = "SERVING", "NOT_SERVING"


def probe(port: int, path: str) -> tuple[int, dict[str, Any]]:
    """Ask a probe; status 0 where nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        return error.code, json.load(error)
    except URLError:
        return 0, {}


async def health(client: Client, service: str) -> str:
    stub: Any = health_pb2_grpc.HealthStub(client.channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


async def until(fact: Callable[[], Any]) -> None:
    async with asyncio.timeout(60):
        while not await fact():  # noqa: ASYNC110 - another process's
            await asyncio.sleep(0.05)


async def test_full_node_turns_new_calls_away_and_nothing_else(tmp_path: Path) -> None:
    """As many recordings as may run: the recording service does not serve, the others do; then it serves again."""
    with Server(tmp_path / "data", arguments=["--max-live-recordings", "1"]) as server:
        async with Client(server.ports.grpc) as client:
            assert await health(client, RECORDER) == SERVING
            assert probe(server.ports.metrics, "/readyz") == (200, {"status": "ok"})
            call = await client.call(await client.create_tenant(server.admin_token), legs=[leg()])
            await until(lambda: _is(client, NOT_SERVING))
            status, told = probe(server.ports.metrics, "/readyz")
            assert (status, list(told["faults"])) == (503, ["admission"])
            assert probe(server.ports.metrics, "/healthz")[0] == 200
            assert {await health(client, service) for service in OTHERS} == {SERVING}
            await call.hang_up()
            await until(lambda: _is(client, SERVING))
            assert probe(server.ports.metrics, "/readyz")[0] == 200


async def test_disk_past_its_soft_mark_is_not_ready_and_not_dead(tmp_path: Path) -> None:
    """A restart would not make room."""
    marks = {"RECORDER_DISK_SOFT_PERCENT": "99", "RECORDER_DISK_SOFT_MIB": str(1 << 40)}
    with Server(tmp_path / "data", environment=marks) as server:
        status, told = probe(server.ports.metrics, "/readyz")
        assert (status, told["faults"]) == (503, {"disk": "disk over its soft mark"})
        assert probe(server.ports.metrics, "/healthz")[0] == 200
        async with Client(server.ports.grpc) as client:
            await until(lambda: _is(client, NOT_SERVING))
            assert await health(client, "") == SERVING


async def test_draining_node_is_alive_and_serves_no_more(tmp_path: Path) -> None:
    """While the last call goes on: not ready, all services NOT_SERVING, and no reason for a restart."""
    with Server(tmp_path / "data") as server:
        async with Client(server.ports.grpc) as client:
            call = await client.call(await client.create_tenant(server.admin_token), legs=[leg()])
            server.send_signal(signal.SIGTERM)
            await call.until("drain")
            status, told = probe(server.ports.metrics, "/readyz")
            assert (status, told["faults"]) == (503, {"standing": "draining"})
            assert probe(server.ports.metrics, "/healthz")[0] == 200
            assert {await health(client, service) for service in (RECORDER, *OTHERS)} == {NOT_SERVING}
            await call.hang_up()
        assert server.wait() == 0


async def test_recovering_node_says_so(tmp_path: Path) -> None:
    """Long before it serves, so that a long recovery is not taken for a dead process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    go_on = tmp_path / "go-on"
    launcher = ("tests.harness.held_recovery", str(go_on))
    server = Server(tmp_path / "data", arguments=["--metrics-port", str(port)], module=launcher)
    starting = asyncio.create_task(asyncio.to_thread(server.start))
    try:
        recovering = (503, {"status": "unavailable", "faults": {"standing": "recovering"}})
        await until(lambda: asyncio.to_thread(lambda: probe(port, "/readyz") == recovering))
        assert probe(port, "/healthz")[0] == 200
        go_on.touch()
        await starting
        assert probe(port, "/readyz")[0] == 200
    finally:
        go_on.touch()
        await asyncio.wait((starting,))
        server.close()


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_probes_need_no_token_and_tell_no_secret(server: Server, path: str) -> None:
    """They are for the orchestrator."""
    assert probe(server.ports.metrics, path) == (200, {"status": "ok"})


async def _is(client: Client, status: str) -> bool:
    return await health(client, RECORDER) == status

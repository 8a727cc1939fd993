"""One node and what may take its place: its lease, its journal, and the roles it can be split into."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.harness.certificates import Authority
from tests.harness.client import Call, Client, Tenant, leg, pieces, reason
from tests.harness.files import download, fetch
from tests.harness.fleet import Fleet
from tests.harness.receiver import Receiver
from tests.harness.server import Server
from tests.harness.speech import speech

from recorder.v1 import event_pb2, recording_pb2, recording_service_pb2, webhook_service_pb2

WAV = {"action": "record", "format": "wav"}
PCM = speech(3)
SCRIPT = list(pieces({"caller": (16_000, 2)}, chunk_ms=20, caller=PCM.tobytes()))
AVAILABLE = recording_pb2.RECORDING_STATE_AVAILABLE
LEASE_S = 2.5


def shared(root: Path) -> dict[str, str]:
    """Return what nodes share: the database and the directory of files."""
    (root / "files").mkdir(exist_ok=True)
    return {
        "RECORDER_DATABASE_URL": f"sqlite:///{root}/catalog.db",
        "RECORDER_MIGRATE": "true",
        "RECORDER_FILES_DIR": str(root / "files"),
        "RECORDER_ADMIN_TOKEN": "recorder_admin_" + "a" * 43,
        "RECORDER_LEASE_S": str(LEASE_S),
        "RECORDER_CLUSTER_SECRET": "s" * 40,
        "RECORDER_CLUSTER_ADDRESS": "127.0.0.1:0",
    }


def recover(directory: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `recorder recover --json`."""
    command = [sys.executable, "-m", "recorder_service", "recover", "--journal", str(directory), "--json"]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False
    )


def refusal(ended: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert ended.returncode == 1, ended
    error: dict[str, Any] = json.loads(ended.stderr.splitlines()[-1])["error"]
    return error


def lease_left_s(error: dict[str, Any]) -> float:
    return float(error["metadata"]["lease_left_s"])


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Server]:
    """A node whose catalog and files others can reach, too."""
    with Server(tmp_path / "node", environment=shared(tmp_path)) as server:
        yield server


async def half_a_call(client: Client, tenant: Tenant) -> str:
    call = await client.call(tenant, legs=[leg()], ncco=WAV)
    await call.follow(SCRIPT, upto=100)
    await call.acknowledged(101)
    return call.recording_id


async def test_journal_without_its_node_is_finished_by_recover(node: Server, tmp_path: Path) -> None:
    """Refused while the node lives and while its lease lasts; then every acknowledged frame is in a file."""
    environment = shared(tmp_path)
    async with Client(node.ports.grpc) as client:
        tenant = await client.create_tenant(environment["RECORDER_ADMIN_TOKEN"])
        ids = [await half_a_call(client, tenant) for _ in range(2)]
        living = refusal(await asyncio.to_thread(recover, node.data_dir, environment))
        assert living["reason"] == "DIRECTORY_LOCKED"
        assert "may still live" in living["message"]
        node.kill()
    await asyncio.sleep(LEASE_S)
    ended = await asyncio.to_thread(recover, node.data_dir, environment)
    assert ended.returncode == 0, ended
    assert json.loads(ended.stdout)["recordings"] == dict.fromkeys(ids, "available")
    again = await asyncio.to_thread(recover, node.data_dir, environment)
    assert json.loads(again.stdout)["recordings"] == {}
    with Server(tmp_path / "another", environment=environment) as another:
        async with Client(another.ports.grpc) as client:
            for recording_id in ids:
                recording = await client.recording(tenant, recording_id)
                assert recording.stop_reason == recording_pb2.STOP_REASON_INTERRUPTED
                assert recording.file.duration.ToMilliseconds() == 2000


async def test_recover_in_a_catalog_that_does_not_know_the_node_touches_nothing(node: Server, tmp_path: Path) -> None:
    """There all of its audio would look like rubbish; the fix is named."""
    node.terminate()
    before = sorted((node.data_dir / "journal").iterdir())
    stranger = {"RECORDER_DATABASE_URL": f"sqlite:///{tmp_path}/other.db", "RECORDER_FILES_DIR": str(tmp_path)}
    error = refusal(await asyncio.to_thread(recover, node.data_dir, stranger))
    assert "RECORDER_DATABASE_URL" in error["message"]
    assert sorted((node.data_dir / "journal").iterdir()) == before
    nowhere = refusal(await asyncio.to_thread(recover, tmp_path / "files", shared(tmp_path)))
    assert "node-id" in nowhere["message"]


async def test_strange_catalog_is_refused_while_audio_waits_in_the_journal(node: Server, tmp_path: Path) -> None:
    """A wrong database URL must not cost what was acknowledged; with the right one the node goes on."""
    environment = shared(tmp_path)
    async with Client(node.ports.grpc) as client:
        tenant = await client.create_tenant(environment["RECORDER_ADMIN_TOKEN"])
        recording_id = await half_a_call(client, tenant)
        node.kill()
    wrong = Server(node.data_dir, environment=environment | {"RECORDER_DATABASE_URL": f"sqlite:///{tmp_path}/other.db"})
    with pytest.raises(RuntimeError, match="RECORDER_DATABASE_URL"):
        wrong.start()
    wrong.close()
    assert node.start()["recovered_recordings"] == 1
    async with Client(node.ports.grpc) as client:
        request = recording_service_pb2.StopRecordingRequest(recording_id=recording_id)
        await client.recordings.StopRecording(request, metadata=tenant.metadata)
        assert (await client.ended(tenant, recording_id)).file.duration.ToMilliseconds() == 2000


async def test_copy_of_a_living_node_is_refused(node: Server, tmp_path: Path) -> None:
    """Two nodes on copies of one journal: the second waits for the lease, sees it renewed, and says what to do."""
    shutil.copytree(node.data_dir, tmp_path / "copy")
    copy = Server(tmp_path / "copy", environment=shared(tmp_path))
    with pytest.raises(RuntimeError, match="runs somewhere else"):
        copy.start()
    copy.close()
    assert node.running


async def test_node_that_stood_still_past_its_lease_writes_nothing_more(node: Server, tmp_path: Path) -> None:
    """SIGSTOP, another finishes its recordings, SIGCONT: every stale write is refused, and the node ends."""
    environment = shared(tmp_path)
    async with Client(node.ports.grpc) as client:
        tenant = await client.create_tenant(environment["RECORDER_ADMIN_TOKEN"])
        calls = [await client.call(tenant, legs=[leg()], ncco=WAV) for _ in range(3)]
        for call in calls:
            await call.follow(SCRIPT, upto=100)
            await call.acknowledged(101)
        # A key press is on its way when the node stops: a write that is due as soon as it goes on.
        node.send_signal(signal.SIGSTOP)
        for call in calls:
            await call.press("5", 3000)
        volume = tmp_path / "volume"
        shutil.copytree(node.data_dir, volume)
        await asyncio.sleep(LEASE_S)
        ended = await asyncio.to_thread(recover, volume, environment)
        assert ended.returncode == 0, ended
        assert set(json.loads(ended.stdout)["recordings"].values()) == {"available"}
        node.send_signal(signal.SIGCONT)
        for call in calls:
            await call.until("drain")
        assert await asyncio.to_thread(node.wait) == 1
    assert "node_fenced" in node.log
    with Server(tmp_path / "another", environment=environment) as another:
        async with Client(another.ports.grpc) as client:
            for call in calls:
                events = await client.told(tenant, call.recording_id, event_pb2.EVENT_TYPE_RECORDING_COMPLETED)
                assert [event.recording_sequence for event in events] == [1, 2, 3]
                assert event_pb2.EVENT_TYPE_DTMF not in {event.type for event in events}
                recording = await client.recording(tenant, call.recording_id)
                assert len(download_from(another, recording, tenant)) == recording.file.size_bytes


def download_from(server: Server, recording: recording_pb2.Recording, tenant: Tenant) -> bytes:
    """Fetch a file from this server, whichever one its URL names."""
    path = recording.file.url.split("/", 3)[3]
    answer = fetch(f"http://127.0.0.1:{server.ports.http}/{path}", tenant.token())
    assert answer.status == 200
    return answer.body


async def test_roles_are_one_service_together(tmp_path: Path) -> None:
    """A call on the ingest node; its webhook from the dispatcher; Stop, events and download on the http node."""
    environment = shared(tmp_path)
    with contextlib.ExitStack() as stack:
        http = stack.enter_context(Role(tmp_path, "http", environment))
        url = {"RECORDER_PUBLIC_URL": f"http://127.0.0.1:{http.ports.http}"}
        ingest = stack.enter_context(Role(tmp_path, "ingest", environment | url))
        stack.enter_context(Role(tmp_path, "dispatcher", environment))
        receiver = stack.enter_context(Receiver())
        async with Client(ingest.ports.grpc) as sender, Client(http.ports.grpc) as reader:
            tenant = await reader.create_tenant(environment["RECORDER_ADMIN_TOKEN"], event_url=receiver.url)
            call = await sender.call(tenant, legs=[leg()], ncco=WAV)
            await call.follow(SCRIPT)
            request = recording_service_pb2.StopRecordingRequest(recording_id=call.recording_id)
            await reader.recordings.StopRecording(request, metadata=tenant.metadata)
            recording = await call.completed()
            assert recording.stop_reason == recording_pb2.STOP_REASON_REQUESTED
            told = json.loads(receiver.wait()[0].body)
            assert told["recording_url"] == recording.file.url
            assert len(download(recording, tenant)) == recording.file.size_bytes
            events = await reader.told(tenant, call.recording_id, event_pb2.EVENT_TYPE_RECORDING_COMPLETED)
            assert len(events) == 3
            stream = reader.recorder.RecordCall(metadata=tenant.metadata)  # type: ignore[call-arg] # requests are written
            assert await stream.code() is grpc.StatusCode.UNIMPLEMENTED
            listing = webhook_service_pb2.ListDeliveriesRequest()
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await sender.webhooks.ListDeliveries(listing, metadata=tenant.metadata)
            assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


class Role(Server):
    """A server in one role; ports of what it does not serve are 0."""

    def __init__(self, root: Path, role: str, environment: dict[str, str]) -> None:
        super().__init__(root / role, arguments=["--role", role], environment=environment)


async def test_recording_of_a_node_that_is_away_cannot_be_steered_and_says_when_to_try_again(
    node: Server, tmp_path: Path
) -> None:
    """The owner was killed: Stop on another node is UNAVAILABLE; nobody claims to have stopped it."""
    environment = shared(tmp_path)
    with Server(tmp_path / "another", environment=environment) as another:
        async with Client(node.ports.grpc) as client, Client(another.ports.grpc) as other:
            tenant = await client.create_tenant(environment["RECORDER_ADMIN_TOKEN"])
            recording_id = await half_a_call(client, tenant)
            node.kill()
            for _ in range(2):
                request = recording_service_pb2.StopRecordingRequest(recording_id=recording_id)
                with pytest.raises(grpc.aio.AioRpcError) as away:
                    await other.recordings.StopRecording(request, metadata=tenant.metadata)
                assert (away.value.code(), reason(away.value)) == (grpc.StatusCode.UNAVAILABLE, "OWNER_AWAY")
                # Once while its lease still lasts, once after it.
                await asyncio.sleep(LEASE_S)


async def test_nodes_talk_tls_where_they_are_told_to(tmp_path: Path) -> None:
    """Each shows its certificate and trusts the cluster's CA alone; what is passed on gets through."""
    authority = Authority(tmp_path)
    issued = authority.issue("127.0.0.1")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    tls = {
        "RECORDER_TLS_CERT": str(issued.certificate),
        "RECORDER_TLS_KEY": str(issued.key),
        "RECORDER_CLUSTER_CA": str(tmp_path / "ca.pem"),
    }
    environment = shared(tmp_path) | tls
    with contextlib.ExitStack() as stack:
        nodes = [stack.enter_context(Server(tmp_path / name, environment=environment)) for name in ("a", "b")]
        async with contextlib.AsyncExitStack() as clients:
            owner, other = [
                await clients.enter_async_context(Client(node.ports.grpc, ca_pem=authority.pem)) for node in nodes
            ]
            tenant = await owner.create_tenant(environment["RECORDER_ADMIN_TOKEN"])
            call = await owner.call(tenant, legs=[leg()], ncco=WAV)
            await call.follow(SCRIPT)
            request = recording_service_pb2.StopRecordingRequest(recording_id=call.recording_id)
            await other.recordings.StopRecording(request, metadata=tenant.metadata)
            assert (await call.completed()).stop_reason == recording_pb2.STOP_REASON_REQUESTED


async def test_node_that_drains_gives_back_the_streams_it_passes_on(node: Server, tmp_path: Path) -> None:
    """DRAINING at once, though the owner stays; resumed there, the file is whole."""
    environment = shared(tmp_path)
    with Server(tmp_path / "another", environment=environment) as another:
        async with Client(node.ports.grpc) as owner, Client(another.ports.grpc) as other:
            tenant = await owner.create_tenant(environment["RECORDER_ADMIN_TOKEN"])
            call = await owner.call(tenant, legs=[leg()], ncco=WAV)
            await call.follow(SCRIPT, upto=50)
            call.cancel()
            passed_on = Call(other, tenant.metadata)
            await passed_on.resume(call.recording_id)
            await passed_on.follow(SCRIPT, upto=100)
            another.send_signal(signal.SIGTERM)
            with pytest.raises(grpc.aio.AioRpcError) as drained:
                await passed_on.rest()
            assert reason(drained.value) == "DRAINING"
            assert await asyncio.to_thread(another.wait) == 0
            back = Call(owner, tenant.metadata)
            await back.resume(call.recording_id)
            await back.follow(SCRIPT)
            assert (await back.hang_up()).file.duration.ToMilliseconds() == 3000


async def test_port_of_another_service_is_not_shared(node: Server, tmp_path: Path) -> None:
    """Workers share a port with each other and with nobody else."""
    fleet = Fleet(tmp_path / "fleet", 2)
    fleet.ports = node.ports
    with pytest.raises(RuntimeError, match="--grpc-port"):
        fleet.start(keep_ports=True, patience_s=0)
    fleet.close()

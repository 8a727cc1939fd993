"""The end of files: deleted on request, expired by retention, gone with their application."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from tests.harness.client import Client, Tenant, bearer, leg, reason
from tests.harness.files import fetch
from tests.harness.server import Server
from tests.harness.speech import speech

from recorder.v1 import application_service_pb2, event_pb2, recording_pb2
from recorder.v1 import recording_service_pb2 as messages
from recorder_service.catalog.engine import DatabaseOptions, open_database
from recorder_service.catalog.tables import recordings

PCM = speech(1).tobytes()


async def record(client: Client, tenant: Tenant) -> recording_pb2.Recording:
    call = await client.call(tenant, legs=[leg()])
    await call.stream(caller=PCM)
    return await call.hang_up()


def stored_files(server: Server, recording: recording_pb2.Recording) -> list[Path]:
    return list((server.data_dir / "files").rglob(f"*{recording.file.file_id}*"))


async def test_deleted_file_is_gone_for_good(server: Server, client: Client, tenant: Tenant) -> None:
    """No bytes on the disk, 410 over HTTP, FILE_EXPIRED by RPC, an event; the recording is still known."""
    recording = await record(client, tenant)
    assert len(stored_files(server, recording)) >= 1
    request = messages.DeleteRecordingRequest(recording_id=recording.recording_id)
    deleted = (await client.recordings.DeleteRecording(request, metadata=tenant.metadata)).recording
    assert deleted.state == recording_pb2.RECORDING_STATE_DELETED
    assert stored_files(server, recording) == []
    gone = fetch(recording.file.url, tenant.token())
    assert (gone.status, gone.headers["content-type"]) == (410, "application/problem+json")
    download = messages.DownloadRecordingRequest(recording_id=recording.recording_id)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        [_ async for _ in client.recordings.DownloadRecording(download, metadata=tenant.metadata)]
    assert reason(refused.value) == "FILE_EXPIRED"
    told = await client.told(tenant, recording.recording_id, event_pb2.EVENT_TYPE_RECORDING_DELETED)
    assert [event.recording_sequence for event in told] == [1, 2, 3, 4]
    again = (await client.recordings.DeleteRecording(request, metadata=tenant.metadata)).recording
    assert again == deleted == await client.recording(tenant, recording.recording_id)


async def test_retention_of_the_application_says_when_a_file_expires(server: Server, client: Client) -> None:
    """30 days unless it says otherwise."""
    hour = Duration(seconds=3600)
    for fields, seconds in (({}, 30 * 24 * 3600), ({"retention": hour}, 3600)):
        tenant = await client.create_tenant(server.admin_token, **fields)
        recording = await record(client, tenant)
        kept = recording.expire_time.ToNanoseconds() - recording.available_time.ToNanoseconds()
        assert kept == seconds * 10**9


async def test_expired_file_is_removed_and_told(tmp_path: Path) -> None:
    """The catalog is set to a past expiry while the server is down: at its next start one file goes, one stays."""
    with Server(tmp_path / "data") as server:
        async with Client(server.ports.grpc) as client:
            tenant = await client.create_tenant(server.admin_token)
            old, new = await record(client, tenant), await record(client, tenant)
        server.terminate()
        await bring_forward_expiry(server.catalog_url, old)
        server.start(keep_ports=True)
        async with Client(server.ports.grpc) as client:
            told = await client.told(tenant, old.recording_id, event_pb2.EVENT_TYPE_RECORDING_EXPIRED)
            assert [event.recording_sequence for event in told] == [1, 2, 3, 4]
            expired = await client.recording(tenant, old.recording_id)
        assert expired.state == recording_pb2.RECORDING_STATE_EXPIRED
        assert stored_files(server, old) == []
        assert fetch(old.file.url, tenant.token()).status == 410
        assert fetch(new.file.url, tenant.token()).status == 200


async def test_deleted_application_takes_its_files_along(server: Server, client: Client, tenant: Tenant) -> None:
    """Not while one of its recordings runs; then nothing of it is left, and its tokens open nothing."""
    admin = bearer(server.admin_token)
    recording = await record(client, tenant)
    call = await client.call(tenant, legs=[leg()])
    request = application_service_pb2.DeleteApplicationRequest(application_id=tenant.application_id)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await client.applications.DeleteApplication(request, metadata=admin)
    assert reason(refused.value) == "RECORDING_LIVE"
    await call.hang_up()
    await client.applications.DeleteApplication(request, metadata=admin)
    assert stored_files(server, recording) == []
    assert fetch(recording.file.url, tenant.token()).status == 401
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await client.applications.GetApplication(
            application_service_pb2.GetApplicationRequest(application_id=tenant.application_id), metadata=admin
        )
    assert reason(unknown.value) == "APPLICATION_NOT_FOUND"


async def bring_forward_expiry(catalog_url: str, recording: recording_pb2.Recording) -> None:
    """Let a recording have expired a minute ago."""
    passed = datetime.now(UTC) - timedelta(minutes=1)
    mine = recordings.c.recording_id == UUID(recording.recording_id)
    database = await open_database(catalog_url, DatabaseOptions())
    change = recordings.update().where(mine).values(expire_time=passed)
    assert await database.write(lambda connection: connection.execute(change).rowcount) == 1
    await database.aclose()

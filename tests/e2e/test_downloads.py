"""Downloads: over HTTP as the Voice API's, and by RPC; for those whose token opens the file."""

import hashlib
import time

import grpc
import jwt
import pytest
from tests.harness.client import Client, Tenant, leg, reason
from tests.harness.files import Answer, fetch
from tests.harness.server import Server
from tests.harness.speech import speech

from recorder.v1 import recording_pb2
from recorder.v1 import recording_service_pb2 as messages

PCM = speech(3).tobytes()


async def record(client: Client, tenant: Tenant, **ncco: object) -> recording_pb2.Recording:
    call = await client.call(tenant, legs=[leg()], ncco={"action": "record", **ncco})
    await call.stream(caller=PCM)
    return await call.hang_up()


async def by_rpc(client: Client, tenant: Tenant, recording_id: str, offset: int = 0) -> tuple[str, bytes]:
    """Return the announced hash and the bytes."""
    request = messages.DownloadRecordingRequest(recording_id=recording_id, offset_bytes=offset)
    stream = client.recordings.DownloadRecording(request, metadata=tenant.metadata, timeout=20)
    responses = [response async for response in stream]
    assert [response.WhichOneof("payload") for response in responses[:1]] == ["file"]
    assert all(0 < len(response.chunk) <= 64 * 1024 for response in responses[1:])
    return responses[0].file.sha256, b"".join(response.chunk for response in responses[1:])


def told(answer: Answer) -> tuple[int, bytes]:
    return answer.status, answer.body


async def test_file_is_served_under_both_versions_of_the_path(client: Client, tenant: Tenant) -> None:
    """`/v1/files` is in the event, `/v3/files` is what one SDK calls: the same bytes, type, size and tag."""
    recording = await record(client, tenant)
    for url in (recording.file.url, recording.file.url.replace("/v1/", "/v3/")):
        answer = fetch(url, tenant.token())
        assert answer.status == 200
        assert hashlib.sha256(answer.body).hexdigest() == recording.file.sha256
        assert answer.headers["content-type"] == "audio/mpeg"
        assert answer.headers["content-length"] == str(recording.file.size_bytes)
        assert answer.headers["etag"] == f'"{recording.file.sha256}"'


async def test_wav_has_its_own_content_type(client: Client, tenant: Tenant) -> None:
    """`audio/wav`."""
    recording = await record(client, tenant, format="wav")
    assert fetch(recording.file.url, tenant.token()).headers["content-type"] == "audio/wav"


async def test_part_of_a_file_is_served(client: Client, tenant: Tenant) -> None:
    """From the front, from the middle to the end, the last bytes; beyond the end 416."""
    url = (await record(client, tenant)).file.url
    whole = fetch(url, tenant.token()).body
    for wanted, part in (("bytes=0-99", whole[:100]), ("bytes=500-", whole[500:]), ("bytes=-7", whole[-7:])):
        answer = fetch(url, tenant.token(), range=wanted)
        assert told(answer) == (206, part)
        first = len(whole) - 7 if wanted == "bytes=-7" else int(wanted.removeprefix("bytes=").partition("-")[0])
        assert answer.headers["content-range"] == f"bytes {first}-{first + len(part) - 1}/{len(whole)}"
    beyond = fetch(url, tenant.token(), range=f"bytes={len(whole)}-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(whole)}")


async def test_head_tells_without_the_bytes(client: Client, tenant: Tenant) -> None:
    """The headers of a GET and no body; a known tag gives 304."""
    recording = await record(client, tenant)
    answer = fetch(recording.file.url, tenant.token(), method="HEAD")
    assert told(answer) == (200, b"")
    assert answer.headers["content-length"] == str(recording.file.size_bytes)
    same = fetch(recording.file.url, tenant.token(), **{"if-none-match": answer.headers["etag"]})
    assert told(same) == (304, b"")


async def test_nobody_downloads_without_a_good_token(server: Server, client: Client, tenant: Tenant) -> None:
    """None, nonsense, one that has run out, one signed by somebody else: 401. One for other paths: 403."""
    url = (await record(client, tenant)).file.url
    stranger = await client.create_tenant(server.admin_token)
    now_s = int(time.time())
    claims = {"application_id": tenant.application_id, "iat": now_s - 5000, "jti": "x" * 36, "exp": now_s - 4000}
    forged = Tenant(tenant.application_id, stranger.private_key_pem, "", "")
    for token in (None, "nonsense", jwt.encode(claims, tenant.private_key_pem, algorithm="RS256"), forged.token()):
        answer = fetch(url, token)
        assert answer.status == 401
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"].startswith("Bearer")
    elsewhere = tenant.token(acl={"paths": {"/*/users/**": {}}})
    assert fetch(url, elsewhere).status == 403
    files = tenant.token(acl={"paths": {"/*/files/**": {}}})
    assert fetch(url, files).status == 200


async def test_file_of_another_application_looks_like_none(server: Server, client: Client, tenant: Tenant) -> None:
    """The 404 is the same to the byte, headers too, as that of a file that does not exist."""
    url = (await record(client, tenant)).file.url
    stranger = await client.create_tenant(server.admin_token)
    foreign = fetch(url, stranger.token())
    missing = fetch(url[:-12] + "0123456789ab", stranger.token())
    assert (foreign.status, missing.status) == (404, 404)
    assert foreign.body == missing.body
    assert {k: v for k, v in foreign.headers.items() if k != "date"} == {
        k: v for k, v in missing.headers.items() if k != "date"
    }
    recording_id = (await record(client, tenant)).recording_id
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await by_rpc(client, stranger, recording_id)
    assert reason(refused.value) == "RECORDING_NOT_FOUND"


async def test_download_by_rpc_goes_on_from_an_offset(client: Client, tenant: Tenant) -> None:
    """The facts first, then the bytes; from anywhere, up to the very end; not beyond."""
    recording = await record(client, tenant, format="wav")
    whole = fetch(recording.file.url, tenant.token()).body
    assert await by_rpc(client, tenant, recording.recording_id) == (recording.file.sha256, whole)
    for offset in (1, 70_000, len(whole) - 1, len(whole)):
        assert await by_rpc(client, tenant, recording.recording_id, offset) == (recording.file.sha256, whole[offset:])
    for offset in (-1, len(whole) + 1):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await by_rpc(client, tenant, recording.recording_id, offset)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_running_recording_has_no_file_yet(client: Client, tenant: Tenant) -> None:
    """RECORDING_LIVE with a hint to retry; it cannot be deleted either."""
    call = await client.call(tenant, legs=[leg()])
    await call.stream(caller=PCM)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await by_rpc(client, tenant, call.recording_id)
    assert reason(refused.value) == "RECORDING_LIVE"
    request = messages.DeleteRecordingRequest(recording_id=call.recording_id)
    with pytest.raises(grpc.aio.AioRpcError) as kept:
        await client.recordings.DeleteRecording(request, metadata=tenant.metadata)
    assert reason(kept.value) == "RECORDING_LIVE"
    assert (await call.hang_up()).state == recording_pb2.RECORDING_STATE_AVAILABLE

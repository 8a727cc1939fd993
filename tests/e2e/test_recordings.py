"""Finding recordings: one, or pages of them, by application, conversation, state and time."""

import asyncio

import grpc
import pytest
from tests.harness.client import Client, Tenant, bearer, leg, reason
from tests.harness.server import Server
from tests.harness.speech import speech

from recorder.v1 import recording_pb2
from recorder.v1 import recording_service_pb2 as messages

PCM = speech(1).tobytes()
CONVERSATION = "CON-9d0a2f6e-4a4b-4a4e-8a1b-2f7c0c9be111"
AVAILABLE = recording_pb2.RECORDING_STATE_AVAILABLE
RECORDING = recording_pb2.RECORDING_STATE_RECORDING


async def record(client: Client, tenant: Tenant, **start: object) -> recording_pb2.Recording:
    call = await client.call(tenant, legs=[leg()], **start)
    await call.stream(caller=PCM)
    return await call.hang_up()


async def ids(client: Client, tenant: Tenant, **criteria: object) -> list[str]:
    request = messages.ListRecordingsRequest(**criteria)  # type: ignore[arg-type]
    answer = await client.recordings.ListRecordings(request, metadata=tenant.metadata)
    return [recording.recording_id for recording in answer.recordings]


async def test_recordings_are_listed_newest_first_in_pages(client: Client, tenant: Tenant) -> None:
    """Five recordings in pages of two: each once, in order."""
    made = [(await record(client, tenant)).recording_id for _ in range(5)]
    found, token = [], ""
    while True:
        request = messages.ListRecordingsRequest(page_size=2, page_token=token)
        page = await client.recordings.ListRecordings(request, metadata=tenant.metadata)
        found += [recording.recording_id for recording in page.recordings]
        if not (token := page.next_page_token):
            break
    assert found == made[::-1]


async def test_recordings_are_found_by_what_is_known_of_them(client: Client, tenant: Tenant) -> None:
    """Conversation, state and time; filters that are set must all match."""
    first = await record(client, tenant, conversation_id=CONVERSATION)
    await asyncio.sleep(0.01)
    second = await record(client, tenant)
    running = await client.call(tenant, legs=[leg()], conversation_id=CONVERSATION)
    await running.stream(caller=PCM)
    one, two, three = first.recording_id, second.recording_id, running.recording_id
    assert await ids(client, tenant) == [three, two, one]
    assert await ids(client, tenant, conversation_id=CONVERSATION) == [three, one]
    assert await ids(client, tenant, states=[AVAILABLE]) == [two, one]
    assert await ids(client, tenant, states=[RECORDING], conversation_id=CONVERSATION) == [three]
    assert await ids(client, tenant, start_time_from=second.start_time) == [three, two]
    assert await ids(client, tenant, start_time_before=second.start_time) == [one]
    await running.hang_up()
    assert await ids(client, tenant, states=[RECORDING]) == []


async def test_recordings_of_another_application_are_not_there(server: Server, client: Client, tenant: Tenant) -> None:
    """Neither listed nor found; the admin sees them."""
    recording = await record(client, tenant)
    stranger = await client.create_tenant(server.admin_token)
    assert await ids(client, stranger) == []
    with pytest.raises(grpc.aio.AioRpcError) as hidden:
        await client.recording(stranger, recording.recording_id)
    assert (hidden.value.code(), reason(hidden.value)) == (grpc.StatusCode.NOT_FOUND, "RECORDING_NOT_FOUND")
    request = messages.ListRecordingsRequest(application_id=tenant.application_id)
    seen = await client.recordings.ListRecordings(request, metadata=bearer(server.admin_token))
    assert [found.recording_id for found in seen.recordings] == [recording.recording_id]


async def test_running_recording_is_told_as_it_stands(client: Client, tenant: Tenant) -> None:
    """State, options with their defaults filled in, legs; no file and no end yet."""
    call = await client.call(tenant, ncco={"action": "record", "split": "conversation", "beepStart": "true"})
    recording = await client.recording(tenant, call.recording_id)
    assert recording.state == RECORDING
    assert recording.kind == recording_pb2.RECORDING_KIND_CALL
    assert recording.options.format == recording_pb2.FILE_FORMAT_MP3
    assert (recording.options.channels, recording.options.beep_start) == (2, True)
    assert recording.encoder.mp3_bitrate_kbps == 64
    assert not recording.HasField("end_time")
    assert not recording.HasField("stop_reason")
    assert not recording.HasField("file")
    await call.hang_up()


async def test_typed_options_and_ncco_mean_the_same(client: Client, tenant: Tenant) -> None:
    """The same wish in both ways gives the same options."""
    typed = recording_pb2.RecordOptions(
        format=recording_pb2.FILE_FORMAT_WAV, split=recording_pb2.SPLIT_CONVERSATION, end_on_key="*"
    )
    typed.time_out.FromSeconds(60)
    ncco = {"action": "record", "format": "wav", "split": "conversation", "endOnKey": "*", "timeOut": "60"}
    one = await record(client, tenant, typed=typed)
    two = await record(client, tenant, ncco=ncco)
    assert one.options == two.options
    assert one.file.sha256 == two.file.sha256

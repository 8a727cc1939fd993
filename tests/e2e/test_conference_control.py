"""`PUT /v1/conversations/{id}/record`, and conferences fed by the resuming client through a line that breaks."""

import http.client
import json
import uuid
from typing import Any

import numpy as np
import pytest
from tests.harness.client import Client, Tenant
from tests.harness.conference import Stream, participant
from tests.harness.fault_proxy import FaultProxy
from tests.harness.files import download, wav_channels
from tests.harness.server import Server
from tests.harness.speech import speech

from recorder.channel import connect
from recorder.resuming import CallSettings
from recorder.v1 import recorder_service_pb2, recording_pb2

A, B = speech(4), speech(4, first=7)
ON_DEMAND = recorder_service_pb2.CONFERENCE_RECORD_MODE_ON_DEMAND


def put(server: Server, conversation_id: str, token: str | None, body: Any) -> tuple[int, dict[str, Any]]:
    """Ask for a recording to start or stop."""
    return put_to(server.ports.http, conversation_id, token, body)


def put_to(port: int, conversation_id: str, token: str | None, body: Any) -> tuple[int, dict[str, Any]]:
    """Ask whoever answers on a port."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    headers = {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("PUT", f"/v1/conversations/{conversation_id}/record", body=data, headers=headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text) if text else {}


async def test_recording_is_started_and_stopped_by_put(server: Server, client: Client, tenant: Tenant) -> None:
    """204 each time; by default a split MP3; each start is a recording of its own."""
    stream = Stream(client, tenant.metadata)
    opened = await stream.join(f"room {uuid.uuid4()}", [participant("a"), participant("b")], record=ON_DEMAND)
    made = []
    for body in ({}, {"format": "wav", "split": "conversation"}):
        assert put(server, opened.conversation_id, tenant.token(), {"action": "start", **body}) == (204, {})
        started = (await stream.until("started")).started.recording
        await stream.audio(a=(0, A[:16_000].tobytes()), b=(0, B[:16_000].tobytes()))
        await stream.until_acknowledged(stream.sequence - 1)
        assert put(server, opened.conversation_id, tenant.token(), {"action": "stop"}) == (204, {})
        made.append(await stream.completed())
        assert made[-1].recording_id == started.recording_id
    await stream.close()
    assert (await stream.until("ended")).ended.conference_ended
    formats = [(recording.options.format, recording.options.channels) for recording in made]
    assert formats == [(recording_pb2.FILE_FORMAT_MP3, 2), (recording_pb2.FILE_FORMAT_WAV, 2)]


async def test_put_refuses_what_it_cannot_do(server: Server, client: Client, tenant: Tenant) -> None:
    """400 for the body, 401 without a token, 404 for another's conference and where nothing runs."""
    stream = Stream(client, tenant.metadata)
    opened = await stream.join(f"room {uuid.uuid4()}", [participant("a")], record=ON_DEMAND)
    here, token = opened.conversation_id, tenant.token()
    other = (await client.create_tenant(server.admin_token)).token()
    answers = [
        (put(server, here, token, {"action": "pause"}), 400, "INVALID_FIELD"),
        (put(server, here, token, b"no json"), 400, "INVALID_MESSAGE"),
        (put(server, here, token, []), 400, "INVALID_MESSAGE"),
        (put(server, here, token, {"action": "start", "format": "flac"}), 400, "UNSUPPORTED_FORMAT"),
        (put(server, here, token, b" " * 70_000), 400, "INVALID_MESSAGE"),
        (put(server, here, None, {"action": "start"}), 401, "MISSING_TOKEN"),
        (put(server, here, other, {"action": "start"}), 404, "CONFERENCE_NOT_FOUND"),
        (put(server, here, token, {"action": "stop"}), 404, "RECORDING_NOT_FOUND"),
        (put(server, f"CON-{uuid.uuid4()}", token, {"action": "start"}), 404, "CONFERENCE_NOT_FOUND"),
    ]
    for (status, problem), expected, reason in answers:
        assert (status, problem["reason"]) == (expected, reason)
    limited = tenant.token(acl={"paths": {"/*/files/**": {}}})
    assert put(server, here, limited, {"action": "start"})[0] == 403
    await stream.close()


@pytest.mark.parametrize("breaks", [0, 3])
async def test_resuming_client_feeds_a_conference_through_a_line_that_breaks(
    server: Server, tenant: Tenant, breaks: int
) -> None:
    """Legs that join, are muted and leave arrive once and in order, however often the line breaks."""
    join = recorder_service_pb2.JoinConference(name=f"room {uuid.uuid4()}", legs=[participant("a")], origin_frame=0)
    join.ncco.update({"action": "record", "format": "wav", "split": "conversation"})
    settings = CallSettings(ack_interval_ms=50, reconnect_for_s=20)
    second = 16_000
    with FaultProxy(server.ports.grpc) as proxy:
        async with (
            connect(f"127.0.0.1:{proxy.port}", token=tenant.token()) as client,
            client.record_conference(join, settings) as conference,
        ):
            for part in range(4):
                if part == 1:
                    await conference.join(participant("b").leg, frame=second)
                if part == 2:
                    await conference.mute("a", 2 * second)
                if part == 3:
                    await conference.mute("a", 3 * second, muted=False)
                    await conference.leave("b", 3 * second)
                payloads = {"a": A[part * second :][:second].tobytes()}
                if part in {1, 2}:
                    payloads["b"] = B[part * second :][:second].tobytes()
                await conference.write(payloads)
                if part < breaks:
                    proxy.reset()
            await conference.close()
            assert (await conference.ended()).conference_ended
            [recording] = conference.recordings
    expected = np.zeros((2, 4 * second), dtype=np.int16)
    expected[0] = A
    expected[0, 2 * second : 3 * second] = 0
    expected[1, second : 3 * second] = B[second : 3 * second]
    np.testing.assert_array_equal(wav_channels(download(recording, tenant)), expected)

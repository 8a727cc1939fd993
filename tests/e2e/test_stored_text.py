"""Text that not every database keeps is refused at the door, the same on SQLite and on PostgreSQL."""

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from tests.e2e.test_conference_control import put_to
from tests.harness import postgres
from tests.harness.client import Call, Client, Tenant, bearer, leg, reason
from tests.harness.conference import Stream, participant
from tests.harness.logs import faults
from tests.harness.server import Server

from recorder.v1 import (
    application_pb2,
    application_service_pb2,
    event_service_pb2,
    recording_pb2,
    recording_service_pb2,
    webhook_service_pb2,
)

NUL = "a\0b"
REFUSED = (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on each database; in the end it must not have logged a fault of its own."""
    root = tmp_path_factory.mktemp(request.param)
    url = f"sqlite:///{root}/catalog.db" if request.param == "sqlite" else postgres.database_of(root)
    environment = {"RECORDER_DATABASE_URL": url, "RECORDER_MIGRATE": "true"}
    with Server(root / "data", environment=environment) as server:
        yield server
        assert server.terminate() == 0
    assert faults(server.log) == []


@pytest.fixture
async def tenant(server: Server, client: Client) -> Tenant:
    """A fresh application."""
    return await client.create_tenant(server.admin_token)


async def refusal(asked: Any) -> tuple[tuple[grpc.StatusCode, str], str]:
    """Return code and reason, and the message."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await asked
    return (refused.value.code(), reason(refused.value)), refused.value.details() or ""


CALLS: dict[str, dict[str, Any]] = {
    'open.start.metadata["k"]': {"metadata": {"k": NUL}},
    "open.start.metadata": {"metadata": {NUL: "v"}},
    "open.start.conversation_id": {"conversation_id": NUL},
    "open.start.recording_id": {"recording_id": NUL},
    "open.start.application_id": {"application_id": NUL},
    "open.start.legs[0].leg_id": {"legs": [leg(NUL)]},
    "open.start.typed.event_url": {"typed": recording_pb2.RecordOptions(event_url=f"http://example.com/{NUL}")},
    'open.start.ncco.fields["eventUrl"].list_value.values[0].string_value': {
        "ncco": {"action": "record", "eventUrl": [f"http://example.com/{NUL}"]}
    },
    "open.start.ncco.fields": {"ncco": {"action": "record", NUL: 1}},
}


@pytest.mark.parametrize("field", CALLS)
async def test_call_with_a_nul_in_its_opening_is_refused(client: Client, tenant: Tenant, field: str) -> None:
    """Wherever it stands; the field is named."""
    how = {"legs": [leg()], **CALLS[field]}
    answer, message = await refusal(Call(client, tenant.metadata).open(**how))
    assert answer == REFUSED
    assert message.replace("'", '"').startswith(f"{field} holds a NUL character")


async def test_conference_with_a_nul_in_its_opening_is_refused(client: Client, tenant: Tenant) -> None:
    """Name, stream, leg, metadata."""
    room = f"room {uuid.uuid4()}"
    for name, how in (
        (NUL, {}),
        (room, {"stream_id": NUL}),
        (room, {"legs": [participant(NUL)]}),
        (room, {"metadata": {"k": NUL}}),
        (room, {"conversation_id": NUL}),
    ):
        stream = Stream(client, tenant.metadata)
        assert (await refusal(stream.join(name, **how)))[0] == REFUSED
    assert (await refusal(Stream(client, tenant.metadata).resume(NUL)))[0] == REFUSED


async def test_leg_with_a_nul_that_comes_later_is_refused(client: Client, tenant: Tenant) -> None:
    """A leg that joins, and one that is named in audio or leaves."""
    for what in ("enter", "leave", "audio"):
        stream = Stream(client, tenant.metadata)
        await stream.join(f"room {uuid.uuid4()}", [participant("a")])
        if what == "enter":
            await stream.enter(participant(NUL))
        elif what == "leave":
            await stream.leave(NUL)
        else:
            await stream.audio(**{NUL: (0, bytes(320))})
        (code, _), _ = await refusal(stream.until("ended"))
        assert code is grpc.StatusCode.INVALID_ARGUMENT


async def test_requests_with_a_nul_are_refused(server: Server, client: Client, tenant: Tenant) -> None:
    """Every text of every unary RPC that reaches a query or a row."""
    recordings, webhooks, mine, admin = client.recordings, client.webhooks, tenant.metadata, bearer(server.admin_token)
    applications = client.applications
    application = application_pb2.Application(name=NUL)
    url = application_pb2.Application(name="n", event_url=f"http://example.com/{NUL}")
    create = application_service_pb2.CreateApplicationRequest
    messages = recording_service_pb2
    for asked in (
        recordings.ListRecordings(messages.ListRecordingsRequest(conversation_id=NUL), metadata=mine),
        recordings.ListRecordings(messages.ListRecordingsRequest(page_token=NUL), metadata=mine),
        recordings.GetRecording(messages.GetRecordingRequest(recording_id=NUL), metadata=mine),
        recordings.StartConferenceRecording(
            messages.StartConferenceRecordingRequest(conversation_id=NUL), metadata=mine
        ),
        recordings.StopConferenceRecording(messages.StopConferenceRecordingRequest(conversation_id=NUL), metadata=mine),
        webhooks.ListDeliveries(webhook_service_pb2.ListDeliveriesRequest(recording_id=NUL), metadata=mine),
        applications.CreateApplication(create(application=application), metadata=admin),
        applications.CreateApplication(create(application=url), metadata=admin),
    ):
        assert (await refusal(asked))[0] == REFUSED
    feed = client.events.SubscribeEvents(event_service_pb2.SubscribeEventsRequest(cursor=NUL), metadata=mine)
    assert (await refusal(feed.read()))[0] == REFUSED


async def test_put_with_a_nul_is_refused(server: Server, client: Client, tenant: Tenant) -> None:
    """In the path and in the body; half a surrogate pair, which JSON can write, too."""
    stream = Stream(client, tenant.metadata)
    opened = await stream.join(f"room {uuid.uuid4()}", [participant("a")])
    here, token, port = opened.conversation_id, tenant.token(), server.ports.http
    start: dict[str, Any] = {"action": "start"}
    for path, body in (
        ("CON-%00", start),
        (here, start | {"event_url": [f"http://example.com/{NUL}"]}),
        (here, start | {"event_url": ["http://example.com/\ud800"]}),
        (here, start | {"event_method": NUL}),
        (here, {"action": NUL}),
    ):
        status, problem = await asyncio.to_thread(put_to, port, path, token, body)
        assert (status, problem["reason"]) == (400, "INVALID_FIELD"), body
    await stream.close()


async def test_other_text_is_kept_as_it_came(server: Server, client: Client, tenant: Tenant) -> None:
    """Beyond the BMP, quotes, control characters where they are allowed: nothing else is refused or changed."""
    name = "é☎𝄞'\"\\%;--"
    request = application_service_pb2.CreateApplicationRequest(application=application_pb2.Application(name=name))
    made = await client.applications.CreateApplication(request, metadata=bearer(server.admin_token))
    assert made.application.name == name
    text = "".join(map(chr, range(1, 256))) + name
    call = await client.call(tenant, legs=[leg()], metadata={"k": text, name: "v"})
    assert dict((await call.hang_up()).metadata) == {"k": text, name: "v"}

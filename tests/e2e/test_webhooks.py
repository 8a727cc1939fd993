"""Record events over real HTTP: what they say, how they are signed, how they are tried again."""

import hashlib
import json
import re
import time
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import grpc
import jwt
import pytest
from tests.harness.client import Client, Tenant, bearer, leg, reason
from tests.harness.receiver import Received, Receiver
from tests.harness.server import Server
from tests.harness.speech import speech

from recorder.v1 import application_pb2, application_service_pb2, event_pb2, recording_pb2, webhook_pb2
from recorder.v1 import webhook_service_pb2 as messages
from recorder.webhooks import WebhookRejected, verify_webhook

PCM = speech(2).tobytes()
SECOND = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
MILLISECOND = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
DELIVERED = webhook_pb2.DELIVERY_STATE_DELIVERED
PENDING = webhook_pb2.DELIVERY_STATE_PENDING


async def record(client: Client, tenant: Tenant, **ncco: object) -> recording_pb2.Recording:
    call = await client.call(tenant, legs=[leg()], ncco={"action": "record", **ncco})
    await call.stream(caller=PCM)
    return await call.hang_up()


async def deliveries(client: Client, tenant: Tenant, recording_id: str) -> list[webhook_pb2.Delivery]:
    request = messages.ListDeliveriesRequest(recording_id=recording_id)
    return list((await client.webhooks.ListDeliveries(request, metadata=tenant.metadata)).deliveries)


async def told_as(client: Client, tenant: Tenant, recording: recording_pb2.Recording) -> webhook_pb2.Delivery:
    """Wait for the delivery's event and return the only delivery."""
    await client.told(tenant, recording.recording_id, event_pb2.EVENT_TYPE_WEBHOOK_DELIVERED)
    (delivery,) = await deliveries(client, tenant, recording.recording_id)
    return delivery


def claims(request: Received, tenant: Tenant) -> dict[str, object]:
    token = request.headers["authorization"].removeprefix("Bearer ")
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}
    decoded: dict[str, object] = jwt.decode(token, tenant.signature_secret, algorithms=["HS256"])
    return decoded


async def test_record_event_has_exactly_the_seven_keys(client: Client, tenant: Tenant, receiver: Receiver) -> None:
    """Their names, their types, their values: what parsers of the Voice API expect and nothing else."""
    recording = await record(client, tenant, eventUrl=[receiver.url])
    (request,) = receiver.wait(1)
    body = json.loads(request.body)
    assert set(body) == {
        "start_time",
        "end_time",
        "recording_url",
        "size",
        "recording_uuid",
        "conversation_uuid",
        "timestamp",
    }
    assert (request.method, request.headers["content-type"].partition(";")[0]) == ("POST", "application/json")
    assert body["recording_uuid"] == recording.recording_id
    assert body["conversation_uuid"] == recording.conversation_id
    assert body["recording_url"] == recording.file.url
    assert body["size"] == recording.file.size_bytes
    assert type(body["size"]) is int
    assert re.fullmatch(SECOND, body["start_time"])
    assert re.fullmatch(SECOND, body["end_time"])
    assert body["start_time"] <= body["end_time"]
    assert re.fullmatch(MILLISECOND, body["timestamp"])
    file_id = UUID(urlsplit(body["recording_url"]).path.removeprefix("/v1/files/"))
    assert str(file_id) != body["recording_uuid"]
    # What JavaScript's JSON.stringify gives back: receivers rebuild the body to hash it.
    assert json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode() == request.body


async def test_record_event_is_signed_over_its_body(client: Client, tenant: Tenant, receiver: Receiver) -> None:
    """The client library accepts it; by hand, every claim is what the Voice API's would be."""
    await record(client, tenant, eventUrl=[receiver.url])
    (request,) = receiver.wait(1)
    verified = verify_webhook(
        authorization=request.headers["authorization"],
        secret=tenant.signature_secret,
        body=request.body,
        api_key=tenant.api_key,
    )
    assert verified.application_id == tenant.application_id
    signed = claims(request, tenant)
    assert signed["payload_hash"] == hashlib.sha256(request.body).hexdigest()
    assert (signed["iss"], signed["api_key"]) == ("Vonage", tenant.api_key)
    assert str(UUID(str(signed["jti"]))) == signed["jti"]
    assert not {"exp", "aud", "sub"} & signed.keys()
    assert -5 <= time.time() - float(str(signed["iat"])) < 30
    with pytest.raises(WebhookRejected):
        verify_webhook(
            authorization=request.headers["authorization"], secret=tenant.signature_secret, body=request.body + b" "
        )


async def test_record_event_by_get_is_the_query(client: Client, tenant: Tenant, receiver: Receiver) -> None:
    """The same seven keys as parameters, an own query of the URL kept, the hash over their compact JSON."""
    recording = await record(client, tenant, eventUrl=[receiver.url], eventMethod="GET")
    (request,) = receiver.wait(1)
    assert (request.method, request.body) == ("GET", b"")
    query = urlsplit(request.path).query
    parameters = dict(parse_qsl(query))
    assert set(parameters) == {
        "start_time",
        "end_time",
        "recording_url",
        "size",
        "recording_uuid",
        "conversation_uuid",
        "timestamp",
    }
    assert parameters["size"] == str(recording.file.size_bytes)
    assert parameters["recording_uuid"] == recording.recording_id
    verify_webhook(authorization=request.headers["authorization"], secret=tenant.signature_secret, query=query)


async def test_url_of_the_action_beats_that_of_the_application(server: Server, client: Client) -> None:
    """Without one of its own a recording tells the application's URL."""
    with Receiver() as own, Receiver() as general:
        tenant = await client.create_tenant(server.admin_token, event_url=general.url)
        first = await record(client, tenant)
        assert json.loads(general.wait(1)[0].body)["recording_uuid"] == first.recording_id
        second = await record(client, tenant, eventUrl=[own.url])
        assert json.loads(own.wait(1)[0].body)["recording_uuid"] == second.recording_id
        assert len(general.requests) == 1


async def test_application_without_url_gets_no_webhook(client: Client, tenant: Tenant) -> None:
    """There is nothing to deliver, and nothing is listed."""
    recording = await record(client, tenant)
    assert recording.state == recording_pb2.RECORDING_STATE_AVAILABLE
    assert await deliveries(client, tenant, recording.recording_id) == []


async def test_webhook_is_tried_again_with_the_same_id(client: Client, tenant: Tenant) -> None:
    """503 first, then 200 some seconds later: the same jti and body, each try signed anew."""
    with Receiver(lambda count: 503 if count == 1 else 200) as receiver:
        recording = await record(client, tenant, eventUrl=[receiver.url])
        receiver.wait(1)
        pending = (await deliveries(client, tenant, recording.recording_id))[0]
        first, second = receiver.wait(2, timeout_s=15)
        delivery = await told_as(client, tenant, recording)
    assert pending.state == PENDING
    assert pending.HasField("next_attempt_time") or pending.attempts == 0
    assert first.body == second.body
    assert claims(first, tenant)["jti"] == claims(second, tenant)["jti"] == delivery.delivery_id
    assert 3 < second.arrived_s - first.arrived_s < 10
    assert (delivery.state, delivery.attempts, delivery.last_status) == (DELIVERED, 2, 200)


async def test_redeliver_sends_the_same_event_again(client: Client, tenant: Tenant, receiver: Receiver) -> None:
    """On request, at once, with the id it had."""
    recording = await record(client, tenant, eventUrl=[receiver.url])
    delivery = await told_as(client, tenant, recording)
    assert (delivery.state, delivery.attempts) == (DELIVERED, 1)
    assert (delivery.url, delivery.method) == (receiver.url, recording_pb2.HTTP_METHOD_POST)
    request = messages.RedeliverRequest(delivery_id=delivery.delivery_id)
    again = (await client.webhooks.Redeliver(request, metadata=tenant.metadata)).delivery
    assert (again.delivery_id, again.state) == (delivery.delivery_id, PENDING)
    first, second = receiver.wait(2)
    assert first.body == second.body
    assert claims(first, tenant)["jti"] == claims(second, tenant)["jti"] == delivery.delivery_id


async def test_deliveries_of_another_application_are_not_found(
    server: Server, client: Client, tenant: Tenant, receiver: Receiver
) -> None:
    """Neither listed nor redelivered; the admin sees them."""
    recording = await record(client, tenant, eventUrl=[receiver.url])
    delivery = await told_as(client, tenant, recording)
    stranger = await client.create_tenant(server.admin_token)
    assert await deliveries(client, stranger, recording.recording_id) == []
    request = messages.RedeliverRequest(delivery_id=delivery.delivery_id)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await client.webhooks.Redeliver(request, metadata=stranger.metadata)
    assert reason(refused.value) == "DELIVERY_NOT_FOUND"
    listing = messages.ListDeliveriesRequest(recording_id=recording.recording_id, states=[DELIVERED])
    seen = await client.webhooks.ListDeliveries(listing, metadata=bearer(server.admin_token))
    assert [found.delivery_id for found in seen.deliveries] == [delivery.delivery_id]


async def test_deliveries_are_listed_in_pages(client: Client, tenant: Tenant, receiver: Receiver) -> None:
    """Newest first, each once."""
    recordings = [await record(client, tenant, eventUrl=[receiver.url]) for _ in range(3)]
    found, token = [], ""
    while True:
        request = messages.ListDeliveriesRequest(page_size=2, page_token=token)
        page = await client.webhooks.ListDeliveries(request, metadata=tenant.metadata)
        found += [delivery.recording_id for delivery in page.deliveries]
        if not (token := page.next_page_token):
            break
    assert found == [recording.recording_id for recording in reversed(recordings)]


async def test_rotated_secret_signs_from_now_on(server: Server, client: Client, tenant: Tenant) -> None:
    """The old secret no longer verifies what is sent after the rotation."""
    request = application_service_pb2.RotateSignatureSecretRequest(application_id=tenant.application_id)
    rotated = await client.applications.RotateSignatureSecret(request, metadata=bearer(server.admin_token))
    assert rotated.signature_secret != tenant.signature_secret
    with Receiver() as receiver:
        await record(client, tenant, eventUrl=[receiver.url])
        (got,) = receiver.wait(1)
    authorization = got.headers["authorization"]
    verify_webhook(authorization=authorization, secret=rotated.signature_secret, body=got.body)
    with pytest.raises(WebhookRejected):
        verify_webhook(authorization=authorization, secret=tenant.signature_secret, body=got.body)


async def test_private_address_is_not_called_unless_allowed(tmp_path: Path, receiver: Receiver) -> None:
    """A server that was not told to trust loopback sends nothing there; the delivery says why."""
    environment = {"RECORDER_WEBHOOK_ALLOW_CIDRS": ""}
    with Server(tmp_path / "data", environment=environment) as server:
        async with Client(server.ports.grpc) as client:
            application = application_pb2.Application(name="test", event_url=receiver.url)
            tenant = await client.create_tenant(server.admin_token, event_url=application.event_url)
            recording = await record(client, tenant)
            deadline_s = time.monotonic() + 10
            while not (delivery := (await deliveries(client, tenant, recording.recording_id))[0]).attempts:
                assert time.monotonic() < deadline_s
    assert recording.state == recording_pb2.RECORDING_STATE_AVAILABLE
    assert delivery.last_error
    assert delivery.last_status == 0
    assert receiver.requests == []

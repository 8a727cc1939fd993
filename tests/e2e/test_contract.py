"""What any gRPC tool sees of the server: services, health, tokens, refusals."""

from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tests.harness.client import Call, Client, Request, Tenant, bearer, info, leg, reason
from tests.harness.files import fetch
from tests.harness.server import Server

from recorder.v1 import error_reason_pb2, recorder_service_pb2
from recorder.v1 import recording_service_pb2 as messages

SERVICES = {
    "recorder.v1.RecorderService",
    "recorder.v1.RecordingService",
    "recorder.v1.EventService",
    "recorder.v1.ApplicationService",
    "recorder.v1.WebhookService",
}


async def reflect(client: Client, request: reflection_pb2.ServerReflectionRequest) -> Any:
    stub = reflection_pb2_grpc.ServerReflectionStub(client.channel)
    (answer,) = [answer async for answer in stub.ServerReflectionInfo(iter([request]), timeout=10)]
    return answer


async def test_reflection_lists_the_services(client: Client) -> None:
    """The five of the contract, health and reflection itself."""
    answer = await reflect(client, reflection_pb2.ServerReflectionRequest(list_services=""))
    listed = {service.name for service in answer.list_services_response.service}
    assert listed == SERVICES | {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


async def test_reflection_describes_every_service(client: Client) -> None:
    """A tool without our proto files can call them."""
    for name in SERVICES:
        request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=name)
        answer = await reflect(client, request)
        assert answer.file_descriptor_response.file_descriptor_proto


async def test_health_is_serving(client: Client) -> None:
    """Overall and for each service; no token is needed."""
    stub = health_pb2_grpc.HealthStub(client.channel)
    for name in ("", *SERVICES):
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_operations_port_tells_health_and_metrics(server: Server) -> None:
    """Liveness, readiness and metrics, on a port of their own."""
    base = f"http://127.0.0.1:{server.ports.metrics}"
    assert [fetch(base + path).status for path in ("/healthz", "/readyz", "/metrics")] == [200, 200, 200]
    assert b"recorder_" in fetch(f"{base}/metrics").body
    assert fetch(f"http://127.0.0.1:{server.ports.http}/metrics").status == 404


async def test_rpc_without_a_token_is_refused(client: Client) -> None:
    """MISSING_TOKEN; with a wrong one INVALID_TOKEN; for streams too."""
    for metadata, expected in (((), "MISSING_TOKEN"), (bearer("nonsense"), "INVALID_TOKEN")):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.recordings.ListRecordings(messages.ListRecordingsRequest(), metadata=metadata)
        assert (refused.value.code(), reason(refused.value)) == (grpc.StatusCode.UNAUTHENTICATED, expected)
        call = Call(client, metadata)
        with pytest.raises(grpc.aio.AioRpcError) as streamed:
            await call.open()
        assert (streamed.value.code(), reason(streamed.value)) == (grpc.StatusCode.UNAUTHENTICATED, expected)


async def test_refusal_names_domain_reason_field_and_value(client: Client, tenant: Tenant) -> None:
    """ErrorInfo of the domain `recorder.v1`, with a reason of the contract's own list."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await client.call(tenant, ncco={"action": "record", "endOnSilence": "2"})
    found = info(refused.value)
    assert (found.domain, found.reason) == ("recorder.v1", "INVALID_OPTION")
    assert f"ERROR_REASON_{found.reason}" in dict(error_reason_pb2.ErrorReason.items())
    assert found.metadata["field"].endswith("endOnSilence")
    assert found.metadata["value"] == "2"


async def test_stream_begins_with_open(client: Client, tenant: Tenant) -> None:
    """Anything else first is OPEN_EXPECTED; a second `open` is OPEN_REPEATED."""
    call = Call(client, tenant.metadata)
    await call.audio(caller=(0, bytes(320)))
    with pytest.raises(grpc.aio.AioRpcError) as early:
        await call.receive()
    assert reason(early.value) == "OPEN_EXPECTED"
    call = await client.call(tenant, legs=[leg()])
    await call.write(Request(sequence=2, open=recorder_service_pb2.OpenCall()))
    with pytest.raises(grpc.aio.AioRpcError) as twice:
        await call.receive()
    assert reason(twice.value) == "OPEN_REPEATED"


async def test_unknown_keys_of_an_ncco_are_warned_of(client: Client, tenant: Tenant) -> None:
    """They are ignored, and `opened` says so."""
    call = Call(client, tenant.metadata)
    opened = await call.open(ncco={"action": "record", "colour": "blue"})
    assert len(opened.warnings) == 1
    assert "colour" in opened.warnings[0]
    await call.hang_up()


async def test_server_chooses_ids_that_were_left_empty(client: Client, tenant: Tenant) -> None:
    """A conversation id of the Voice API's form."""
    call = Call(client, tenant.metadata)
    opened = await call.open()
    assert opened.recording.conversation_id.startswith("CON-")
    assert opened.next_sequence == 2
    await call.hang_up()

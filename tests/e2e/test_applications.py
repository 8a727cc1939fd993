"""Applications: made, changed, rotated and removed by the admin, and by nobody else."""

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from tests.harness.client import Client, Metadata, Tenant, bearer, info, reason
from tests.harness.server import Server

from recorder.v1 import application_pb2, recording_pb2, recording_service_pb2
from recorder.v1 import application_service_pb2 as messages


@pytest.fixture
def admin(server: Server) -> Metadata:
    return bearer(server.admin_token)


async def may_list(client: Client, tenant: Tenant) -> bool:
    """Say whether the application's key opens the server."""
    try:
        await client.recordings.ListRecordings(recording_service_pb2.ListRecordingsRequest(), metadata=tenant.metadata)
    except grpc.aio.AioRpcError as error:
        if (error.code(), reason(error)) == (grpc.StatusCode.UNAUTHENTICATED, "INVALID_TOKEN"):
            return False
        raise
    return True


async def rotate(client: Client, admin: Metadata, tenant: Tenant, overlap_s: int) -> Tenant:
    request = messages.RotateApplicationKeyRequest(
        application_id=tenant.application_id, overlap=Duration(seconds=overlap_s)
    )
    rotated = await client.applications.RotateApplicationKey(request, metadata=admin)
    assert len(rotated.application.keys) == (2 if overlap_s else 1)
    assert not rotated.application.keys[0].HasField("expire_time")
    return Tenant(tenant.application_id, rotated.private_key_pem, tenant.signature_secret, tenant.api_key)


async def test_application_is_as_it_was_made(client: Client, admin: Metadata) -> None:
    """What was asked for, with ids and keys of its own; secrets are shown once."""
    wanted = application_pb2.Application(
        name="calls of the north",
        event_url="https://example.org/event",
        event_method=recording_pb2.HTTP_METHOD_GET,
        retention=Duration(seconds=7200),
        max_live_recordings=3,
    )
    made = await client.applications.CreateApplication(
        messages.CreateApplicationRequest(application=wanted), metadata=admin
    )
    for field in ("name", "event_url", "event_method", "retention", "max_live_recordings"):
        assert getattr(made.application, field) == getattr(wanted, field)
    assert len(made.signature_secret) >= 32
    request = messages.GetApplicationRequest(application_id=made.application.application_id)
    stored = (await client.applications.GetApplication(request, metadata=admin)).application
    assert stored == made.application
    assert made.signature_secret not in str(stored)
    assert "PRIVATE KEY" not in str(stored)


async def test_application_with_a_key_pair_made_elsewhere(client: Client, admin: Metadata) -> None:
    """Only the public half is given: nothing secret but the signature secret comes back, and tokens work."""
    key = rsa.generate_private_key(65537, 2048)
    public_pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    private_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    request = messages.CreateApplicationRequest(
        application=application_pb2.Application(name="own key"), public_key_pem=public_pem
    )
    made = await client.applications.CreateApplication(request, metadata=admin)
    assert made.private_key_pem == ""
    assert await may_list(client, Tenant(made.application.application_id, private_pem, "", ""))


async def test_applications_are_listed_by_name_in_pages(client: Client, server: Server, admin: Metadata) -> None:
    """Each once, in order, whatever the size of the page."""
    made = {(await client.create_tenant(server.admin_token, name=f"page {n}")).application_id for n in range(5)}
    found: list[application_pb2.Application] = []
    token = ""
    while True:
        request = messages.ListApplicationsRequest(page_size=2, page_token=token)
        page = await client.applications.ListApplications(request, metadata=admin)
        assert len(page.applications) <= 2
        found += page.applications
        if not (token := page.next_page_token):
            break
    names = [application.name for application in found]
    assert names == sorted(names)
    assert made <= {application.application_id for application in found}
    assert len({application.application_id for application in found}) == len(found)


async def test_update_changes_the_fields_of_the_mask_only(client: Client, tenant: Tenant, admin: Metadata) -> None:
    """Values outside the mask are not read."""
    wanted = application_pb2.Application(
        application_id=tenant.application_id, name="new", event_url="https://example.org/x", max_live_recordings=9
    )
    request = messages.UpdateApplicationRequest(
        application=wanted, update_mask=FieldMask(paths=["event_url", "max_live_recordings"])
    )
    changed = (await client.applications.UpdateApplication(request, metadata=admin)).application
    assert (changed.name, changed.event_url, changed.max_live_recordings) == ("test", "https://example.org/x", 9)
    assert changed.update_time.ToNanoseconds() > changed.create_time.ToNanoseconds()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"retention": Duration(seconds=3599)}, "retention"),
        ({"retention": Duration(seconds=11 * 366 * 24 * 3600)}, "retention"),
        ({"name": ""}, "name"),
        ({"event_url": "ftp://example.org"}, "event_url"),
    ],
)
async def test_values_out_of_range_are_refused(
    client: Client, tenant: Tenant, admin: Metadata, fields: dict[str, object], field: str
) -> None:
    """Each names its field."""
    wanted = application_pb2.Application(application_id=tenant.application_id, **fields)  # type: ignore[arg-type]
    request = messages.UpdateApplicationRequest(application=wanted, update_mask=FieldMask(paths=[field]))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await client.applications.UpdateApplication(request, metadata=admin)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert info(refused.value).metadata["field"] == field


async def test_old_key_is_accepted_during_the_overlap(client: Client, tenant: Tenant, admin: Metadata) -> None:
    """Both keys open the server; after a rotation without overlap only the newest does."""
    second = await rotate(client, admin, tenant, overlap_s=3600)
    assert [await may_list(client, key) for key in (tenant, second)] == [True, True]
    third = await rotate(client, admin, second, overlap_s=0)
    assert [await may_list(client, key) for key in (tenant, second, third)] == [False, False, True]


async def test_old_key_ends_with_its_overlap(client: Client, tenant: Tenant, admin: Metadata) -> None:
    """One second of overlap is over after one second."""
    second = await rotate(client, admin, tenant, overlap_s=1)
    async with client.subscribe(second.metadata) as feed:
        with pytest.raises(TimeoutError):
            await feed.next(timeout_s=1.2)
    assert [await may_list(client, key) for key in (tenant, second)] == [False, True]


async def test_only_the_admin_manages_applications(server: Server, client: Client, tenant: Tenant) -> None:
    """An application may get itself; all else is ADMIN_ONLY, and another application does not exist for it."""
    stranger = await client.create_tenant(server.admin_token)
    own = messages.GetApplicationRequest(application_id=tenant.application_id)
    got = await client.applications.GetApplication(own, metadata=tenant.metadata)
    assert got.application.application_id == tenant.application_id
    refused = []
    for call in (
        client.applications.CreateApplication(messages.CreateApplicationRequest(), metadata=tenant.metadata),
        client.applications.ListApplications(messages.ListApplicationsRequest(), metadata=tenant.metadata),
        client.applications.UpdateApplication(messages.UpdateApplicationRequest(), metadata=tenant.metadata),
        client.applications.DeleteApplication(
            messages.DeleteApplicationRequest(application_id=tenant.application_id), metadata=tenant.metadata
        ),
        client.applications.RotateApplicationKey(messages.RotateApplicationKeyRequest(), metadata=tenant.metadata),
        client.applications.RotateSignatureSecret(messages.RotateSignatureSecretRequest(), metadata=tenant.metadata),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call
        refused.append((error.value.code(), reason(error.value)))
    assert refused == [(grpc.StatusCode.PERMISSION_DENIED, "ADMIN_ONLY")] * 6
    with pytest.raises(grpc.aio.AioRpcError) as hidden:
        await client.applications.GetApplication(own, metadata=stranger.metadata)
    assert reason(hidden.value) == "APPLICATION_NOT_FOUND"


async def test_limit_of_live_recordings_holds(server: Server, client: Client) -> None:
    """The third of two is RESOURCE_EXHAUSTED; when one has ended there is room again."""
    tenant = await client.create_tenant(server.admin_token, max_live_recordings=2)
    first, second = await client.call(tenant), await client.call(tenant)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await client.call(tenant)
    assert (refused.value.code(), reason(refused.value)) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "TOO_MANY_RECORDINGS",
    )
    await first.hang_up()
    third = await client.call(tenant)
    await second.hang_up()
    await third.hang_up()

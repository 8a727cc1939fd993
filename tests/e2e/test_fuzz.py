"""Anything at all, sent to every RPC: a clear status each time, and a server that goes on as if nothing had been."""

import asyncio
import contextlib
import random
import re
import urllib.request
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.harness.client import Client, Metadata, Request, Tenant, bearer, two_legs
from tests.harness.logs import faults
from tests.harness.server import Server

from recorder.v1 import (
    application_service_pb2,
    event_service_pb2,
    media_pb2,
    recorder_service_pb2,
    recording_pb2,
    recording_service_pb2,
    webhook_service_pb2,
)

# Messages are made of plain values here, and streams fed by hand: more than the stubs know of.
wire: Any = recorder_service_pb2
media: Any = media_pb2


def aio(thing: object) -> Any:
    """Take a thing of grpc.aio as what it is; the types of grpc know only those of threads."""
    return thing


Code = grpc.StatusCode | None
CLEAR = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.OUT_OF_RANGE,
}
SERVICES = (
    recorder_service_pb2.DESCRIPTOR.services_by_name["RecorderService"],
    recording_service_pb2.DESCRIPTOR.services_by_name["RecordingService"],
    event_service_pb2.DESCRIPTOR.services_by_name["EventService"],
    application_service_pb2.DESCRIPTOR.services_by_name["ApplicationService"],
    webhook_service_pb2.DESCRIPTOR.services_by_name["WebhookService"],
)


@dataclass(frozen=True, slots=True)
class Method:
    """An RPC, as bytes see it."""

    path: str
    request: type[Message]
    streams_requests: bool
    streams_responses: bool


METHODS = [
    Method(
        f"/{service.full_name}/{method.name}",
        GetMessageClass(method.input_type),
        method.client_streaming,
        method.server_streaming,
    )
    for service in SERVICES
    for method in service.methods
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of this module's own: its log and its descriptors are counted."""
    with Server(tmp_path_factory.mktemp("fuzz") / "data", arguments=["--resume-window-s", "0.5"]) as server:
        yield server


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    """A raw client on its own channel."""
    async with Client(server.ports.grpc) as client:
        yield client


@pytest.fixture
async def tenant(server: Server, client: Client) -> Tenant:
    """A fresh application."""
    return await client.create_tenant(server.admin_token)


async def status(client: Client, method: Method, metadata: Metadata, requests: Sequence[bytes]) -> Code:
    """Send bytes and return how it ended (None: only the client knows); what serves is hung up on at once."""
    if method.streams_requests:
        return await _stream_status(client, method, metadata, requests)
    try:
        async with asyncio.timeout(20):
            if not method.streams_responses:
                await aio(client.channel).unary_unary(method.path)(requests[0], metadata=metadata)
                return grpc.StatusCode.OK
            stream = aio(client.channel).unary_stream(method.path)(requests[0], metadata=metadata)
            await stream.read()
            stream.cancel()
            return grpc.StatusCode.OK
    except grpc.aio.AioRpcError as error:
        return error.code()


async def _stream_status(client: Client, method: Method, metadata: Metadata, requests: Sequence[bytes]) -> Code:
    stream = aio(client.channel).stream_stream(method.path)(metadata=metadata)
    try:
        async with asyncio.timeout(20):
            for index, request in enumerate(requests):
                if stream.done() or (index == 1 and await stream.read() is aio(grpc.aio).EOF):
                    break
                await stream.write(request)
            else:
                await stream.done_writing()
            while await stream.read() is not aio(grpc.aio).EOF:
                pass
            code: grpc.StatusCode = await stream.code()
            return code
    except grpc.aio.AioRpcError as error:
        # What the client itself says of a write that met a status on its way.
        return None if error.details() == "Internal error from Core" else error.code()


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.path)
async def test_random_bytes_get_a_clear_status(method: Method, client: Client, server: Server, tenant: Tenant) -> None:
    """Whoever sends them: nobody, an application, the admin."""
    chance = random.Random(method.path)
    callers: tuple[Metadata, ...] = ((), tenant.metadata, bearer(server.admin_token))
    bodies = [chance.randbytes(chance.choice((0, 1, 2, 5, 20, 200, 5000))) for _ in range(24)]
    codes = await asyncio.gather(
        *(
            status(client, method, metadata, [body, chance.randbytes(9)])
            for metadata in callers
            for body in bodies
            # Nothing may be made or removed by chance: an empty message of the admin's is no fuzz.
            if body or not metadata
        )
    )
    assert set(codes) - {None} <= CLEAR
    assert set(codes[: len(bodies)]) - {None} == {grpc.StatusCode.UNAUTHENTICATED}


async def test_unknown_method_and_unknown_service_do_not_exist(client: Client, tenant: Tenant) -> None:
    """UNIMPLEMENTED, by gRPC itself."""
    for path in ("/recorder.v1.RecordingService/Nothing", "/recorder.v1.Nothing/Get", "/x/y", "/recorder.v1./"):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await aio(client.channel).unary_unary(path)(b"", metadata=tenant.metadata)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


def _mutate(data: bytes, seed: int) -> bytes:
    """Damage a message: bits, bytes, lengths, order."""
    chance, damaged = random.Random(seed), bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(damaged))
        match chance.randint(0, 4):
            case 0 if at < len(damaged):
                damaged[at] ^= 1 << chance.randint(0, 7)
            case 1:
                damaged[at:at] = chance.randbytes(chance.randint(1, 8))
            case 2:
                del damaged[at : at + chance.randint(1, 8)]
            case 3:
                damaged[at:at] = damaged[chance.randint(0, at) : at]
            case _ if at < len(damaged):
                damaged[at] = chance.choice((0, 0x7F, 0x80, 0xFF))
    return bytes(damaged)


def _good(method: Method, application_id: str) -> Message:
    """A message of a method with every field of it set to something that could be meant."""
    message = method.request()
    for field in message.DESCRIPTOR.fields:
        if field.name in {"application_id", "recording_id", "delivery_id"}:
            setattr(message, field.name, application_id)
        elif field.name == "page_size":
            setattr(message, field.name, 2)
        elif field.name == "states":
            getattr(message, field.name).append(1)
        elif field.name.startswith("start_time"):
            getattr(message, field.name).FromSeconds(1_800_000_000)
        elif field.name == "application":
            message.application.name = "fuzz"  # type: ignore[attr-defined] # of the one message that has it
            message.application.retention.FromSeconds(7200)  # type: ignore[attr-defined] # as above
    return message


_seeds = st.lists(st.integers(0, 2**32), min_size=20, max_size=20)


def _sample(count: int) -> list[int]:
    found: list[int] = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(seeds=_seeds)
    def collect(seeds: list[int]) -> None:
        found.extend(seeds)

    collect()
    return found


UNARY = [method for method in METHODS if not method.streams_requests]


@pytest.mark.parametrize("method", UNARY, ids=lambda method: method.path)
async def test_damaged_messages_get_a_clear_status(
    method: Method, client: Client, server: Server, tenant: Tenant
) -> None:
    """Good messages with a few bytes changed reach deeper than noise."""
    good = _good(method, tenant.application_id).SerializeToString(deterministic=True)
    deletes = method.path.endswith("/DeleteApplication")
    callers = [tenant.metadata] if deletes else [tenant.metadata, bearer(server.admin_token)]
    seeds = _sample(2)
    codes = await asyncio.gather(
        *(status(client, method, metadata, [_mutate(good, seed)]) for metadata in callers for seed in seeds)
    )
    assert set(codes) - {None} <= CLEAR


def _messages() -> dict[str, Any]:
    """Good messages of a recording stream, by name; the sequence is set where they are sent."""
    tone = bytes(range(256)) * 12
    return {
        "start": {"open": wire.OpenCall(start={"legs": two_legs(), "recording_id": str(uuid.uuid4())})},
        "silent": {
            "open": wire.OpenCall(
                start={"legs": two_legs(8000, recording_pb2.AUDIO_ENCODING_ALAW), "typed": {"end_on_key": "#"}}
            )
        },
        "resume": {"open": wire.OpenCall(resume={"recording_id": str(uuid.uuid4())})},
        "audio": {"audio": media.Audio(chunks=[{"leg_id": "caller", "start_frame": 0, "payload": tone}])},
        "late": {"audio": media.Audio(chunks=[{"leg_id": "callee", "start_frame": 99_999, "payload": tone}])},
        "both": {
            "audio": media.Audio(
                chunks=[
                    {"leg_id": "caller", "start_frame": 8000, "payload": tone},
                    {"leg_id": "callee", "start_frame": 0, "payload": tone},
                ]
            )
        },
        "key": {"dtmf": media_pb2.Dtmf(leg_id="caller", digit="5", frame=4000)},
        "end key": {"dtmf": media_pb2.Dtmf(leg_id="callee", digit="#", frame=8000)},
        "pause": {"control": media.Control(pause={"mode": recording_pb2.PAUSE_MODE_SILENCE})},
        "cut": {"control": media.Control(pause={"mode": recording_pb2.PAUSE_MODE_CUT, "frame": 5000})},
        "go on": {"control": media.Control(resume={})},
        "go on at": {"control": media.Control(resume={"frame": 1})},
        "stop": {"control": media.Control(stop={"frame": 100})},
        "close": {"close": media_pb2.Close()},
        "close at": {"close": media_pb2.Close(frame=160_000)},
    }


def _stream(seed: int) -> list[Request]:
    """Draw good messages in any order, most of them with the number that is due."""
    chance, messages = random.Random(seed), _messages()
    names = [chance.choice(("start", "start", "start", "silent", *messages))]
    names += chance.choices(list(messages), k=chance.randint(0, 15))
    numbers = [chance.choice((index, index, index, index, index, 0, index - 1, index + 1)) for index in range(1, 17)]
    if chance.random() < 0.7:
        numbers = list(range(1, 17))
    return [Request(sequence=max(0, number), **messages[name]) for number, name in zip(numbers, names, strict=False)]


RECORD_CALL = next(method for method in METHODS if method.path.endswith("/RecordCall"))


async def test_good_messages_in_any_order_get_a_clear_status(client: Client, tenant: Tenant) -> None:
    """60 streams, sixteen at once."""
    limit, metadata = asyncio.Semaphore(16), tenant.metadata

    async def run(seed: int) -> Code:
        async with limit:
            requests = [request.SerializeToString() for request in _stream(seed)]
            return await status(client, RECORD_CALL, metadata, requests)

    codes = await asyncio.gather(*(run(seed) for seed in range(60)))
    assert set(codes) - {None} <= CLEAR
    assert grpc.StatusCode.OK in codes


async def test_damaged_messages_of_a_stream_get_a_clear_status(client: Client, tenant: Tenant) -> None:
    """Good streams of which any message may be damaged."""
    limit, metadata = asyncio.Semaphore(16), tenant.metadata

    async def run(seed: int) -> Code:
        chance = random.Random(seed)
        requests = [request.SerializeToString() for request in _stream(seed)]
        requests = [_mutate(data, seed + n) if chance.random() < 0.3 else data for n, data in enumerate(requests)]
        async with limit:
            return await status(client, RECORD_CALL, metadata, requests)

    codes = await asyncio.gather(*(run(seed) for seed in _sample(3)))
    assert set(codes) - {None} <= CLEAR


async def test_streams_that_are_cut_off_anywhere_leave_nothing_behind(
    client: Client, server: Server, tenant: Tenant
) -> None:
    """60 streams cancelled in the middle; then no recording is live and no descriptor is left open."""
    await _settled(server)
    before, metadata = server.file_descriptors(), tenant.metadata
    for seed in range(60):
        stream = aio(client.recorder).RecordCall(metadata=metadata)
        with contextlib.suppress(grpc.aio.AioRpcError):
            await stream.write(_stream(seed)[0])
            if seed % 2:
                await stream.read()
        stream.cancel()
    await _settled(server)
    await _until(lambda: server.file_descriptors() <= before)


async def test_server_is_as_it_was(server: Server, tenant: Tenant) -> None:
    """No live recording, no complaint of its own, and it serves a call."""
    await _settled(server)
    assert server.running
    assert faults(server.log) == []
    async with Client(server.ports.grpc) as client:
        call = await client.call(tenant, ncco={"format": "wav"})
        await call.audio(caller=(0, bytes(32_000)))
        recording = await call.hang_up()
    assert recording.file.frames == 16_000


async def _settled(server: Server) -> None:
    await _until(lambda: _live_recordings(server) == 0)


async def _until(fact: Any) -> None:
    async with asyncio.timeout(15):
        while not await asyncio.to_thread(fact):  # noqa: ASYNC110 - another process's
            await asyncio.sleep(0.1)


def _live_recordings(server: Server) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.ports.metrics}/metrics", timeout=5) as answer:
        found = re.search(r'^recorder_live_recordings{kind="call"} (\S+)$', answer.read().decode(), re.MULTILINE)
    assert found is not None
    return float(found[1])

"""What is wrong is refused by name, leaves nothing half-made behind, and disturbs nobody."""

import asyncio
import io
import uuid
import wave
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from hypothesis import HealthCheck, Phase, given, settings
from tests.harness.client import Client, Metadata, Request, Tenant, bearer, leg, two_legs
from tests.harness.logs import faults
from tests.harness.server import Server
from tests.harness.speech import speech
from tests.unit.domain.option_table import LIMITS, actions, judge

from recorder.v1 import media_pb2, recorder_service_pb2, recording_pb2, recording_service_pb2

# Messages are made of plain values here, and streams fed by hand: more than the stubs know of.
wire: Any = recorder_service_pb2
media: Any = media_pb2
HOUR_FRAMES = 3600 * 16_000
ENDED = {recording_pb2.RECORDING_STATE_AVAILABLE, recording_pb2.RECORDING_STATE_EMPTY}


def aio(thing: object) -> Any:
    """Take a thing of grpc.aio as what it is; the types of grpc know only those of threads."""
    return thing


def message(**fields: Any) -> Request:
    """A request of plain values."""
    return Request(**fields)


Answer = tuple[grpc.StatusCode, error_details_pb2.ErrorInfo]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of this module's own: its log is read."""
    with Server(tmp_path_factory.mktemp("bad-input") / "data", arguments=["--resume-window-s", "1"]) as server:
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


def start(**fields: Any) -> recorder_service_pb2.StartCall:
    """A good start, changed."""
    return recorder_service_pb2.StartCall(**({"recording_id": str(uuid.uuid4()), "legs": two_legs()} | fields))


def opening(**fields: Any) -> Request:
    """A first message with a good start, changed."""
    return message(sequence=1, open=wire.OpenCall(start=start(**fields)))


def ncco(**action: Any) -> Request:
    """A first message with an NCCO action."""
    wanted = start()
    wanted.ncco.update(action)
    return message(sequence=1, open=wire.OpenCall(start=wanted))


def audio(*chunks: tuple[str, int, bytes], sequence: int = 2) -> Request:
    """A message of audio."""
    parts = [media_pb2.AudioChunk(leg_id=name, start_frame=at, payload=data) for name, at, data in chunks]
    return message(sequence=sequence, audio=media_pb2.Audio(chunks=parts))


def control(**action: Any) -> Request:
    """A message of control."""
    return message(sequence=2, control=media.Control(**action))


def dtmf(**press: Any) -> Request:
    """A key press."""
    return message(sequence=2, dtmf=media.Dtmf(**({"leg_id": "caller", "digit": "1"} | press)))


@dataclass(frozen=True, slots=True)
class Case:
    """Requests of which the last one is refused: how, why, and naming which field."""

    name: str
    requests: Callable[[], Sequence[Request]]
    reason: str
    field: str | None = None
    code: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT


def first(name: str, reason: str, field: str, request: Callable[[], Request]) -> Case:
    """A case of a bad first message."""
    return Case(name, lambda: [request()], reason, field)


def later(name: str, reason: str, field: str | None, request: Callable[[], Request]) -> Case:
    """A case of a bad second message."""
    return Case(name, lambda: [opening(), request()], reason, field)


GAP = grpc.StatusCode.OUT_OF_RANGE
CASES = [
    first("audio before open", "OPEN_EXPECTED", "payload", lambda: audio(("caller", 0, bytes(320)), sequence=1)),
    first("nothing before open", "OPEN_EXPECTED", "payload", lambda: message(sequence=1)),
    Case("no message at all", list, "OPEN_EXPECTED", "payload"),
    first("open without target", "INVALID_MESSAGE", "open.target", lambda: message(sequence=1, open={})),
    Case(
        "start numbered 2",
        lambda: [message(sequence=2, open=opening().open)],
        "SEQUENCE_GAP",
        "sequence",
        GAP,
    ),
    Case(
        "resume numbered 1",
        lambda: [message(sequence=1, open={"resume": {"recording_id": str(uuid.uuid4())}})],
        "SEQUENCE_GAP",
        "sequence",
        GAP,
    ),
    Case(
        "resume of nothing",
        lambda: [message(open={"resume": {"recording_id": str(uuid.uuid4())}})],
        "RECORDING_NOT_FOUND",
        None,
        grpc.StatusCode.NOT_FOUND,
    ),
    first(
        "resume of no UUID",
        "INVALID_FIELD",
        "open.resume.recording_id",
        lambda: message(open={"resume": {}}),
    ),
    first("id is no UUID", "INVALID_FIELD", "open.start.recording_id", lambda: opening(recording_id="call-17")),
    first(
        "id in braces", "INVALID_FIELD", "open.start.recording_id", lambda: opening(recording_id=f"{{{uuid.uuid4()}}}")
    ),
    first("conversation", "INVALID_FIELD", "open.start.conversation_id", lambda: opening(conversation_id="CON-1")),
    first("application", "INVALID_FIELD", "open.start.application_id", lambda: opening(application_id="acme")),
    first("no legs", "INVALID_FIELD", "open.start.legs", lambda: opening(legs=[])),
    first("two callers", "DUPLICATE_LEG", "open.start.legs", lambda: opening(legs=[leg("a"), leg("b")])),
    first(
        "leg id twice",
        "DUPLICATE_LEG",
        "open.start.legs",
        lambda: opening(legs=[leg("a"), leg("a", recording_pb2.LEG_ROLE_CALLEE)]),
    ),
    first(
        "three legs",
        "DUPLICATE_LEG",
        "open.start.legs",
        lambda: opening(legs=[*two_legs(), leg("c", recording_pb2.LEG_ROLE_CALLEE)]),
    ),
    first("leg id empty", "INVALID_FIELD", "open.start.legs[0].leg_id", lambda: opening(legs=[leg("")])),
    first("leg id long", "INVALID_FIELD", "open.start.legs[0].leg_id", lambda: opening(legs=[leg("x" * 65)])),
    first(
        "leg role zero",
        "INVALID_FIELD",
        "open.start.legs[0].role",
        lambda: opening(legs=[leg(role=recording_pb2.LEG_ROLE_UNSPECIFIED)]),
    ),
    first(
        "leg encoding zero",
        "INVALID_FIELD",
        "open.start.legs[0].encoding",
        lambda: opening(legs=[leg(encoding=recording_pb2.AUDIO_ENCODING_UNSPECIFIED)]),
    ),
    first(
        "leg rate",
        "INVALID_FIELD",
        "open.start.legs[0].sample_rate_hz",
        lambda: opening(legs=[leg(sample_rate_hz=11_025)]),
    ),
    first("metadata value", "INVALID_FIELD", "open.start.metadata['k']", lambda: opening(metadata={"k": "v" * 513})),
    first(
        "metadata key", "INVALID_FIELD", f"open.start.metadata['{'k' * 64}']", lambda: opening(metadata={"k" * 65: ""})
    ),
    first(
        "metadata keys",
        "INVALID_FIELD",
        "open.start.metadata",
        lambda: opening(metadata={str(n): "" for n in range(33)}),
    ),
    first(
        "bit rate",
        "INVALID_OPTION",
        "open.start.encoder.mp3_bitrate_kbps",
        lambda: opening(encoder={"mp3_bitrate_kbps": 33}),
    ),
    first("quality", "INVALID_OPTION", "open.start.encoder.mp3_quality", lambda: opening(encoder={"mp3_quality": 10})),
    first("NaN", "INVALID_OPTION", "open.start.ncco", lambda: ncco(timeOut=float("nan"))),
    first("infinity", "INVALID_OPTION", "open.start.ncco", lambda: ncco(timeOut=float("inf"))),
    first("event URL", "INVALID_URL", "open.start.ncco.eventUrl", lambda: ncco(eventUrl=["nowhere"])),
    first(
        "event URL endless",
        "INVALID_URL",
        "open.start.ncco.eventUrl",
        lambda: ncco(eventUrl=["http://a:" + "9" * 100_000]),
    ),
    first("ogg", "UNSUPPORTED_FORMAT", "open.start.ncco.format", lambda: ncco(format="ogg")),
    first("talk", "INVALID_OPTION", "open.start.ncco.action", lambda: ncco(action="talk")),
    first("typed format zero", "INVALID_FIELD", "open.start.typed.format", lambda: opening(typed={"format": 0})),
    first("typed split zero", "INVALID_FIELD", "open.start.typed.split", lambda: opening(typed={"split": 0})),
    first(
        "typed method zero",
        "INVALID_FIELD",
        "open.start.typed.event_method",
        lambda: opening(typed={"event_method": 0}),
    ),
    first("typed format unknown", "INVALID_FIELD", "open.start.typed.format", lambda: opening(typed={"format": 99})),
    Case(
        "ack interval",
        lambda: [message(sequence=1, open=wire.OpenCall(start=start(), ack_interval=Duration(seconds=11)))],
        "INVALID_FIELD",
        "open.ack_interval",
    ),
    later("second open", "OPEN_REPEATED", "payload", lambda: message(sequence=2, open=opening().open)),
    later("no payload", "INVALID_MESSAGE", "payload", lambda: message(sequence=2)),
    later("unknown leg", "UNKNOWN_LEG", None, lambda: audio(("nobody", 0, bytes(320)))),
    later("unknown leg endless", "UNKNOWN_LEG", None, lambda: audio(("n" * 100_000, 0, bytes(320)))),
    later("odd payload", "PARTIAL_FRAME", None, lambda: audio(("caller", 0, bytes(321)))),
    later("frame negative", "FRAME_OUT_OF_RANGE", None, lambda: audio(("caller", -1, bytes(320)))),
    later("frame hours ahead", "FRAME_OUT_OF_RANGE", None, lambda: audio(("caller", 2 * HOUR_FRAMES, bytes(320)))),
    later("frame at the end of numbers", "FRAME_OUT_OF_RANGE", None, lambda: audio(("caller", 2**63 - 1, bytes(320)))),
    later("no chunks", "INVALID_MESSAGE", "audio.chunks", audio),
    later("65 chunks", "INVALID_MESSAGE", "audio.chunks", lambda: audio(*[("caller", n, b"\0\0") for n in range(65)])),
    later("chunk above 64 KiB", "INVALID_FIELD", "audio.chunks.payload", lambda: audio(("caller", 0, bytes(65_538)))),
    later("audio numbered 0", "INVALID_FIELD", "sequence", lambda: audio(("caller", 0, bytes(320)), sequence=0)),
    later("pause numbered 0", "INVALID_FIELD", "sequence", lambda: message(control={"pause": {}})),
    later("close numbered 0", "INVALID_FIELD", "sequence", lambda: message(close={})),
    Case("jump", lambda: [opening(), audio(("caller", 0, bytes(320)), sequence=4)], "SEQUENCE_GAP", "sequence", GAP),
    later("control without action", "INVALID_MESSAGE", "control.action", control),
    later("pause mode zero", "INVALID_FIELD", "control.pause.mode", lambda: control(pause={"mode": 0})),
    later("pause frame negative", "FRAME_OUT_OF_RANGE", "control.pause.frame", lambda: control(pause={"frame": -1})),
    later("resume frame ahead", "FRAME_OUT_OF_RANGE", "control.resume.frame", lambda: control(resume={"frame": 2**62})),
    later("stop frame ahead", "FRAME_OUT_OF_RANGE", "control.stop.frame", lambda: control(stop={"frame": 2**62})),
    later(
        "close frame ahead",
        "FRAME_OUT_OF_RANGE",
        "close.frame",
        lambda: message(sequence=2, close={"frame": 2 * HOUR_FRAMES}),
    ),
    later(
        "close frame negative",
        "FRAME_OUT_OF_RANGE",
        "close.frame",
        lambda: message(sequence=2, close={"frame": -5}),
    ),
    later("digit", "INVALID_FIELD", "dtmf.digit", lambda: dtmf(digit="E")),
    later("digits", "INVALID_FIELD", "dtmf.digit", lambda: dtmf(digit="12")),
    later("digit of unknown leg", "UNKNOWN_LEG", None, lambda: dtmf(leg_id="nobody")),
    later("digit duration", "INVALID_FIELD", "dtmf.duration", lambda: dtmf(duration=Duration(seconds=61))),
    later("digit duration endless", "INVALID_FIELD", "dtmf.duration", lambda: dtmf(duration=Duration(seconds=2**62))),
    Case("half-close", lambda: [opening()], "CLOSE_EXPECTED", None, grpc.StatusCode.FAILED_PRECONDITION),
]


async def answer(client: Client, metadata: Metadata, requests: Sequence[Request]) -> Answer:
    """Send requests and a half-close; return how the stream ended.

    What follows the first request waits for its answer: a write that meets the status of a refusal on its way makes
    grpc.aio's client put a status of its own in its place.
    """
    stream: Any = aio(client.recorder).RecordCall(metadata=metadata)
    info = error_details_pb2.ErrorInfo()
    try:
        async with asyncio.timeout(20):
            for index, request in enumerate(requests):
                if index == 1:
                    await stream.read()
                await stream.write(request)
            await stream.done_writing()
            while await stream.read() is not aio(grpc.aio).EOF:
                pass
            return await stream.code(), info
    except grpc.aio.AioRpcError as error:
        status = rpc_status.from_call(aio(error))
        if status is not None:
            assert status.details[0].Unpack(info)
        return error.code(), info


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_bad_message_has_its_own_reason(case: Case, client: Client, tenant: Tenant) -> None:
    """Code, reason, and the field at fault."""
    code, info = await answer(client, tenant.metadata, case.requests())
    assert (code, info.reason) == (case.code, case.reason)
    assert info.domain == "recorder.v1"
    if case.field is not None:
        assert info.metadata["field"] == case.field


async def test_message_above_256_kib_is_refused(client: Client, tenant: Tenant) -> None:
    """By the transport, before it is read."""
    chunks = [("caller", n * 30_000, bytes(60_000)) for n in range(5)]
    code, _ = await answer(client, tenant.metadata, [opening(), audio(*chunks)])
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ((), "MISSING_TOKEN"),
        ((("authorization", ""),), "MISSING_TOKEN"),
        ((("authorization", "Basic YTpi"),), "INVALID_TOKEN"),
        (bearer("not-a-token"), "INVALID_TOKEN"),
        (bearer("a.b.c"), "INVALID_TOKEN"),
        (bearer("x" * 7000), "INVALID_TOKEN"),
        ((*bearer("a.b.c"), *bearer("a.b.c")), "MISSING_TOKEN"),
    ],
    ids=["none", "empty", "basic", "opaque", "forged", "long", "two"],
)
async def test_caller_without_a_good_token_is_refused(metadata: Metadata, reason: str, client: Client) -> None:
    """Before anything of the request is looked at."""
    code, info = await answer(client, metadata, [])
    assert (code, info.reason) == (grpc.StatusCode.UNAUTHENTICATED, reason)


async def test_admin_has_to_name_an_application_that_exists(client: Client, server: Server) -> None:
    """None is one error, an unknown one another."""
    metadata = bearer(server.admin_token)
    code, info = await answer(client, metadata, [opening()])
    assert (code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert info.metadata["field"] == "open.start.application_id"
    code, info = await answer(client, metadata, [opening(application_id=str(uuid.uuid4()))])
    assert (code, info.reason) == (grpc.StatusCode.NOT_FOUND, "APPLICATION_NOT_FOUND")


async def test_application_cannot_record_for_another(client: Client, server: Server, tenant: Tenant) -> None:
    """Nor take an id that another's recording has."""
    other = await client.create_tenant(server.admin_token)
    code, info = await answer(client, tenant.metadata, [opening(application_id=other.application_id)])
    assert (code, info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ADMIN_ONLY")
    taken = opening()
    await answer(client, other.metadata, [taken])
    code, info = await answer(client, tenant.metadata, [taken])
    assert (code, info.reason) == (grpc.StatusCode.ALREADY_EXISTS, "RECORDING_EXISTS")


async def test_recordings_begun_by_bad_streams_all_come_to_an_end(client: Client, server: Server) -> None:
    """Interrupted ones end after the resume window; nothing stays half-made."""
    async with asyncio.timeout(20):
        while (states := await _states(client, server)) and not states <= ENDED:  # noqa: ASYNC110 - another process's
            await asyncio.sleep(0.1)


async def _states(client: Client, server: Server) -> set[int]:
    states: set[int] = set()
    token = ""
    while True:
        request = recording_service_pb2.ListRecordingsRequest(page_size=500, page_token=token)
        page = await client.recordings.ListRecordings(request, metadata=bearer(server.admin_token))
        states |= {recording.state for recording in page.recordings}
        if not (token := page.next_page_token):
            return states


async def test_audio_before_a_bad_message_is_kept(client: Client, tenant: Tenant) -> None:
    """The recording is interrupted: it ends with what was good, and says so."""
    recording_id = str(uuid.uuid4())
    good = audio(("caller", 0, bytes(32_000)), ("callee", 0, bytes(32_000)))
    bad = audio(("caller", 16_000, bytes(321)), sequence=3)
    _, info = await answer(client, tenant.metadata, [opening(recording_id=recording_id), good, bad])
    assert info.reason == "PARTIAL_FRAME"
    recording = await client.ended(tenant, recording_id)
    assert recording.state == recording_pb2.RECORDING_STATE_AVAILABLE
    assert recording.stop_reason == recording_pb2.STOP_REASON_INTERRUPTED
    assert recording.file.frames == 16_000


async def test_healthy_call_is_undisturbed_while_all_of_it_happens(client: Client, tenant: Tenant) -> None:
    """Its file equals what was sent, sample for sample."""
    left, right = speech(3), speech(3, first=7)
    metadata = tenant.metadata
    healthy = await client.call(tenant, ncco={"format": "wav", "split": "conversation"})
    step = 1600

    async def talk() -> None:
        for at in range(0, len(left), step):
            await healthy.audio(
                caller=(at, left[at : at + step].tobytes()), callee=(at, right[at : at + step].tobytes())
            )
            await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as group:
        group.create_task(talk())
        for case in CASES:
            group.create_task(answer(client, metadata, case.requests()))
    recording = await healthy.hang_up()
    data = b""
    request = recording_service_pb2.DownloadRecordingRequest(recording_id=recording.recording_id)
    async for piece in client.recordings.DownloadRecording(request, metadata=tenant.metadata):
        data += piece.chunk
    with wave.open(io.BytesIO(data)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, 2).T
    np.testing.assert_array_equal(pcm, np.stack([left, right]))


def _sample(count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(action=actions)
    def collect(action: dict[str, Any]) -> None:
        found.append(action)

    collect()
    return found


async def test_random_options_are_taken_or_refused_by_the_server_as_the_table_says(
    client: Client, tenant: Tenant
) -> None:
    """200 actions: what is refused names field, value and range; what is taken is echoed."""
    limit, metadata = asyncio.Semaphore(16), tenant.metadata

    async def check(action: dict[str, Any]) -> bool:
        verdict = judge(action)
        request = ncco(**action)
        async with limit:
            code, info = await answer(client, metadata, [request, message(sequence=2, close={})])
        if code is grpc.StatusCode.OK:
            assert verdict.accepted, f"{action} was taken but the table says {verdict.faults}"
            return True
        name = info.metadata["field"].removeprefix("open.start.ncco.")
        assert (name, info.reason) in verdict.faults, f"{action}: {info} but the table says {verdict}"
        assert "value" in info.metadata
        if name in LIMITS and "allowed" in info.metadata:
            low, high = LIMITS[name]
            assert info.metadata["allowed"] == f"{low}..{high}"
        return False

    taken = await asyncio.gather(*(check(action) for action in _sample(200)))
    assert 20 < sum(taken) < 180


def test_log_tells_of_no_fault_of_the_server(server: Server) -> None:
    """All of it was the caller's."""
    assert faults(server.log) == []

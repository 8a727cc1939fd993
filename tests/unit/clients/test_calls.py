"""The client side of a recording stream, against a real gRPC server of the contract."""

import asyncio

import pytest
from tests.unit.clients.contract_server import ContractServer

from recorder.channel import Client, connect
from recorder.errors import RecorderError
from recorder.line import CallSettings
from recorder.v1.media_pb2 import Audio
from recorder.v1.recorder_service_pb2 import StartCall
from recorder.v1.recording_pb2 import (
    AUDIO_ENCODING_LINEAR16,
    AUDIO_ENCODING_MULAW,
    LEG_ROLE_CALLEE,
    LEG_ROLE_CALLER,
    PAUSE_MODE_CUT,
    RECORDING_STATE_AVAILABLE,
    STOP_REASON_REQUESTED,
    Leg,
)

CALLER = Leg(leg_id="caller", role=LEG_ROLE_CALLER, encoding=AUDIO_ENCODING_LINEAR16, sample_rate_hz=8000)
CALLEE = Leg(leg_id="callee", role=LEG_ROLE_CALLEE, encoding=AUDIO_ENCODING_MULAW, sample_rate_hz=16000)
START = StartCall(legs=[CALLER, CALLEE])
FAST = CallSettings(message_ms=100, reconnect_for_s=5, connect_for_s=2)


def audio_of(server: ContractServer, recording_id: str) -> list[Audio]:
    requests = server.recorder.recordings[recording_id].requests.values()
    return [request.audio for request in requests if request.HasField("audio")]


def leg_bytes(server: ContractServer, recording_id: str, leg_id: str) -> bytes:
    """Put a leg's chunks together, checking that they follow each other to the frame."""
    data = bytearray()
    frame_bytes = 2 if leg_id == "caller" else 1
    for audio in audio_of(server, recording_id):
        for chunk in audio.chunks:
            if chunk.leg_id == leg_id:
                assert chunk.start_frame * frame_bytes == len(data)
                data += chunk.payload
    return bytes(data)


async def test_both_legs_arrive_whole_and_at_their_frames(server: ContractServer, client: Client) -> None:
    """What 20 ms writes of two legs put in is what the server holds, byte for byte."""
    caller = bytes(range(256)) * 25
    callee = bytes(reversed(range(256))) * 25
    async with client.record_call(START, FAST) as call:
        for step in range(20):
            caller_piece, callee_piece = slice(step * 320, step * 320 + 320), slice(step * 320, step * 320 + 320)
            await call.write({"caller": caller[caller_piece], "callee": callee[callee_piece]})
        await call.close()
        recording = await call.completed()
    assert recording.state == RECORDING_STATE_AVAILABLE
    assert leg_bytes(server, call.recording_id, "caller") == caller[:6400]
    assert leg_bytes(server, call.recording_id, "callee") == callee[:6400]


async def test_20_ms_writes_become_100_ms_messages_of_both_legs(server: ContractServer, client: Client) -> None:
    """Ten writes of 20 ms of both legs travel as two messages with one chunk a leg."""
    async with client.record_call(START, FAST) as call:
        for _ in range(10):
            await call.write({"caller": bytes(320), "callee": bytes(320)})
        await call.close()
    messages = audio_of(server, call.recording_id)
    assert [[(chunk.leg_id, len(chunk.payload)) for chunk in audio.chunks] for audio in messages] == [
        [("caller", 1600), ("callee", 1600)],
        [("caller", 1600), ("callee", 1600)],
    ]


async def test_audio_that_stays_alone_is_sent_after_message_time(server: ContractServer, client: Client) -> None:
    """A single 20 ms chunk does not wait for company."""
    async with client.record_call(START, FAST) as call:
        await call.write({"caller": bytes(320)})
        await asyncio.sleep(0.4)
        assert leg_bytes(server, call.recording_id, "caller") == bytes(320)
        await call.close()


async def test_a_frame_given_by_the_caller_is_kept(server: ContractServer, client: Client) -> None:
    """A gap in the media clock stays a gap: nothing slides."""
    async with client.record_call(START, FAST) as call:
        await call.write({"caller": bytes(320)})
        await call.write({"caller": bytes(320)}, {"caller": 8000})
        await call.close()
    chunks = [chunk for audio in audio_of(server, call.recording_id) for chunk in audio.chunks]
    assert [chunk.start_frame for chunk in chunks] == [0, 8000]


async def test_lost_line_is_resumed_and_replayed(server: ContractServer, client: Client) -> None:
    """After two broken lines the server holds every byte once, and was asked to resume with sequence 0."""
    server.recorder.behaviour.break_after = [3, 7]
    data = bytes(range(200)) * 80
    async with client.record_call(START, FAST) as call:
        for start in range(0, len(data), 1600):
            await call.write({"caller": data[start : start + 1600]})
        await call.close()
        await call.completed()
    assert leg_bytes(server, call.recording_id, "caller") == data
    assert [(opening.sequence, opening.open.WhichOneof("target")) for opening in server.recorder.opens] == [
        (1, "start"),
        (0, "resume"),
        (0, "resume"),
    ]


async def test_drain_makes_the_client_come_back(server: ContractServer, client: Client) -> None:
    """A server that is going down is left and asked again."""
    server.recorder.behaviour.drain_at = 3
    async with client.record_call(START, FAST) as call:
        await call.write({"caller": bytes(16_000)})
        await asyncio.wait_for(server.recorder.opened_again.wait(), 5)
        await call.close()
        await call.completed()
    assert leg_bytes(server, call.recording_id, "caller") == bytes(16_000)


async def test_open_lost_before_its_answer_starts_again_with_the_same_id(
    server: ContractServer, client: Client
) -> None:
    """A start without an answer is repeated, not resumed, under one id."""
    server.recorder.behaviour.refuse_open = ["JOURNAL_FAILED"]
    async with client.record_call(START, FAST) as call:
        await call.close()
    opens = server.recorder.opens
    assert [opening.open.WhichOneof("target") for opening in opens] == ["start", "start"]
    assert {opening.open.start.recording_id for opening in opens} == {call.recording_id}


async def test_retry_info_is_waited_for(server: ContractServer, client: Client) -> None:
    """A full server is asked again when it said."""
    server.recorder.behaviour.refuse_open = ["TOO_MANY_RECORDINGS"]
    server.recorder.behaviour.retry_ms = 300
    began = asyncio.get_running_loop().time()
    async with client.record_call(START, FAST) as call:
        await call.close()
    assert asyncio.get_running_loop().time() - began >= 0.3


async def test_refusal_is_raised_on_entering(server: ContractServer, client: Client) -> None:
    """What can never succeed is raised with its reason and facts, and not tried again."""
    server.recorder.behaviour.refuse_open = ["UNKNOWN_LEG"]
    with pytest.raises(RecorderError) as refusal:
        async with client.record_call(START, FAST):
            pass
    error = refusal.value
    assert (error.reason, error.status, error.metadata) == ("UNKNOWN_LEG", "INVALID_ARGUMENT", {"field": "open"})
    assert not error.retryable
    assert len(server.recorder.opens) == 1


async def test_unreachable_server_is_reported_after_the_time_given() -> None:
    """With nobody listening the call fails as UNAVAILABLE, in bounded time."""
    async with connect("127.0.0.1:1") as client:
        with pytest.raises(RecorderError) as refusal:
            async with client.record_call(START, CallSettings(connect_for_s=0.5)):
                pass
    assert refusal.value.reason == "UNAVAILABLE"
    assert refusal.value.retryable


async def test_server_that_stops_the_recording_ends_the_call(server: ContractServer, client: Client) -> None:
    """After `stopped` writes are dropped and the recording comes with `completed`."""
    server.recorder.behaviour.stop_at = 4
    async with client.record_call(START, FAST) as call:
        for _ in range(200):
            await call.write({"caller": bytes(1600)})
            await asyncio.sleep(0)
            if call.stopped is not None:
                break
        recording = await call.completed()
        await call.write({"caller": bytes(1600)})
        await call.close()
    assert call.stopped is not None
    assert recording.stop_reason == STOP_REASON_REQUESTED


async def test_recording_that_ended_while_the_line_was_away_is_asked_for(
    server: ContractServer, client: Client
) -> None:
    """A resume refused with RECORDING_NOT_LIVE gives the outcome by GetRecording."""
    server.recorder.behaviour.break_after = [2]
    server.recorder.behaviour.refuse_resume = ["RECORDING_NOT_LIVE"]
    async with client.record_call(START, FAST) as call:
        held = server.recorder.recordings[call.recording_id].recording
        held.state = RECORDING_STATE_AVAILABLE
        held.stop_reason = STOP_REASON_REQUESTED
        held.file.frames = 12_000
        held.pauses.add(start_frame=1000, end_frame=5000, mode=PAUSE_MODE_CUT)
        await call.write({"caller": bytes(1600)})
        recording = await call.completed()
    assert recording.state == RECORDING_STATE_AVAILABLE
    assert call.stopped is not None
    assert (call.stopped.reason, call.stopped.frame) == (STOP_REASON_REQUESTED, 16_000)


async def test_resume_that_is_refused_fails_the_call(server: ContractServer, client: Client) -> None:
    """A server that does not know the recording any more is not asked for ever."""
    server.recorder.behaviour.break_after = [2]
    server.recorder.behaviour.refuse_resume = ["RECORDING_NOT_FOUND"]
    async with client.record_call(START, FAST) as call:
        await call.write({"caller": bytes(1600)})
        with pytest.raises(RecorderError, match="RECORDING_NOT_FOUND"):
            await call.completed()
        with pytest.raises(RecorderError, match="RECORDING_NOT_FOUND"):
            await call.write({"caller": bytes(1600)})


async def test_write_waits_while_too_much_is_unacknowledged(server: ContractServer, client: Client) -> None:
    """The buffer is bounded: a server that does not acknowledge stops the writer."""
    server.recorder.behaviour.acknowledging.clear()
    async with client.record_call(START, CallSettings(buffer_bytes=8000)) as call:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await call.write({"caller": bytes(160_000)})
        server.recorder.behaviour.acknowledging.set()
        async with asyncio.timeout(5):
            await call.write({"caller": bytes(160_000)})


async def test_messages_of_the_server_are_given_in_order_without_acks(server: ContractServer, client: Client) -> None:
    """A reader sees opened, stopped and completed."""
    async with client.record_call(START, FAST) as call:
        await call.write({"caller": bytes(1600)})
        await call.close()
        kinds = [message.WhichOneof("payload") async for message in call]
    assert kinds == ["opened", "stopped", "completed"]


async def test_keys_and_control_keep_their_place_among_the_audio(server: ContractServer, client: Client) -> None:
    """A key press comes after the audio written before it, at the frame where that ended."""
    async with client.record_call(START, FAST) as call:
        await call.write({"caller": bytes(320)})
        await call.dtmf("caller", "5", duration_ms=120)
        await call.pause()
        await call.resume(16_000)
        await call.stop()
        await call.close(32_000)
    requests = server.recorder.recordings[call.recording_id].requests
    assert [requests[sequence].WhichOneof("payload") for sequence in sorted(requests)] == [
        "audio", "dtmf", "control", "control", "control", "close",
    ]  # fmt: skip
    assert (requests[3].dtmf.frame, requests[3].dtmf.duration.ToMilliseconds()) == (160, 120)
    assert requests[5].control.resume.frame == 16_000
    assert requests[7].close.frame == 32_000


async def test_every_opening_asks_for_a_token(server: ContractServer) -> None:
    """A resumed stream carries a fresh token, not the one that may have expired."""
    server.recorder.behaviour.break_after = [2]
    numbers = iter(range(100))
    async with (
        connect(server.target, token=lambda: f"token-{next(numbers)}") as client,
        client.record_call(START, FAST) as call,
    ):
        await call.write({"caller": bytes(3200)})
        await call.close()
    assert server.recorder.tokens == ["Bearer token-0", "Bearer token-1"]


async def test_unknown_leg_and_half_frames_are_refused_before_sending(server: ContractServer, client: Client) -> None:
    """Mistakes of the program are ValueErrors that name the leg."""
    async with client.record_call(START, FAST) as call:
        with pytest.raises(ValueError, match="'third' is not one of this call's"):
            await call.write({"third": b"12"})
        with pytest.raises(ValueError, match="leg caller has 3 bytes"):
            await call.write({"caller": b"123"})


async def test_leaving_the_block_hangs_up(server: ContractServer, client: Client) -> None:
    """A program that forgets `close` loses nothing."""
    async with client.record_call(START, FAST) as call:
        await call.write({"caller": bytes(320)})
    requests = server.recorder.recordings[call.recording_id].requests
    assert [request.WhichOneof("payload") for request in requests.values()] == ["audio", "close"]


async def test_error_of_the_program_saves_what_was_written_without_hanging_up(
    server: ContractServer, client: Client
) -> None:
    """The last 20 ms, still held for company, are sent; the recording may be resumed."""
    call = client.record_call(START, FAST)

    async def fail() -> None:
        async with call:
            await call.write({"caller": bytes(320)})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    requests = server.recorder.recordings[call.recording_id].requests
    assert [request.WhichOneof("payload") for request in requests.values()] == ["audio"]


async def test_durable_frames_follow_the_acknowledgements(server: ContractServer, client: Client) -> None:
    """Nothing is safe before the server said so; then each leg stands at its own frame."""
    server.recorder.behaviour.acknowledging.clear()
    async with client.record_call(START, FAST) as call:
        await call.write({"caller": bytes(3200), "callee": bytes(800)}, {"callee": 16_000})
        assert call.durable_frames == {"caller": 0, "callee": 0}
        server.recorder.behaviour.acknowledging.set()
        await call.durable()
        assert call.durable_frames == {"caller": 1600, "callee": 16_800}

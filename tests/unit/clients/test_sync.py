"""The client without an event loop, against a real gRPC server of the contract in another thread."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from tests.unit.clients.contract_server import ContractServer, serve
from tests.unit.clients.test_calls import leg_bytes

from recorder.errors import RecorderError
from recorder.line import CallSettings
from recorder.ncco import callee, caller, start_call
from recorder.sync import Client, LoopThread, connect
from recorder.v1.event_service_pb2 import SubscribeEventsRequest
from recorder.v1.recording_pb2 import RECORDING_STATE_AVAILABLE

START = start_call([caller(sample_rate_hz=8000), callee("mulaw")])
FAST = CallSettings(message_ms=100, reconnect_for_s=5, connect_for_s=2)


@pytest.fixture
def server() -> Iterator[ContractServer]:
    """A contract server on a loop of its own."""
    thread = LoopThread()
    serving = serve()

    async def start() -> ContractServer:
        return await anext(serving)

    async def stop() -> None:
        await anext(serving, None)

    yield thread.run(start())
    thread.run(stop())
    thread.close()


@pytest.fixture
def client(server: ContractServer) -> Iterator[Client]:
    with connect(server.target, token="test-token") as client:
        yield client


def test_call_of_two_legs_arrives_whole(server: ContractServer, client: Client) -> None:
    """Leaving the block hangs up: every byte that was written is with the server."""
    data = bytes(range(256)) * 25
    with client.record_call(START, FAST) as call:
        for at in range(0, len(data), 320):
            call.write({"caller": data[at : at + 320], "callee": data[at : at + 320]})
    assert leg_bytes(server, call.recording_id, "caller") == data
    assert leg_bytes(server, call.recording_id, "callee") == data
    assert call.durable_frames == {"caller": len(data) // 2, "callee": len(data)}


def test_completed_recording_and_messages_are_given(client: Client) -> None:
    """The messages end with the recording."""
    with client.record_call(START, FAST) as call:
        call.write({"caller": bytes(1600)})
        call.close()
        kinds = [message.WhichOneof("payload") for message in call.events()]
        assert call.completed().state == RECORDING_STATE_AVAILABLE
    assert kinds == ["opened", "stopped", "completed"]


def test_lost_line_is_resumed_while_the_program_does_something_else(server: ContractServer, client: Client) -> None:
    """Two broken lines cost nothing."""
    server.recorder.behaviour.break_after = [3, 7]
    data = bytes(range(200)) * 80
    with client.record_call(START, FAST) as call:
        for at in range(0, len(data), 1600):
            call.write({"caller": data[at : at + 1600]})
    assert leg_bytes(server, call.recording_id, "caller") == data


def test_refusal_is_raised_in_the_thread_that_asked(server: ContractServer, client: Client) -> None:
    """The block is not entered."""
    server.recorder.behaviour.refuse_open = ["UNKNOWN_LEG"]
    with pytest.raises(RecorderError) as refusal, client.record_call(START, FAST):
        pytest.fail("the block was entered")
    assert (refusal.value.reason, refusal.value.retryable) == ("UNKNOWN_LEG", False)


def test_error_of_the_program_saves_what_was_written(server: ContractServer, client: Client) -> None:
    """The program's own error comes through, and its audio is with the server, without a hang-up."""
    call = client.record_call(START, FAST)

    def fail() -> None:
        with call:
            call.write({"caller": bytes(320)})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    requests = server.recorder.recordings[call.recording_id].requests
    assert [request.WhichOneof("payload") for request in requests.values()] == ["audio"]


def test_two_threads_write_a_leg_each(server: ContractServer, client: Client) -> None:
    """Legs from two threads end up in one recording, each whole."""
    data = bytes(range(256)) * 50

    def send(leg_id: str) -> None:
        for at in range(0, len(data), 160):
            call.write({leg_id: data[at : at + 160]})

    with client.record_call(START, FAST) as call:
        threads = [threading.Thread(target=send, args=(leg_id,)) for leg_id in ("caller", "callee")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert leg_bytes(server, call.recording_id, "caller") == data
    assert leg_bytes(server, call.recording_id, "callee") == data


def test_events_are_given_with_their_cursor(client: Client) -> None:
    """Three events, and the place to go on from."""
    feed = client.subscribe(SubscribeEventsRequest(from_oldest=True), reconnect_for_s=5)
    seen = [event.event_id for event, _ in zip(feed, range(3), strict=False)]
    assert seen == ["event 1", "event 2", "event 3"]
    assert feed.cursor in {"3", "4"}


def test_closed_client_says_so(server: ContractServer) -> None:
    """A client that was closed is not used by mistake."""
    client = connect(server.target)
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.recording("any")


def test_call_that_waits_ends_with_its_client(server: ContractServer) -> None:
    """Closing the client in another thread ends a wait; nothing hangs."""
    client = connect(server.target)
    call = client.record_call(START, FAST)
    call.__enter__()
    waiting = asyncio.run(_closed_meanwhile(client, call.completed))
    assert isinstance(waiting, RuntimeError | RecorderError)


async def _closed_meanwhile(client: Client, wait: object) -> BaseException | None:
    assert callable(wait)
    task = asyncio.create_task(asyncio.to_thread(wait))
    await asyncio.to_thread(client.close)
    return (await asyncio.gather(task, return_exceptions=True))[0]

"""The way back on a stream."""

import asyncio
import uuid

import pytest
from tests.contract.catalog.values import a_full_recording

from recorder.v1 import recording_pb2
from recorder_service.api.outlet import StreamOutlet
from recorder_service.domain.recording import StopReason
from recorder_service.errors import Conflict, Reason
from recorder_service.sessions.notices import Ack, Completed, Drain, Play, Stopped


class Urls:
    """Files are at a place."""

    def url(self, file_id: uuid.UUID) -> str:
        """Name it."""
        return f"https://r.example/{file_id}"


async def test_acknowledgements_not_yet_sent_are_replaced() -> None:
    """A client that never reads costs one number."""
    outlet = StreamOutlet(Urls())
    for sequence in range(1, 1000):
        outlet.send(Ack(sequence))
    message = await outlet.next()
    assert message is not None
    assert message.ack.sequence == 999
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(outlet.next(), 0.05)


async def test_everything_else_comes_in_order_after_what_is_acknowledged() -> None:
    """Each notice as the contract's message."""
    outlet, recording = StreamOutlet(Urls()), a_full_recording()
    for notice in (Play("a", 0, b"x"), Stopped(StopReason.KEY, 5), Drain(1.5), Completed(recording)):
        outlet.send(notice)
    outlet.send(Ack(7))
    messages = [await outlet.next() for _ in range(5)]
    assert [message and message.WhichOneof("payload") for message in messages] == [
        "ack",
        "play",
        "stopped",
        "drain",
        "completed",
    ]
    assert messages[2] is not None
    assert (messages[2].stopped.reason, messages[2].stopped.frame) == (recording_pb2.STOP_REASON_KEY, 5)
    assert messages[3] is not None
    assert messages[3].drain.retry_after.ToMilliseconds() == 1500


async def test_error_ends_the_stream_once_what_was_said_is_out() -> None:
    """Also where somebody waits already."""
    outlet = StreamOutlet(Urls())
    waiting = asyncio.create_task(outlet.next())
    await asyncio.sleep(0)
    outlet.send(Ack(1))
    outlet.fail(Conflict(Reason.STREAM_REPLACED, "another one"))
    message = await waiting
    assert message is not None
    assert message.ack.sequence == 1
    with pytest.raises(Conflict):
        await outlet.next()

"""Limits of the bridges' listeners, in one process: nothing here gets as far as a recording."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from recorder.calls import Call
from recorder.line import CallSettings
from recorder.v1.recorder_service_pb2 import StartCall
from recorder_bridges.admission import Admission
from recorder_bridges.audiosocket import HANGUP, UUID, AudioSocketServer
from recorder_bridges.sessions import Limits, Recording
from recorder_bridges.vonage import VonageSession
from recorder_bridges.websocket import WebSocketServer

SHORT = Limits(connections=1, message_bytes=1000, handshake_s=0.3, idle_s=0.6)
NOWHERE = Admission([ipaddress.ip_network("192.0.2.0/24")])
GOODBYE = bytes((HANGUP, 0, 0))


class NoRecorder:
    """Is never asked."""

    def record_call(self, start: StartCall, settings: CallSettings | None = None) -> Call:
        raise AssertionError("a recording was begun")


RECORDING = Recording(NoRecorder())


@asynccontextmanager
async def audiosocket(admission: Admission | None = None) -> AsyncIterator[int]:
    server = AudioSocketServer(RECORDING, admission or Admission(), SHORT)
    yield await server.listen("127.0.0.1", 0)
    await server.stop()


@asynccontextmanager
async def vonage(admission: Admission | None = None) -> AsyncIterator[str]:
    server = WebSocketServer(
        "vonage", lambda connection: VonageSession(connection, RECORDING, SHORT).run(), admission or Admission(), SHORT
    )
    yield f"ws://127.0.0.1:{await server.listen('127.0.0.1', 0)}/"
    await server.stop()


async def said(port: int, data: bytes) -> bytes:
    """Dial, say something, and wait for the other side to hang up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


@pytest.mark.parametrize(
    "data", [b"", b"\x01\x00", bytes((UUID, 0, 16)) + bytes(16)], ids=["nothing", "half", "no audio"]
)
async def test_silent_asterisk_is_given_up_on(data: bytes) -> None:
    """Nothing, half a frame, or a UUID without a call."""
    async with audiosocket() as port:
        assert await said(port, data) == GOODBYE


async def test_large_frame_is_refused_by_its_header() -> None:
    """Its payload is not waited for."""
    async with audiosocket() as port:
        assert await said(port, bytes((UUID, 255, 255))) == GOODBYE


async def test_call_that_ends_before_any_audio_leaves_no_recording() -> None:
    """A UUID and a hang-up."""
    async with audiosocket() as port:
        assert await said(port, bytes((UUID, 0, 16)) + bytes(16) + GOODBYE) == GOODBYE


async def test_second_asterisk_is_turned_away_when_there_is_one_place() -> None:
    """The first one keeps its own."""
    async with audiosocket() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await said(port, b"") == GOODBYE
        assert await asyncio.wait_for(reader.read(), 10) == GOODBYE
        writer.close()


async def test_other_networks_are_turned_away() -> None:
    """Over TCP without a word, over WebSocket with 403."""
    async with audiosocket(NOWHERE) as port:
        assert await said(port, b"") == GOODBYE
    async with vonage(NOWHERE) as url:
        with pytest.raises(InvalidStatus, match="403"):
            await connect(url)


async def test_silent_websocket_is_given_up_on() -> None:
    """A sender that never greets is closed with 1008."""
    async with vonage() as url, connect(url) as connection:
        await asyncio.wait_for(connection.wait_closed(), 10)
        assert (connection.close_code, connection.close_reason) == (1008, "timeout")


def test_labels_are_what_recorder_can_keep() -> None:
    """Nested and empty values are left out, long ones cut, 32 at most; only CON-UUID names a conversation."""
    began: list[StartCall] = []

    class Began(NoRecorder):
        def record_call(self, start: StartCall, settings: CallSettings | None = None) -> Call:
            began.append(start)
            return super().record_call(start)

    conversation = "CON-aaaaaaaa-0000-4000-8000-000000000001"
    labels: dict[str, object] = {"a": "b", "nested": {}, "empty": "", "long": "x" * 600, "k" * 65: "v", "n": 5}
    for given in (conversation, "CON-x"):
        more = {f"key{number}": "v" for number in range(40)}
        with pytest.raises(AssertionError):
            Recording(Began()).call([], {**labels, "conversation_uuid": given, **more})
    assert [start.conversation_id for start in began] == [conversation, ""]
    kept = dict(began[0].metadata)
    assert len(kept) == 32
    assert (kept["a"], kept["n"], len(kept["long"])) == ("b", "5", 512)
    assert not {"nested", "empty", "k" * 65} & set(kept)

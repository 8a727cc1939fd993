"""How the reader of a stream deals with messages: audio in rounds, everything else at once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from recorder.v1 import media_pb2, recorder_service_pb2
from recorder_service.api.recording_stream import RecordingStream
from recorder_service.api.rounds import Rounds
from recorder_service.errors import BadInput, Conflict, Reason

Request = recorder_service_pb2.RecordCallRequest
INTERVAL_S = 0.1


class Taken:
    """What a stream fed: sequences of audio, and other payloads by name."""

    over = True
    next_sequence = 1

    def __init__(self, wrong: int = 0) -> None:
        self.wrong = wrong
        self.all: list[int | str] = []

    def receive_audio(self, sequence: int, _chunks: Sequence[Any]) -> None:
        if sequence == self.wrong:
            raise BadInput(Reason.INVALID_FIELD, "wrong", field="audio", value=sequence)
        self.all.append(sequence)

    def congested(self) -> bool:
        return False

    def attach(self, _outlet: Any, _ack_interval_s: float) -> None:
        pass

    def detach(self, _outlet: Any) -> None:
        pass


class Silent:
    """A way back, and a context, that never say anything."""

    async def next(self) -> Any:
        await asyncio.Event().wait()

    async def write(self, _message: Any) -> None:
        pass


class Stream(RecordingStream[Any, Any, Any, Any]):
    """One that opens what it is given."""

    last_payload = "completed"

    def __init__(self, rounds: Rounds, taken: Taken) -> None:
        outlet: Any = Silent()
        super().__init__(outlet, Silent(), 0.5, rounds)
        self.taken = taken

    async def open(self, opening: Any, sequence: int) -> tuple[Any, tuple[str, ...]]:
        return self.taken, ()

    def opened(self, source: Any, warnings: tuple[str, ...]) -> Any:
        return None

    async def take(self, source: Any, request: Any) -> None:
        source.all.append(request.WhichOneof("payload"))


def audio(sequence: int) -> Request:
    chunks = [media_pb2.AudioChunk(leg_id="a", payload=b"\0\0")]
    return Request(sequence=sequence, audio=media_pb2.Audio(chunks=chunks))


async def messages(*what: Request | float) -> AsyncIterator[Request]:
    """Open, yield messages, and wait between them for so many seconds."""
    yield Request(sequence=1, open=recorder_service_pb2.OpenCall())
    for one in what:
        if isinstance(one, float):
            await asyncio.sleep(one)
        else:
            yield one


@contextlib.asynccontextmanager
async def fed(stream: Stream, *what: Request) -> AsyncIterator[None]:
    """Have a stream take messages, then nothing until its line is cut at the end of the block."""
    running = asyncio.ensure_future(stream.run(messages(*what, 600.0)))
    yield
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_audio_waits_for_its_round() -> None:
    """It is taken without another message that would push it."""
    taken = Taken()
    async with fed(Stream(Rounds(INTERVAL_S), taken), audio(2)):
        await asyncio.sleep(INTERVAL_S / 2)
        assert taken.all == []
        await asyncio.sleep(INTERVAL_S)
        assert taken.all == [2]


async def test_key_press_waits_for_no_round_and_comes_after_the_audio_before_it() -> None:
    """Nor does anything else that is not audio."""
    taken = Taken()
    key = Request(sequence=3, dtmf=media_pb2.Dtmf(digit="5"))
    async with fed(Stream(Rounds(600.0), taken), audio(2), key):
        await asyncio.sleep(INTERVAL_S)
        assert taken.all == [2, "dtmf"]


async def test_audio_that_waits_when_the_line_is_cut_is_recorded() -> None:
    """It had arrived."""
    taken = Taken()
    async with fed(Stream(Rounds(600.0), taken), audio(2)):
        await asyncio.sleep(INTERVAL_S)
        assert taken.all == []
    assert taken.all == [2]


async def test_audio_that_waits_when_the_requests_end_is_recorded() -> None:
    """A lost client looks like that too; then the stream says that `close` is missing, and after what."""
    taken = Taken()
    taken.over = False
    with pytest.raises(Conflict) as caught:
        await Stream(Rounds(600.0), taken).run(messages(audio(2)))
    assert caught.value.reason is Reason.CLOSE_EXPECTED
    assert taken.all == [2]


async def test_wrong_audio_ends_the_stream_in_its_round() -> None:
    """Although nothing else comes that it could be told with."""
    stream = Stream(Rounds(INTERVAL_S), Taken(wrong=2))
    with pytest.raises(BadInput):
        await asyncio.wait_for(stream.run(messages(audio(2), 600.0)), 5)


async def test_without_rounds_audio_is_taken_as_it_comes() -> None:
    """Where the moment of its arrival says something."""
    taken = Taken()
    async with fed(Stream(Rounds(0), taken), audio(2), audio(3)):
        await asyncio.sleep(INTERVAL_S)
        assert taken.all == [2, 3]

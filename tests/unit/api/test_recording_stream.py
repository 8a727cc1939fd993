"""How the reader of a stream deals with messages: audio in rounds, everything else at once."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from recorder.v1 import media_pb2, recorder_service_pb2
from recorder_service.api.recording_stream import RecordingStream
from recorder_service.api.rounds import Rounds

Request = recorder_service_pb2.RecordCallRequest
INTERVAL_S = 0.1
APART_S = 0.2


class Taken:
    """What a stream fed, and when."""

    over = True
    next_sequence = 1

    def __init__(self) -> None:
        self.audio_s: list[float] = []
        self.other_s: list[float] = []

    def receive_audio(self, _sequence: int, _chunks: Sequence[Any]) -> None:
        self.audio_s.append(time.monotonic())

    def congested(self) -> bool:
        return False


class Stream(RecordingStream[Any, Any, Any, Any]):
    """One that opens nothing."""

    last_payload = "completed"

    async def open(self, opening: Any, sequence: int) -> tuple[Any, tuple[str, ...]]:
        raise NotImplementedError

    def opened(self, source: Any, warnings: tuple[str, ...]) -> Any:
        raise NotImplementedError

    async def take(self, source: Any, request: Any) -> None:
        source.other_s.append(time.monotonic())


def a_stream(rounds: Rounds | None) -> Stream:
    outlet: Any = None
    return Stream(outlet, None, 0.5, rounds)


def audio() -> Request:
    return Request(sequence=2, audio=media_pb2.Audio(chunks=[media_pb2.AudioChunk(leg_id="a", payload=b"\0\0")]))


async def after(*waits: tuple[float, Request]) -> AsyncIterator[Request]:
    """Yield messages, each so long after the one before."""
    for wait_s, message in waits:
        await asyncio.sleep(wait_s)
        yield message


async def test_audio_of_streams_that_bring_it_at_different_times_is_taken_together() -> None:
    """The first waits for the others."""
    rounds, streams = Rounds(INTERVAL_S), [Taken(), Taken()]
    waits = (APART_S, APART_S + INTERVAL_S / 2)
    await asyncio.gather(
        *(a_stream(rounds)._read(taken, after((wait_s, audio()))) for taken, wait_s in zip(streams, waits, strict=True))
    )
    (first_s,), (second_s,) = (taken.audio_s for taken in streams)
    assert abs(second_s - first_s) < INTERVAL_S / 4


async def test_what_is_behind_or_comes_often_waits_for_nobody() -> None:
    """A backlog would never be caught up with."""
    taken, began_s = Taken(), time.monotonic()
    messages = [(0.0, audio()) for _ in range(50)] + [(0.01, audio()) for _ in range(10)]
    await a_stream(Rounds(INTERVAL_S))._read(taken, after(*messages))
    assert len(taken.audio_s) == 60
    assert time.monotonic() - began_s < 60 * INTERVAL_S / 2


async def test_key_press_waits_for_no_round() -> None:
    """Nor does anything else that is not audio."""
    taken, began_s = Taken(), time.monotonic()
    await a_stream(Rounds(10.0))._read(taken, after((APART_S, Request(sequence=2, dtmf=media_pb2.Dtmf(digit="5")))))
    assert taken.other_s[0] - began_s < 5


async def test_without_rounds_audio_is_taken_as_it_comes() -> None:
    """Where the moment of its arrival says something."""
    taken, began_s = Taken(), time.monotonic()
    for rounds in (None, Rounds(0)):
        await a_stream(rounds)._read(taken, after((APART_S, audio())))
    assert len(taken.audio_s) == 2
    assert time.monotonic() - began_s < 5

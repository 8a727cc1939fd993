"""Legs that come, go and are muted at random: each channel equals its leg at its place, and so does a replay."""

import asyncio
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tests.harness.speech import speech
from tests.unit.sessions.conference_stage import KeptFile, Stage
from tests.unit.sessions.stage import Piece

from recorder_service.domain.recording import Recording
from recorder_service.sessions.conference_stream import ConferenceStream
from recorder_service.sessions.conference_values import JoinLeg

TICK = 1600
WORKERS = ThreadPoolExecutor(2)


@pytest.fixture(autouse=True, scope="module")
def _workers() -> Iterator[None]:
    yield
    WORKERS.shutdown()


class Room:
    """A conference whose senders share a clock, and what its file has to be."""

    def __init__(self, channels: int, legs: int, ticks: int, voices: NDArray[np.int16]) -> None:
        self.stage = Stage(WORKERS, channels, keep=True)
        self.voices = voices
        self.expected = np.zeros((channels, ticks * TICK), dtype=np.int64)
        self.channel: dict[int, int] = {}
        self.inside: dict[int, bool] = {}
        self.streams: list[ConferenceStream] = []
        self._channels = channels

    def _leg(self, number: int, tick: int) -> JoinLeg:
        if number not in self.channel:
            self.channel[number] = min(len(self.channel), self._channels - 1)
        self.inside[number] = False
        return JoinLeg(f"leg{number}", "LINEAR16", 16_000, frame=tick * TICK)

    def stream(self, number: int) -> ConferenceStream:
        """Each leg is always on the same one of the streams."""
        return self.streams[number % len(self.streams)]

    async def begin(self, streams: int) -> None:
        """The first leg of each stream is there from the begin; the very first stays to the end."""
        for number in range(streams):
            self.streams.append(await self.stage.join([self._leg(number, 0)], origin_frame=0))

    async def turn(self, number: int, tick: int, what: str) -> None:
        """Let a leg come or go, or mute or unmute it."""
        stream, frame = self.stream(number), tick * TICK
        if what == "door" and number not in self.inside:
            await stream.join(stream.next_sequence, self._leg(number, tick))
        elif what == "door" and number >= len(self.streams):
            await stream.leave(stream.next_sequence, f"leg{number}", frame)
            del self.inside[number]
        elif what == "mute" and number in self.inside:
            self.inside[number] = not self.inside[number]
            await stream.mute(stream.next_sequence, f"leg{number}", frame, muted=self.inside[number])

    async def talk(self, tick: int, missing: set[int]) -> None:
        """Send 100 ms of everybody who is there, but of those who are lost on the way."""
        for number in self.inside:
            pcm = np.roll(self.voices, 7919 * number)[tick * TICK : (tick + 1) * TICK]
            if number in missing:
                continue
            stream = self.stream(number)
            stream.receive_audio(stream.next_sequence, [Piece(f"leg{number}", tick * TICK, pcm.tobytes())])
            if not self.inside[number]:
                self.expected[self.channel[number], tick * TICK :][: len(pcm)] += pcm
        if tick % 5 == 0:
            await asyncio.sleep(0)

    async def end(self, ticks: int) -> Recording:
        """Everybody leaves at the end."""
        for number in sorted(self.inside, reverse=True):
            stream = self.stream(number)
            await stream.leave(stream.next_sequence, f"leg{number}", ticks * TICK)
        return await self.stage.ended()

    async def check(self) -> None:
        """The file is what was sent, and a replay of the journal is the same file."""
        [file] = self.stage.files
        assert isinstance(file, KeptFile)
        np.testing.assert_array_equal(file.pcm, self.expected)
        again = await self.stage.replay()
        replayed = self.stage.files[1]
        assert isinstance(replayed, KeptFile)
        assert replayed.data == file.data
        assert again.legs == self.stage.lives[0].recording.legs
        assert await self.stage.background.wait(10)


_turns = st.lists(
    st.tuples(st.integers(0, 39), st.integers(0, 7), st.sampled_from(["door", "door", "mute"])), max_size=30
)


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(turns=_turns, channels=st.sampled_from([1, 2, 4, 8]), lost=st.integers(0, 3), streams=st.integers(1, 3))
def test_channels_are_the_legs_whoever_comes_and_goes(
    turns: list[tuple[int, int, str]], channels: int, lost: int, streams: int
) -> None:
    """Quiet legs, so that no limiter is needed: sums are exact, in the mono mix too."""

    async def run() -> None:
        voices = np.random.default_rng(5).integers(-2000, 2000, 40 * TICK).astype(np.int16)
        room, chance = Room(channels, 8, 40, voices), random.Random(lost)
        await room.begin(streams)
        for tick in range(40):
            for at, number, what in turns:
                if at == tick:
                    await room.turn(number, tick, what)
            await room.talk(tick, {number for number in range(8) if chance.random() < lost * 0.1})
        await room.end(40)
        await room.check()

    asyncio.run(run())


@pytest.mark.parametrize("channels", [32, 1])
async def test_thirty_two_real_voices_join_and_leave_at_random(channels: int) -> None:
    """Twenty seconds on three streams: every channel sample for sample, and the mono mix to the last bit."""
    ticks, chance = 200, random.Random(32)
    room = Room(channels, 32, ticks, (speech(20) // 33).astype(np.int16))
    await room.begin(3)
    for number in range(3, 32):
        await room.turn(number, 0, "door")
    for tick in range(ticks):
        for _ in range(chance.randrange(3)):
            await room.turn(chance.randrange(32), tick, chance.choice(["door", "door", "mute"]))
        await room.talk(tick, {number for number in range(32) if chance.random() < 0.01})
    recording = await room.end(ticks)
    assert len(recording.legs) == 32
    assert [leg.channel for leg in recording.legs] == [min(number, channels - 1) for number in range(32)]
    await room.check()

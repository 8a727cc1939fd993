"""A stage for conferences: real ones, real recordings and paths, a clock that is set by hand, and files that are heard.

Senders have clocks of their own and a network in between, so that alignment can be measured over hours of media time.
"""

import asyncio
import heapq
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self
from uuid import UUID, uuid4

import numpy as np
from numpy.typing import NDArray
from tests.contract.catalog.values import an_application
from tests.unit.sessions.stage import MemoryCatalog, Piece

from recorder_service.audio.finished import Finished
from recorder_service.audio.formats import Encoding, LegFormat, Payload
from recorder_service.audio.rendition import Rendition
from recorder_service.domain.application import Application
from recorder_service.domain.options import EncoderOptions, FileFormat, RecordOptions
from recorder_service.domain.recording import Recording, RecordingState
from recorder_service.sessions import entries
from recorder_service.sessions.background import BackgroundTasks
from recorder_service.sessions.conference_stream import ConferenceStream
from recorder_service.sessions.conference_values import ConferenceClock, JoinLeg, JoinStream, RecordPlan
from recorder_service.sessions.conferences import Conferences
from recorder_service.sessions.facts import Facts
from recorder_service.sessions.live_recording import LiveRecording
from recorder_service.sessions.pace import Brake
from recorder_service.sessions.path_factory import PathFactory
from recorder_service.sessions.surroundings import Surroundings
from recorder_service.sessions.workers import Workers

RATE_HZ = 16_000
PULSE_EVERY_S = 5.0
_PULSE_S = 0.004


class MemoryJournal:
    """Everything is durable at once; entries that are not audio are kept."""

    def __init__(self) -> None:
        self.durable_lsn = 0
        self.queued_bytes = 0
        self.entries: list[tuple[int, bytes]] = []
        self.keeps_audio = False

    def append(self, recording: UUID, kind: int, payload: bytes | Sequence[Payload]) -> int:
        """Count an entry."""
        self.durable_lsn += 1
        if self.keeps_audio or isinstance(payload, bytes):
            self.entries.append((kind, payload if isinstance(payload, bytes) else b"".join(payload)))
        return self.durable_lsn

    async def wait_durable(self, lsn: int, timeout_s: float) -> None:
        """It is."""

    def release(self, recording: UUID) -> int:
        """Forget nothing."""
        return self.durable_lsn


class HeardFile:
    """A WAV under construction of which only loud places are kept: the centre of every pulse in every channel."""

    def __init__(self, channels: int) -> None:
        self.frames = 0
        self.loud: list[NDArray[np.int64]] = []
        self.levels: list[NDArray[np.int64]] = []
        self._channels = channels
        self._header_seen = False
        self.path = Path("/nowhere")
        self.size_bytes = 0
        self.sha256 = ""

    def append(self, data: bytes) -> None:
        """Listen."""
        if not self._header_seen:
            self._header_seen = True
            return
        pcm = np.frombuffer(data, dtype="<i2").reshape(-1, self._channels)
        places = np.argwhere(np.abs(pcm.astype(np.int32)) > 1000)
        if len(places):
            self.loud.append(places + np.array([self.frames, 0]))
            self.levels.append(pcm[places[:, 0], places[:, 1]].astype(np.int64) ** 2)
        self.frames += len(pcm)

    def seal(self, finished: Finished, frames: int) -> Self:
        """Be the finished file too."""
        return self

    def discard(self) -> None:
        """There is nothing to remove."""

    def pulses(self, channel: int) -> NDArray[np.float64]:
        """Give the centres of the pulses of a channel, in frames."""
        if not self.loud:
            return np.zeros(0)
        places, levels = np.concatenate(self.loud), np.concatenate(self.levels)
        mine = places[:, 1] == channel
        frames, weights = places[mine, 0], levels[mine]
        if not len(frames):
            return np.zeros(0)
        groups = np.split(np.arange(len(frames)), np.flatnonzero(np.diff(frames) > RATE_HZ) + 1)
        # A pulse of which a part was lost has its centre elsewhere.
        whole = 0.95 * np.median([weights[group].sum() for group in groups])
        return np.array(
            [np.average(frames[group], weights=weights[group]) for group in groups if weights[group].sum() > whole]
        )


class KeptFile(HeardFile):
    """A WAV under construction of which everything is kept."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.data = bytearray()

    def append(self, data: bytes) -> None:
        """Keep what follows the header."""
        if self._header_seen:
            self.data += data
        self._header_seen = True

    @property
    def pcm(self) -> NDArray[np.int16]:
        """The samples: shape (channels, frames)."""
        return np.frombuffer(self.data, dtype="<i2").reshape(-1, self._channels).T


class Stage:
    """One node's conferences, with a clock that is set by hand."""

    def __init__(
        self, workers: Executor, channels: int, *, keep: bool = False, max_recording_s: int = 4 * 3600
    ) -> None:
        self.now_s = 0.0
        self.channels = channels
        self.journal = MemoryJournal()
        self.journal.keeps_audio = keep
        self._file = KeptFile if keep else HeardFile
        self.background = BackgroundTasks()
        self.catalog = MemoryCatalog()
        self.files: list[HeardFile] = []
        self.lives: list[LiveRecording] = []
        self._workers = workers
        self._factory = PathFactory(self, max_recording_s=max_recording_s, render=Rendition)
        self.application = an_application()
        self.conferences = Conferences(
            recordings=self,
            applications=self,
            journal=self.journal,
            background=self.background,
            resume_window_s=36_000,
            encoder=self,
            make_clock=lambda frame: ConferenceClock(frame, lambda: self.now_s),
        )

    mp3_bitrate_kbps, mp3_split_bitrate_kbps, mp3_quality = 32, 64, 5

    def check_open(self) -> None:
        """It is."""

    async def get(self, application_id: UUID) -> Application:
        """There is one."""
        return self.application

    def create(self, recording_id: UUID) -> HeardFile:
        """Begin a file."""
        self.files.append(self._file(self.channels))
        return self.files[-1]

    def sealed(self, recording_id: UUID) -> None:
        """There is no former run."""

    async def finish(self, recording: Recording, spooled: object, facts: Facts) -> Recording:
        """Keep the recording as it is."""
        return recording

    async def start(self, wanted: Recording, application: Application) -> LiveRecording:
        """Begin a recording."""
        live = self.build(wanted)
        live.begin()
        self.lives.append(live)
        return live

    def build(self, wanted: Recording) -> LiveRecording:
        """Build a recording that has not begun, or is to be replayed."""
        built = self._factory.build(wanted)
        around = Surroundings(
            journal=self.journal,
            finisher=self,
            workers=Workers(self._workers, self._workers, 2),
            background=self.background,
            brake=Brake(),
            resume_window_s=36_000,
            on_stopped=lambda _: None,
            on_ended=lambda _: None,
        )
        facts = Facts(self.catalog, wanted.recording_id)  # type: ignore[arg-type] # key presses need no answer
        return LiveRecording(wanted, path=built.path, rules=built.rules, facts=facts, around=around)

    async def join(self, legs: Sequence[JoinLeg], origin_frame: int | None = None) -> ConferenceStream:
        """Let a stream in."""
        options = RecordOptions(format=FileFormat.WAV, split=self.channels > 1, channels=self.channels)
        if self.channels == 1:
            options = RecordOptions(format=FileFormat.WAV)
        plan = RecordPlan(options, EncoderOptions())
        wanted = JoinStream(uuid4(), "room", "", plan, tuple(legs), origin_frame)
        return await self.conferences.join(wanted, self.application)

    async def replay(self) -> Recording:
        """Build the recording again from its journal, as after a restart, and wait for its end."""
        ended = self.lives[0].recording
        again = self.build(replace(ended, state=RecordingState.RECORDING, legs=(), stop_reason=None))
        for kind, data in list(self.journal.entries):
            again.restore(entries.decode(kind, data))
        again.go_on()
        assert again.ending is not None
        await again.ending
        return again.recording

    async def ended(self, timeout_s: float = 60) -> Recording:
        """Wait for the end of the last recording."""
        live = self.lives[-1]
        assert live.ending is not None
        await asyncio.wait_for(live.ending, timeout_s)
        return live.recording


@dataclass(slots=True)
class Sender:
    """A media server with a clock of its own and a network that delays, stalls and loses.

    Attributes:
        ppm: How much its clock is fast.
        joined_s: True time at which it joins.
        lost: Share of its messages that never come.
        stalls: Share of its messages that hold up everything for 300 ms.
        silent: Whether it sends nothing where there is no pulse.
    """

    leg_id: str
    ppm: float = 0.0
    joined_s: float = 0.0
    lost: float = 0.0
    stalls: float = 0.0
    silent: bool = False
    jitter_s: float = 0.003
    format: LegFormat = field(default_factory=lambda: LegFormat(Encoding.LINEAR16, RATE_HZ))
    message_s: float = 0.1

    @property
    def leg(self) -> JoinLeg:
        """How it announces itself."""
        return JoinLeg(self.leg_id, self.format.encoding.value, self.format.sample_rate_hz)

    @property
    def speed_hz(self) -> float:
        """Samples in a true second."""
        return self.format.sample_rate_hz * (1 + self.ppm * 1e-6)

    def messages(self, seconds: float, chance: random.Random) -> Iterator[tuple[float, Piece]]:
        """Give what arrives, with true times of arrival, in order."""
        step = int(self.format.sample_rate_hz * self.message_s)
        arrived_s = 0.0
        for start in range(0, int((seconds - self.joined_s) * self.speed_hz) - step, step):
            times_s = self.joined_s + np.arange(start, start + step) / self.speed_hz
            arrived_s = max(arrived_s, times_s[-1] + chance.expovariate(1 / self.jitter_s))
            if chance.random() < self.stalls:
                arrived_s += 0.3
            pcm = pulse_at(times_s)
            if chance.random() < self.lost or (self.silent and not pcm.any()):
                continue
            yield arrived_s, Piece(self.leg_id, start, self.format.encode(pcm))


def pulse_at(times_s: NDArray[np.float64]) -> NDArray[np.int16]:
    """Give the sound of true instants: a short tone every five seconds, and silence."""
    nearest = np.rint(times_s / PULSE_EVERY_S) * PULSE_EVERY_S
    away = times_s - nearest
    if np.min(np.abs(away)) > 0.1:
        return np.zeros(len(times_s), dtype=np.int16)
    sound = 20_000 * np.exp(-((away / _PULSE_S) ** 2)) * np.cos(2 * np.pi * 1000 * away)
    pulse: NDArray[np.int16] = np.rint(sound).astype(np.int16)
    return pulse


async def play(stage: Stage, senders: Sequence[Sender], seconds: float, seed: int = 1) -> dict[str, ConferenceStream]:
    """Let senders come and talk, as fast as the machine goes, in the order in which their messages arrive."""
    chance = random.Random(seed)
    streams: dict[str, ConferenceStream] = {}
    coming: list[tuple[float, int, Sender]] = []
    for number, sender in enumerate(senders):
        heapq.heappush(coming, (sender.joined_s, number, sender))
    feeds: list[tuple[float, int, Piece, Sender, Iterator[tuple[float, Piece]]]] = []
    count = 0
    while coming or feeds:
        if coming and (not feeds or coming[0][0] <= feeds[0][0]):
            at_s, _, sender = heapq.heappop(coming)
            stage.now_s = at_s + chance.expovariate(1 / sender.jitter_s) if streams else at_s
            streams[sender.leg_id] = await stage.join([sender.leg])
            count += 1
            _push(feeds, sender.messages(seconds, random.Random(chance.random())), sender, count)
            continue
        at_s, _, piece, sender, messages = heapq.heappop(feeds)
        stage.now_s = max(stage.now_s, at_s)
        stream = streams[sender.leg_id]
        stream.receive_audio(stream.next_sequence, [piece])
        count += 1
        _push(feeds, messages, sender, count)
        if stream.congested():
            await stream.room()
        if count % 64 == 0:
            await asyncio.sleep(0)
    return streams


def _push(
    feeds: list[tuple[float, int, Piece, Sender, Iterator[tuple[float, Piece]]]],
    messages: Iterator[tuple[float, Piece]],
    sender: Sender,
    count: int,
) -> None:
    following = next(messages, None)
    if following is not None:
        heapq.heappush(feeds, (following[0], count, following[1], sender, messages))


def alignment_errors_s(file: HeardFile, channel: int, after_s: float) -> NDArray[np.float64]:
    """Give how far each pulse of a channel lies from its true instant, s; positive is late."""
    found_s = file.pulses(channel) / RATE_HZ
    found_s = found_s[found_s > after_s]
    return found_s - np.rint(found_s / PULSE_EVERY_S) * PULSE_EVERY_S

"""SIGKILL at random times under a conference of ten senders: the file is the one that an undisturbed conference gives.

Each sender is a resuming client on a stream of its own. One comes late, one leaves and comes back, one is muted for
most of the time. All share a clock and wait for each other, as time does: a leg that joins where the others' audio is
closed already would come too late. So nothing depends on when a message arrives, and files are compared byte by byte.
"""

import asyncio
import random
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tests.harness.client import Client, Tenant
from tests.harness.conference import participant
from tests.harness.files import download
from tests.harness.server import Server
from tests.harness.speech import speech
from tests.robustness.comparison import compare_whole
from tests.robustness.report import Result, Scenario

from recorder.channel import connect
from recorder.conference import Conference
from recorder.errors import RecorderError
from recorder.resuming import CallSettings
from recorder.v1 import recorder_service_pb2, recording_pb2

GOAL = "40 kills under conferences of 10 senders, every file the undisturbed one to the last byte (quick: 4 kills)"
_SENDERS = 10
_LATE, _AWAY, _MUTED = 7, 3, 5
_MUTE_AT = 2
_RATE_HZ = 16_000
_MESSAGE_FRAMES = _RATE_HZ // 10
# So much may be under way: while the server is away the conference stands still, and every kill meets it.
_UNDER_WAY = 4
_NCCOS: tuple[Mapping[str, Any], ...] = (
    {"action": "record", "format": "wav", "split": "conversation", "channels": _SENDERS},
    {"action": "record"},
)
_SETTINGS = CallSettings(message_ms=100, ack_interval_ms=50, reconnect_for_s=120)
_PROGRESS_TIMEOUT_S = 90.0
_ROUND_TIMEOUT_S = 300.0
PRODUCT = ("recorder_service",)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything.

    Attributes:
        rounds: Conferences, one after the other; the formats take turns.
        kills: Under each.
        seconds: Length of each, in media time.
        commit_interval_s: How long the journal gathers: the longer, the more a kill can catch.
        longest_wait_s: How long after all senders are heard again the next kill may come.
        module: What runs as the server.
    """

    rounds: int = 10
    kills: int = 4
    seconds: int = 20
    commit_interval_s: float = 0.02
    longest_wait_s: float = 1.5
    module: tuple[str, ...] = PRODUCT


QUICK = Plan(rounds=2, kills=2, seconds=6, commit_interval_s=0.04, longest_wait_s=0.6)


@dataclass(slots=True)
class Tally:
    """What was counted and found."""

    kills: int = 0
    files: int = 0
    findings: list[str] = field(default_factory=list)


class Sender:
    """One sender: what it says and does, and when."""

    def __init__(self, number: int, stream: Conference, seconds: int) -> None:
        self.stream = stream
        self.stream_id = stream.stream_id
        self._leg_id = f"leg-{number}"
        self._number = number
        self._pcm = speech(seconds, first=7 * number)
        self._count = seconds * _RATE_HZ // _MESSAGE_FRAMES

    @property
    def durable_frame(self) -> int:
        """How far its audio is safe."""
        return self.stream.durable_frames.get(self._leg_id, 0)

    async def speak(self, together: asyncio.Barrier, *, paced: bool) -> None:
        """Say everything, close, and wait for the end."""
        for at in range(self._count):
            await self._act(at)
            if self._is_there(at):
                start_frame = at * _MESSAGE_FRAMES
                payload = self._pcm[start_frame : start_frame + _MESSAGE_FRAMES].tobytes()
                await self.stream.write({self._leg_id: payload}, {self._leg_id: start_frame})
            if paced:
                await asyncio.sleep(_MESSAGE_FRAMES / _RATE_HZ)
            if at % _UNDER_WAY == 0:
                await self.stream.durable()
                await together.wait()
        await self.stream.close()
        await self.stream.ended()

    def _is_there(self, at: int) -> bool:
        if self._number == _LATE:
            return at >= self._count // 4
        return self._number != _AWAY or not self._count // 3 <= at < 2 * self._count // 3

    async def _act(self, at: int) -> None:
        frame = at * _MESSAGE_FRAMES
        match (self._number, at):
            case (number, now) if number == _LATE and now == self._count // 4:
                await self.stream.join(participant(self._leg_id).leg, frame)
            case (number, now) if number == _AWAY and now == self._count // 3:
                await self.stream.leave(self._leg_id, frame)
            case (number, now) if number == _AWAY and now == 2 * self._count // 3:
                await self.stream.join(participant(self._leg_id).leg, frame)
            case (number, now) if number == _MUTED and now in {_MUTE_AT, 9 * self._count // 10}:
                await self.stream.mute(self._leg_id, frame, muted=now < self._count // 2)


class Room:
    """One conference."""

    def __init__(self, name: str, ncco: Mapping[str, Any], seconds: int) -> None:
        self.senders: list[Sender] = []
        self._name = name
        self._ncco = ncco
        self._seconds = seconds

    async def hold(self, port: int, tenant: Tenant, *, paced: bool = True) -> recording_pb2.Recording:
        """Hold the conference and return its recording."""
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(connect(f"127.0.0.1:{port}", token=tenant.token))
            for number in range(_SENDERS):
                stream = await stack.enter_async_context(client.record_conference(self._joining(number), _SETTINGS))
                self.senders.append(Sender(number, stream, self._seconds))
            together = asyncio.Barrier(_SENDERS)
            async with asyncio.timeout(_ROUND_TIMEOUT_S), asyncio.TaskGroup() as speaking:
                for sender in self.senders:
                    speaking.create_task(sender.speak(together, paced=paced))
            return self._recording()

    def _joining(self, number: int) -> recorder_service_pb2.JoinConference:
        legs = [] if number == _LATE else [participant(f"leg-{number}")]
        join = recorder_service_pb2.JoinConference(name=self._name, legs=legs, origin_frame=0)
        join.ncco.update(self._ncco)
        return join

    def _recording(self) -> recording_pb2.Recording:
        told = {one.recording_id: one for sender in self.senders for one in sender.stream.recordings}
        assert len(told) == 1, f"the conference has {len(told)} recordings"
        strangers = [sender.stream_id for sender in self.senders if sender.stream.stream_id != sender.stream_id]
        assert not strangers, f"{len(strangers)} streams were not known any more"
        (recording,) = told.values()
        assert recording.state == recording_pb2.RECORDING_STATE_AVAILABLE, recording.state
        return recording


class Kills:
    """One run on one data directory."""

    def __init__(self, plan: Plan, seed: int, directory: Path) -> None:
        """Prepare a server in a directory."""
        self.tally = Tally()
        self._plan = plan
        self._random = random.Random(seed)
        environment = {"RECORDER_COMMIT_INTERVAL_S": str(plan.commit_interval_s)}
        self._server = Server(directory / "data", environment=environment, module=plan.module)

    async def run(self) -> Tally:
        """Hold the conferences; end with the first that finds something."""
        try:
            await asyncio.to_thread(self._server.start)
            async with Client(self._server.ports.grpc) as client:
                tenant = await client.create_tenant(self._server.admin_token)
            undisturbed = [await self._undisturbed(number, tenant) for number in range(len(_NCCOS))]
            for number in range(self._plan.rounds):
                if not self.tally.findings:
                    await self._round(number, tenant, undisturbed[number % len(_NCCOS)])
        finally:
            await asyncio.to_thread(self._server.close)
        return self.tally

    async def _undisturbed(self, number: int, tenant: Tenant) -> bytes:
        room = Room(f"undisturbed {number}", _NCCOS[number], self._plan.seconds)
        recording = await room.hold(self._server.ports.grpc, tenant, paced=False)
        return await asyncio.to_thread(download, recording, tenant)

    async def _round(self, number: int, tenant: Tenant, expected: bytes) -> None:
        room = Room(f"room {number}", _NCCOS[number % len(_NCCOS)], self._plan.seconds)
        holding = asyncio.create_task(room.hold(self._server.ports.grpc, tenant))
        try:
            for _ in range(self._plan.kills):
                await self._kill(room, holding)
            recording = await holding
            data = await asyncio.to_thread(download, recording, tenant)
            self.tally.files += 1
            if data != expected:
                await asyncio.to_thread(compare_whole, data, expected)
        except (AssertionError, RecorderError, TimeoutError, ExceptionGroup) as error:
            self.tally.findings.append(f"round {number}: {_told(error)}"[:600])
        finally:
            holding.cancel()
            await asyncio.gather(holding, return_exceptions=True)

    async def _kill(self, room: Room, holding: asyncio.Task[Any]) -> None:
        """Kill once every sender that speaks was heard since the last start, at a random time."""
        before = [sender.durable_frame for sender in room.senders] or [0] * _SENDERS
        async with asyncio.timeout(_PROGRESS_TIMEOUT_S):
            while not holding.done() and not _progressed(room.senders, before):  # noqa: ASYNC110 - ten streams' doing
                await asyncio.sleep(0.02)
        await asyncio.sleep(self._random.uniform(0, self._plan.longest_wait_s))
        if holding.done():
            return
        await asyncio.to_thread(self._server.kill)
        self.tally.kills += 1
        await asyncio.to_thread(partial(self._server.start, keep_ports=True))


def _progressed(senders: Sequence[Sender], before: Sequence[int]) -> bool:
    """Say whether all have brought something new but those that may be away."""
    heard = sum(sender.durable_frame > frame for sender, frame in zip(senders, before, strict=False))
    return len(senders) == _SENDERS and heard >= _SENDERS - 2


def _told(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or repr(error)


async def kill(plan: Plan, seed: int) -> Result:
    """Run a plan in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="recorder-conference-kills-") as directory:
        tally = await Kills(plan, seed, Path(directory)).run()
    figure = (
        f"{tally.kills} kills under {plan.rounds} conferences of {_SENDERS} senders, {tally.files} files compared, "
        f"{len(tally.findings)} bad"
    )
    details = {"seed": seed, "kills": tally.kills, "files_compared": tally.files, "findings": tally.findings}
    ok = not tally.findings and tally.files == plan.rounds and tally.kills >= plan.rounds * plan.kills
    return Result("conference_kills", figure, GOAL, ok, details)


async def run(seed: int, quick: bool) -> Result:
    """Run the short or the long form."""
    return await kill(QUICK if quick else Plan(), seed)


_BUGS = "tests.robustness.conference_bugs"
SCENARIOS = (
    Scenario(
        "conference_kills",
        GOAL,
        run,
        ("ack_before_write", f"{_BUGS}:mutes_are_forgotten", f"{_BUGS}:only_one_stream_is_known_again"),
    ),
)

"""SIGKILL at random times under live calls: nothing acknowledged is lost, and every file is the undisturbed one.

The oracle is the callers' ledgers and the files that the same scripts gave before anything was killed. A kill counts
only if enough calls had been acknowledged since the last start. Some callers never come back: theirs is the strictest
test, for nobody sends again what they sent.
"""

import asyncio
import contextlib
import random
import signal
import tempfile
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tests.harness.client import Client, two_legs
from tests.harness.files import Pcm, download, wav_channels
from tests.harness.server import Server
from tests.harness.speech import speech
from tests.robustness.callers import Caller, Line, Script, script
from tests.robustness.comparison import compare_start, compare_whole
from tests.robustness.report import Result, Scenario

from recorder.v1 import recording_pb2

GOAL = "200 kills under 50 live calls, 0 acknowledged frames lost or changed"
_WAV = {"action": "record", "format": "wav", "split": "conversation"}
_NCCOS = (
    ("wav split", _WAV),
    ("mp3 split", {"action": "record", "split": "conversation"}),
    ("wav mono", {"action": "record", "format": "wav"}),
    ("mp3 mono", {"action": "record"}),
)
_AVAILABLE = recording_pb2.RECORDING_STATE_AVAILABLE
_INTERRUPTED = recording_pb2.STOP_REASON_INTERRUPTED
_LOAD_TIMEOUT_S = 120.0
_FRESH_S = 2.0
_RESUME_WINDOW_S = 60
_LAST_RESUME_WINDOW_S = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything.

    Attributes:
        kills: Kills under load that count.
        kills_a_round: After so many, all calls are brought to their end and judged.
        callers: Calls at the same time.
        floor: A kill counts only if so many calls had been acknowledged within the last second.
        call_s: Shortest and longest call.
        speed: Times real time.
        chunk_ms: Length of a message.
        start_kill_share: How many restarts are themselves killed, 0 to 1.
        leavers_share: How many callers never come back, 0 to 1.
        commit_interval_s: How long the journal gathers: the longer, the more a kill can catch.
        longest_wait_s: How long after the load is there a kill may come.
    module: What runs as the server.
    """

    kills: int = 200
    kills_a_round: int = 20
    callers: int = 50
    floor: int = 40
    call_s: tuple[int, ...] = (8, 14, 20)
    speed: float = 1.0
    chunk_ms: int = 100
    start_kill_share: float = 0.15
    leavers_share: float = 0.1
    commit_interval_s: float = 0.01
    longest_wait_s: float = 1.5
    module: tuple[str, ...] = ("recorder_service",)


QUICK = Plan(
    kills=6,
    kills_a_round=6,
    callers=10,
    floor=8,
    call_s=(6,),
    speed=2,
    chunk_ms=20,
    leavers_share=0.2,
    commit_interval_s=0.04,
    longest_wait_s=0.8,
)


@dataclass(slots=True)
class Tally:
    """What was counted and found."""

    kills: int = 0
    kills_at_start: int = 0
    calls: int = 0
    left: int = 0
    acknowledged: int = 0
    sent: int = 0
    streams: int = 0
    files: int = 0
    compared_frames: int = 0
    outage_s: list[float] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)


class Kills:
    """One run on one data directory."""

    def __init__(self, plan: Plan, seed: int, directory: Path, clients: contextlib.AsyncExitStack) -> None:
        """Prepare a server in a directory; clients live as long as the stack does."""
        self.tally = Tally()
        self._plan = plan
        self._random = random.Random(seed)
        self._clients = clients
        self._directory = directory
        self._server = self._server_with(_RESUME_WINDOW_S)
        self._scripts = _scripts(plan)
        self._expected: dict[str, bytes] = {}
        self._callers: list[Caller] = []
        self._going_on = False

    def _server_with(self, resume_window_s: float) -> Server:
        environment = {"RECORDER_COMMIT_INTERVAL_S": str(self._plan.commit_interval_s), "RECORDER_DRAIN_GRACE_S": "0"}
        arguments = ["--resume-window-s", str(resume_window_s)]
        data = self._directory / "data"
        return Server(data, arguments=arguments, environment=environment, module=self._plan.module)

    async def _change_server(self, line: Line, resume_window_s: float) -> None:
        """Stop the server and start one that waits longer, or not so long, for those who left."""
        line.up.clear()
        await asyncio.to_thread(self._server.terminate)
        self._server = self._server_with(resume_window_s)
        await asyncio.to_thread(self._server.start)
        await self._connect(line)

    async def _connect(self, line: Line) -> None:
        """Give callers a channel of its own for each start: an old one would wait longer and longer between tries."""
        line.client = await self._clients.enter_async_context(Client(self._server.ports.grpc))
        line.up.set()

    async def run(self) -> Tally:
        """Kill as often as planned, round by round; end with the first round that finds something."""
        try:
            await asyncio.to_thread(self._server.start)
            client = await self._clients.enter_async_context(Client(self._server.ports.grpc))
            line = Line(await client.create_tenant(self._server.admin_token), client)
            line.up.set()
            await self._record_undisturbed(line)
            while self.tally.kills < self._plan.kills and not self.tally.findings:
                await self._round(line)
        finally:
            await asyncio.to_thread(self._server.close)
        return self.tally

    async def _record_undisturbed(self, line: Line) -> None:
        """Record every script once without any trouble: what all its other recordings must be like."""
        callers = [Caller(line, script, speed=None, window=100) for script in self._scripts]
        await asyncio.gather(*(caller.run() for caller in callers))
        for caller in callers:
            assert not caller.findings, caller.findings
            recording = await line.client.ended(line.tenant, caller.recording_id)
            data = self._expected[caller.script.name] = await asyncio.to_thread(download, recording, line.tenant)
            if caller.script.ncco == _WAV:
                np.testing.assert_array_equal(wav_channels(data), _spoken(len(caller.script.payloads), self._plan))

    async def _round(self, line: Line) -> None:
        self._callers, self._going_on = [], True
        goal = min(self._plan.kills, self.tally.kills + self._plan.kills_a_round)
        async with asyncio.TaskGroup() as lines:
            for _ in range(self._plan.callers):
                lines.create_task(self._keep_calling(line))
            while self.tally.kills < goal and not any(caller.findings for caller in self._callers):
                await self._kill(line)
            self._going_on = False
        if not any(caller.findings for caller in self._callers):
            await self._change_server(line, _LAST_RESUME_WINDOW_S)
        await self._judge(line)
        if self.tally.kills < self._plan.kills:
            await self._change_server(line, _RESUME_WINDOW_S)

    async def _keep_calling(self, line: Line) -> None:
        """Make one call after the other until the round is over."""
        await asyncio.sleep(self._random.uniform(0, 1))
        while self._going_on:
            script = self._random.choice(self._scripts)
            leaves_at = None
            if self._random.random() < self._plan.leavers_share:
                leaves_at = self._random.randint(2, len(script.payloads))
            caller = Caller(line, script, speed=self._plan.speed, leaves_at=leaves_at)
            self._callers.append(caller)
            await caller.run()

    def _loaded(self) -> bool:
        fresh_s = time.monotonic() - _FRESH_S
        return sum(caller.heard_s > fresh_s for caller in self._callers) >= self._plan.floor

    async def _kill(self, line: Line) -> None:
        """Kill at a random time; it counts, and happens, only under load."""
        async with asyncio.timeout(_LOAD_TIMEOUT_S):
            while not self._loaded():  # noqa: ASYNC110 - the load is many callers' doing, there is no event for it
                await asyncio.sleep(0.02)
        await asyncio.sleep(self._random.uniform(0, self._plan.longest_wait_s))
        if not self._loaded():
            return
        killed_s = time.monotonic()
        await asyncio.to_thread(self._server.kill)
        line.up.clear()
        self.tally.kills += 1
        while self._random.random() < self._plan.start_kill_share:
            await self._kill_at_start()
        await asyncio.to_thread(partial(self._server.start, keep_ports=True))
        self.tally.outage_s.append(time.monotonic() - killed_s)
        await self._connect(line)

    async def _kill_at_start(self) -> None:
        """Kill a server that comes up, at a random time: in the middle of its recovery if it falls well."""
        starting = asyncio.create_task(asyncio.to_thread(partial(self._server.start, keep_ports=True)))
        longest_s = min(self.tally.outage_s, default=2.0)
        await asyncio.sleep(self._random.uniform(0.3 * longest_s, longest_s))
        self._server.send_signal(signal.SIGKILL)
        with contextlib.suppress(RuntimeError):
            await starting
        await asyncio.to_thread(self._server.kill)
        self.tally.kills_at_start += 1

    async def _judge(self, line: Line) -> None:
        """Compare what became of every call of the round with its ledger and with the undisturbed file."""
        tally = self.tally
        for caller in self._callers:
            tally.calls += 1
            tally.streams += caller.streams
            tally.sent += len(caller.ledger.sent)
            tally.acknowledged += caller.ledger.acknowledged
            tally.findings += caller.findings
            if not caller.findings and caller.ledger.sent:
                try:
                    await self._judge_file(line, caller)
                except (AssertionError, TimeoutError) as error:
                    tally.findings.append(f"{caller.script.name} {caller.recording_id}: {error or repr(error)}"[:600])

    async def _judge_file(self, line: Line, caller: Caller) -> None:
        recording = await line.client.ended(line.tenant, caller.recording_id, timeout_s=60)
        if recording.state == recording_pb2.RECORDING_STATE_EMPTY:
            assert caller.left, "the recording is empty"
            assert caller.ledger.acknowledged < 2, f"{caller.ledger.acknowledged} acknowledged, the recording is empty"
            return
        assert recording.state == _AVAILABLE, f"state {recording.state}: {recording.failure}"
        data = await asyncio.to_thread(download, recording, line.tenant)
        expected = self._expected[caller.script.name]
        self.tally.files += 1
        if caller.left:
            self.tally.left += 1
            assert recording.stop_reason == _INTERRUPTED, f"stop reason {recording.stop_reason}"
            await asyncio.to_thread(compare_start, data, expected, caller)
        elif data != expected:
            await asyncio.to_thread(compare_whole, data, expected)


def _voices(seconds: int) -> tuple[Pcm, Pcm]:
    return speech(seconds), speech(seconds, first=7)


def _spoken(payloads: int, plan: Plan) -> Pcm:
    return np.stack(_voices((payloads - 1) * plan.chunk_ms // 1000))


def _scripts(plan: Plan) -> list[Script]:
    found = []
    for seconds in plan.call_s:
        spoken = [voice.tobytes() for voice in _voices(seconds)]
        for name, ncco in _NCCOS:
            found.append(script(f"{name} {seconds} s", two_legs(), ncco, *spoken, chunk_ms=plan.chunk_ms))
    return found


async def kill(plan: Plan, seed: int) -> Result:
    """Run a plan in a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="recorder-kills-") as directory:
        async with contextlib.AsyncExitStack() as clients:
            tally = await Kills(plan, seed, Path(directory), clients).run()
    frames = tally.acknowledged * plan.chunk_ms * 16
    details: dict[str, Any] = {
        "seed": seed,
        "kills": tally.kills,
        "kills_at_start": tally.kills_at_start,
        "calls": tally.calls,
        "files_compared": tally.files,
        "left_for_good": tally.left,
        "streams": tally.streams,
        "acknowledged_requests": tally.acknowledged,
        "acknowledged_frames_per_leg": frames,
        "outage_median_s": round(sorted(tally.outage_s)[len(tally.outage_s) // 2], 2) if tally.outage_s else None,
        "findings": tally.findings[:20],
    }
    figure = (
        f"{tally.kills} kills (+{tally.kills_at_start} at start), {tally.calls} calls, {len(tally.findings)} bad of "
    )
    ok = not tally.findings and tally.kills >= plan.kills
    return Result("kills", f"{figure}{frames:,} acknowledged frames a leg", GOAL, ok, details)


async def run(seed: int, quick: bool) -> Result:
    """Run the short or the long form."""
    return await kill(QUICK if quick else Plan(), seed)


SCENARIOS = (Scenario("kills", GOAL, run, bugs=("ack_before_write", "restore_without_audio")),)

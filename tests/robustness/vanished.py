"""Callers that vanish, in every way and at every moment: noticed in time, and never taken for a hang-up."""

import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import grpc
from tests.harness.client import EOF, Client, Tenant
from tests.harness.server import Server
from tests.robustness.flat_calls import closing, messages, opening, raw_stream
from tests.robustness.privileges import run as system
from tests.robustness.report import Result, Scenario

from recorder.v1 import media_pb2, recorder_service_pb2, recording_pb2

_PEERS_GOAL = (
    "cancel, deadline, SIGKILL and half-close in each state of a stream: 100 % INTERRUPTED, noticed <= 20 s; a call "
    "that had closed is HANGUP"
)
_LINK_GOAL = "a cut link in each state of a stream: noticed <= 20 s, then INTERRUPTED; a call that had closed is HANGUP"
_NOTICED_WITHIN_S = 20.0
_WINDOW_S = 1.0
_RENDERED_WITHIN_S = 30.0
_MESSAGES = 20
_DEADLINE_S = 4.0
_FLOOD_FRAMES = 8000
_HELD_S = 60.0
_GOOD_ENDS = {"AVAILABLE", "EMPTY"}
_LOOK_S = 0.2
PRODUCT = ("recorder_service",)
Request = recorder_service_pb2.RecordCallRequest
Response = recorder_service_pb2.RecordCallResponse

# What the handler does when its caller vanishes. `reading`: waits for the next message; `receiving`: messages come all
# the time; `paused`: drops audio; `congested`: waits in `room` because more came than it can render; `closed`: the
# end was said, and nobody waits to hear of it.
STATES = ("reading", "receiving", "paused", "congested", "closed")
WAYS = ("cancel", "deadline", "kill", "half_close")


class Caller:
    """One stream in one state, made of raw messages."""

    def __init__(self, channel: grpc.aio.Channel, metadata: Sequence[tuple[str, str]], state: str) -> None:
        self.recording_id = str(uuid.uuid4())
        self.state = state
        self._metadata = tuple(metadata)
        self._channel = channel
        self._stream: Any = None
        self._sending: asyncio.Task[None] | None = None

    async def enter(self, timeout_s: float | None = None) -> None:
        """Open, and bring the stream into its state."""
        self._stream = raw_stream(self._channel, self._metadata, timeout_s)
        await self._stream.write(opening(self.recording_id))
        assert await self._stream.read() is not EOF
        small = messages(_MESSAGES)
        if self.state == "receiving":
            self._sending = asyncio.create_task(self._send(messages(3000), 0.02))
        elif self.state == "congested":
            self._sending = asyncio.create_task(self._send(messages(600, _FLOOD_FRAMES), 0))
        elif self.state != "reading":
            await self._send(small, 0)
        if self.state == "paused":
            control = media_pb2.Control(pause=media_pb2.Pause())
            await self._stream.write(Request(sequence=_MESSAGES + 2, control=control).SerializeToString())
        if self.state == "closed":
            await self._stream.write(closing(_MESSAGES + 2))
            # A close that is not answered may have been lost with its caller.
            while Response.FromString(await self._stream.read()).WhichOneof("payload") != "stopped":
                pass

    async def leave(self, way: str) -> None:
        """Vanish; a deadline comes by itself."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        if way == "cancel":
            self._stream.cancel()
        elif way == "half_close":
            await self._stream.done_writing()

    def forget(self) -> None:
        """Give the stream up for good."""
        if self._sending is not None:
            self._sending.cancel()
        if self._stream is not None:
            self._stream.cancel()

    async def _send(self, script: Sequence[bytes], every_s: float) -> None:
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            for message in script:
                await self._stream.write(message)
                await asyncio.sleep(every_s)


@dataclass(frozen=True, slots=True)
class Gone:
    """One caller that vanished."""

    way: str
    state: str
    recording_id: str
    at_s: float


@contextlib.asynccontextmanager
async def _node(module: Sequence[str], *, beyond: bool = False) -> AsyncIterator[tuple[Server, Tenant, Client]]:
    """Start a server; `beyond` loopback for clients of another network."""
    with tempfile.TemporaryDirectory(prefix="robustness-") as directory:
        arguments = ["--resume-window-s", str(_WINDOW_S)]
        environment = {"RECORDER_HOST": "0.0.0.0", "RECORDER_ALLOW_PLAINTEXT": "true"} if beyond else {}
        server = Server(Path(directory) / "data", arguments=arguments, environment=environment, module=module)
        try:
            await asyncio.to_thread(server.start)
            async with Client(server.ports.grpc) as client:
                yield server, await client.create_tenant(server.admin_token), client
        finally:
            await asyncio.to_thread(server.close)


async def peers(seed: int, quick: bool, module: Sequence[str] = PRODUCT) -> Result:
    """Let callers vanish in every way that a process can, in every state; several times in the long form."""
    gone: list[Gone] = []
    async with _node(module) as (server, tenant, client):
        target = f"127.0.0.1:{server.ports.grpc}"
        for _ in range(1 if quick else 10):
            async with _callers_elsewhere(target, tenant) as (process, ids):
                process.kill()
                gone += [Gone("kill", state, recording_id, time.time()) for state, recording_id in ids.items()]
            left = await asyncio.gather(*(_left(target, tenant, way) for way in ("cancel", "half_close", "deadline")))
            gone += [caller for callers in left for caller in callers]
        facts = await _judge(server, client, tenant, gone)
    return _result("vanished_callers", _PEERS_GOAL, gone, facts, seed)


async def link(seed: int, quick: bool, module: Sequence[str] = PRODUCT) -> Result:
    """Cut the link of a client in a network namespace: no FIN and no RST ever comes."""
    del quick
    with _cable(seed) as (namespace, near, host):
        async with _node(module, beyond=True) as (server, tenant, client):
            target = f"{host}:{server.ports.grpc}"
            async with _callers_elsewhere(target, tenant, "ip", "netns", "exec", namespace) as (_, ids):
                await asyncio.to_thread(system, "ip", "link", "set", near, "down")
                now_s = time.time()
                gone = [Gone("cut", state, recording_id, now_s) for state, recording_id in ids.items()]
                facts = await _judge(server, client, tenant, gone)
    return _result("vanished_link", _LINK_GOAL, gone, facts, seed)


async def _left(target: str, tenant: Tenant, way: str) -> list[Gone]:
    async with grpc.aio.insecure_channel(target) as channel:
        callers = [Caller(channel, tenant.metadata, state) for state in STATES]
        deadline_s = _DEADLINE_S if way == "deadline" else None
        await asyncio.gather(*(caller.enter(deadline_s) for caller in callers))
        await asyncio.sleep(_DEADLINE_S if way == "deadline" else 0.3)
        await asyncio.gather(*(caller.leave(way) for caller in callers))
        gone = [Gone(way, caller.state, caller.recording_id, time.time()) for caller in callers]
        await asyncio.sleep(0.2)
        for caller in callers:
            caller.forget()
    return gone


@contextlib.asynccontextmanager
async def _callers_elsewhere(
    target: str, tenant: Tenant, *prefix: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, str]]]:
    """Have a caller in each state in a process of their own; yields it and the recordings by state."""
    settings = json.dumps({"target": target, "metadata": list(tenant.metadata)})
    process = await asyncio.create_subprocess_exec(
        *(*prefix, sys.executable, "-m", __name__, settings),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    try:
        assert process.stdout is not None
        yield process, json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.wait()


async def _judge(server: Server, client: Client, tenant: Tenant, gone: Sequence[Gone]) -> dict[str, Any]:
    """Wait for each recording's end, and say which ended otherwise or later than promised."""
    found = await asyncio.gather(*(_ended(client, tenant, caller) for caller in gone))
    lost_s = _lost_s(server)
    wrong, latest_s = [], 0.0
    for caller, (state, reason) in zip(gone, found, strict=True):
        wanted = "HANGUP" if caller.state == "closed" else "INTERRUPTED"
        noticed = wanted == "HANGUP" or caller.recording_id in lost_s
        if reason != wanted or state not in _GOOD_ENDS or not noticed:
            wrong.append(f"{caller.way} while {caller.state}: {state} {reason}, {noticed=}")
        elif wanted == "INTERRUPTED":
            latest_s = max(latest_s, lost_s[caller.recording_id] - caller.at_s)
    return {"wrong": wrong, "latest_s": round(latest_s, 2)}


async def _ended(client: Client, tenant: Tenant, caller: Gone) -> tuple[str, str]:
    """Wait for the end, which comes after the rest is rendered; returns state and reason."""
    deadline_s = caller.at_s + _NOTICED_WITHIN_S + _WINDOW_S + _RENDERED_WITHIN_S
    while True:
        recording = await client.recording(tenant, caller.recording_id)
        state = recording_pb2.RecordingState.Name(recording.state).removeprefix("RECORDING_STATE_")
        if state in _GOOD_ENDS or time.time() > deadline_s:
            return state, recording_pb2.StopReason.Name(recording.stop_reason).removeprefix("STOP_REASON_")
        await asyncio.sleep(_LOOK_S)


def _lost_s(server: Server) -> dict[str, float]:
    """Read from the log when each recording's stream was noticed to be gone, Unix time."""
    lines = (json.loads(line) for line in server.log.splitlines() if line.startswith("{"))
    return {
        line["recording_id"]: datetime.fromisoformat(line["timestamp"]).timestamp()
        for line in lines
        if line.get("event") == "stream_lost"
    }


def _result(name: str, goal: str, gone: Sequence[Gone], facts: dict[str, Any], seed: int) -> Result:
    kinds = {(caller.way, caller.state) for caller in gone}
    ok = not facts["wrong"] and facts["latest_s"] <= _NOTICED_WITHIN_S and len(kinds) % len(STATES) == 0 and bool(kinds)
    figure = (
        f"{len(gone)} callers vanished in {len(kinds)} ways and states: {len(gone) - len(facts['wrong'])} ended as "
        f"they should; the last was noticed after {facts['latest_s']:.1f} s"
    )
    return Result(name, figure, goal, ok, {**facts, "callers": len(gone), "seed": seed})


@contextlib.contextmanager
def _cable(seed: int) -> Iterator[tuple[str, str, str]]:
    """Lay a cable to a network namespace; yields the namespace, the near end's name and its address."""
    number = (os.getpid() + seed) % 250
    namespace, near, far = (f"rec{os.getpid() % 10_000}{number}{end}" for end in ("n", "a", "b"))
    address = f"10.231.{number}.1"
    try:
        system("ip", "netns", "add", namespace)
        system("ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", namespace)
        system("ip", "addr", "add", f"{address}/30", "dev", near)
        system("ip", "link", "set", near, "up")
        system("ip", "-n", namespace, "addr", "add", f"10.231.{number}.2/30", "dev", far)
        system("ip", "-n", namespace, "link", "set", far, "up")
        yield namespace, near, address
    finally:
        for command in (("ip", "link", "del", near), ("ip", "netns", "del", namespace)):
            with contextlib.suppress(RuntimeError):
                system(*command)


async def _callers(settings: dict[str, Any]) -> None:
    """Be the process that is killed: one caller in each state, told in one line; then wait."""
    metadata = [(key, value) for key, value in settings["metadata"]]
    async with grpc.aio.insecure_channel(settings["target"]) as channel:
        callers = [Caller(channel, metadata, state) for state in STATES]
        await asyncio.gather(*(caller.enter() for caller in callers))
        await asyncio.sleep(0.3)
        sys.stdout.write(json.dumps({caller.state: caller.recording_id for caller in callers}) + "\n")
        sys.stdout.flush()
        await asyncio.sleep(_HELD_S)


_BUGS = "tests.robustness.operational_bugs"
SCENARIOS = (
    Scenario("vanished_callers", _PEERS_GOAL, peers, (f"{_BUGS}:end_of_stream_is_a_hang_up",)),
    Scenario("vanished_link", _LINK_GOAL, link, (f"{_BUGS}:dead_lines_are_kept",)),
)


if __name__ == "__main__":
    asyncio.run(_callers(json.loads(sys.argv[1])))

"""A server under strace in scripted calls, a kill and a restart, and what its clients know of it."""

import asyncio
import os
import random
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tests.harness.client import Call, Client, Ledger, Tenant, leg
from tests.harness.server import Server
from tests.robustness import planted, syscall_trace

from recorder.v1 import recording_pb2
from recorder_service.journal import JournalSettings

SETTINGS = JournalSettings(segment_bytes=8192, reserve_bytes=0)
LEGS = ("caller", "callee")
_PROMISES = "RECORDER_TEST_PROMISES"


def promising() -> None:
    """Make the server write down what it promises, in the order of its system calls, and use small segments."""
    from recorder_service.bootstrap import recording
    from recorder_service.sessions.acknowledgements import Acknowledgements
    from recorder_service.sessions.live_recording import LiveRecording

    planted.replace(
        recording, "JournalSettings", partial(JournalSettings, segment_bytes=SETTINGS.segment_bytes, reserve_bytes=0)
    )
    promises = os.open(os.environ[_PROMISES], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    take, tell, attach = LiveRecording.__init__, Acknowledgements.tell, Acknowledgements.attach

    def taken(self: Any, recording: Any, **parts: Any) -> None:
        take(self, recording, **parts)
        self.feed.acks.recording_id = recording.recording_id

    def told(act: Callable[..., None]) -> Callable[..., None]:
        def promise(self: Any, *arguments: Any) -> None:
            before = self._told
            act(self, *arguments)
            if self._told > before:
                os.write(promises, f"{self.recording_id} {self._told}\n".encode())

        return promise

    planted.replace(LiveRecording, "__init__", taken)
    planted.replace(Acknowledgements, "tell", told(tell))
    planted.replace(Acknowledgements, "attach", told(attach))


def no_directory_sync() -> None:
    """Planted bug: new segments get no fsync of their directory."""
    from recorder_service.journal import segments

    promising()
    planted.replace(segments, "sync_directory", lambda directory: None)


def acknowledged_before_sync() -> None:
    """Planted bug: entries count as durable before fdatasync."""
    from recorder_service.journal.writer import Writer

    promising()
    commit, acknowledge = Writer._commit, Writer._acknowledge

    def early(self: Any, batch: Any) -> None:
        acknowledge(self, batch, 0.0)
        time.sleep(0.02)
        commit(self, batch)

    planted.replace(Writer, "_commit", early)
    planted.replace(Writer, "_acknowledge", lambda self, batch, elapsed_s: None)


@dataclass(slots=True)
class Traced:
    """A server's life under strace, and what its clients know."""

    root: Path
    traces: list[Path] = field(default_factory=list)
    ledgers: dict[uuid.UUID, Ledger] = field(default_factory=dict)
    stored: dict[uuid.UUID, str] = field(default_factory=dict)
    tenant: Tenant | None = None

    @property
    def data_dir(self) -> Path:
        """The server's."""
        return self.root / "data"

    @property
    def promises(self) -> Path:
        """Where the server writes what it promises."""
        return self.root / "promises"


async def trace(traced: Traced, plant: str, dice: random.Random, messages: int) -> None:
    """Record calls: two that end, one over a kill and a restart, then an orderly close."""
    environment = {_PROMISES: str(traced.promises)}
    server = Server(
        traced.data_dir,
        arguments=["--resume-window-s", "30"],
        environment=environment,
        module=planted.planted(plant),
    )
    try:
        _start(server, traced)
        async with Client(server.ports.grpc) as client:
            tenant = traced.tenant = await client.create_tenant(server.admin_token)
            kept = await _call(traced, client, tenant)
            await asyncio.gather(
                _whole_call(traced, client, tenant, dice, messages),
                _whole_call(traced, client, tenant, dice, messages // 2),
                _talk(kept, dice, messages),
            )
            await kept.acknowledged(kept.sequence - 1)
        await asyncio.sleep(0.2)
        server.kill()
        await _trace_ended(traced.traces[-1])
        _start(server, traced)
        async with Client(server.ports.grpc) as client:
            again = Call(client, tenant.metadata, kept.ledger)
            await again.resume(kept.recording_id)
            await asyncio.gather(
                _talk(again, dice, messages // 2), _whole_call(traced, client, tenant, dice, messages // 2)
            )
            await _hang_up(traced, again)
        server.terminate()
        await _trace_ended(traced.traces[-1])
    finally:
        server.close()


def _start(server: Server, traced: Traced) -> None:
    traced.traces.append(traced.root / f"trace-{len(traced.traces)}")
    server.prefix = syscall_trace.command(traced.traces[-1])
    server.start()


async def _trace_ended(trace: Path) -> None:
    """Wait until strace has written all it knows."""
    size = -1
    async with asyncio.timeout(20):
        while (now := trace.stat().st_size) != size:
            size = now
            await asyncio.sleep(0.3)


async def _call(traced: Traced, client: Client, tenant: Tenant) -> Call:
    call = Call(client, tenant.metadata)
    mulaw = recording_pb2.AUDIO_ENCODING_MULAW
    legs = [
        leg("caller", recording_pb2.LEG_ROLE_CALLER, mulaw, 8000),
        leg("callee", recording_pb2.LEG_ROLE_CALLEE, mulaw, 8000),
    ]
    await call.open(legs=legs, ncco={"action": "record", "format": "wav"})
    traced.ledgers[uuid.UUID(call.recording_id)] = call.ledger
    return call


async def _whole_call(traced: Traced, client: Client, tenant: Tenant, dice: random.Random, messages: int) -> None:
    call = await _call(traced, client, tenant)
    await _talk(call, dice, messages)
    # An empty pause: by the clock it would swallow audio of a call that is faster than real time.
    at = call.sequence * 320
    await call.pause(frame=at)
    await call.go_on(frame=at)
    await call.press("5", frame=16_000)
    await _talk(call, dice, 5)
    await _hang_up(traced, call)


async def _talk(call: Call, dice: random.Random, messages: int) -> None:
    first = call.sequence
    noise = np.random.default_rng(dice.randrange(1 << 32))
    for number in range(first, first + messages):
        parts = {name: (number * 160, noise.bytes(160)) for name in LEGS}
        await call.audio(**parts)
        await asyncio.sleep(0.005)


async def _hang_up(traced: Traced, call: Call) -> None:
    recording = await call.hang_up()
    assert recording.state == recording_pb2.RECORDING_STATE_AVAILABLE, recording
    traced.stored[uuid.UUID(call.recording_id)] = recording.file.sha256

"""Conferences for a long time, many at once, and killed: alignment, acknowledgements, and files to the last bit."""

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from tests.harness.client import Client, Metadata, Tenant
from tests.harness.conference import Stream, participant
from tests.harness.server import Server
from tests.robustness.report import Result, Scenario
from tests.unit.sessions.conference_stage import Sender, Stage, alignment_errors_s, play

from recorder_service.audio.formats import Encoding, LegFormat

_ALIGNED = "within 5 ms of the truth over 2 hours of media time, duration right to one frame (quick: 10 minutes)"
_PROMPT = "50 conferences of 6 legs in real time: no acknowledgement later than 500 ms (quick: 5 of 6, 10 s)"
_LATE_S = 0.5
_SETTLED_S = 60.0


async def aligned(seed: int, quick: bool) -> Result:
    """Six senders, 200 ppm either way, 2 % lost, 300 ms stalls, late joiners, one that sends only when it speaks."""
    seconds = 600.0 if quick else 7200.0
    law = LegFormat(Encoding.MULAW, 8000)
    senders = (
        Sender("true"),
        Sender("fast", ppm=200, lost=0.02, stalls=0.005, joined_s=1),
        Sender("silent", ppm=-150, silent=True, lost=0.02, joined_s=2),
        Sender("slow", ppm=-200, lost=0.02, stalls=0.005, joined_s=30, format=law),
        Sender("later", ppm=50, lost=0.02, stalls=0.01, joined_s=seconds / 4, format=law),
        Sender("last", ppm=-30, lost=0.02, stalls=0.01, joined_s=seconds / 2),
    )
    began_s = time.process_time()
    with ThreadPoolExecutor(2) as workers:
        stage = Stage(workers, len(senders))
        streams = await play(stage, senders, seconds, seed)
        for sender in senders[1:]:
            await streams[sender.leg_id].close(streams[sender.leg_id].next_sequence)
        await streams["true"].leave(streams["true"].next_sequence, "true", int(seconds) * 16_000)
        recording = await stage.ended(600)
        await stage.background.wait(60)
    worst_ms: dict[str, float] = {}
    usual_ms: dict[str, float] = {}
    heard: dict[str, int] = {}
    for channel, sender in enumerate(senders):
        errors_s = alignment_errors_s(stage.files[0], channel, sender.joined_s + _SETTLED_S)
        worst_ms[sender.leg_id] = round(float(np.abs(errors_s).max()) * 1000, 2)
        usual_ms[sender.leg_id] = round(float(np.percentile(np.abs(errors_s), 95)) * 1000, 2)
        heard[sender.leg_id] = len(errors_s)
    off_frames = stage.files[0].frames - int(seconds) * 16_000
    drift_ppm = {leg.leg_id: leg.drift_ppb and leg.drift_ppb / 1000 for leg in recording.legs}
    legs_s = sum(seconds - sender.joined_s for sender in senders)
    cost_s = (time.process_time() - began_s) / legs_s * 3600
    worst = max(worst_ms.values())
    figure = f"{seconds / 3600:g} h: worst {worst:g} ms, {off_frames} frames too long, {cost_s:.1f} CPU-s a leg-hour"
    details = {
        "worst_ms": worst_ms,
        "p95_ms": usual_ms,
        "pulses": heard,
        "drift_ppm": drift_ppm,
        "off_frames": off_frames,
        "cpu_s_per_leg_hour": cost_s,
    }
    return Result("conference_alignment", figure, _ALIGNED, worst < 5 and abs(off_frames) <= 1, details)


async def prompt(seed: int, quick: bool) -> Result:
    """Record from another process, each leg on a stream of its own; what a client waits for an acknowledgement."""
    conferences, legs, seconds = (5, 6, 10.0) if quick else (50, 6, 60.0)
    with tempfile.TemporaryDirectory(prefix="robustness-") as directory:
        server = Server(Path(directory) / "data", environment={"RECORDER_MAX_LIVE_RECORDINGS": "200"})
        try:
            await asyncio.to_thread(server.start)
            async with Client(server.ports.grpc) as client:
                tenant = await client.create_tenant(server.admin_token)
            cpu_s = server.cpu_s()
            found = await _feed_elsewhere(server.ports.grpc, tenant, conferences, legs, seconds)
            cpu_s = server.cpu_s() - cpu_s
        finally:
            await asyncio.to_thread(server.close)
    leg_hours = conferences * legs * seconds / 3600
    late = sum(wait_ms > _LATE_S * 1000 for wait_ms in found["waits_ms"])
    worst_ms, p99_ms = max(found["waits_ms"]), float(np.percentile(found["waits_ms"], 99))
    figure = (
        f"{conferences} conferences of {legs} legs, {seconds:g} s: {late} of {len(found['waits_ms'])} acknowledgements "
        f"late, p99 {p99_ms:.0f} ms, worst {worst_ms:.0f} ms; {cpu_s / leg_hours:.1f} CPU-s a leg-hour; "
        f"{found['completed']} files; sender late by {found['late_ms']:.0f} ms"
    )
    ok = late == 0 and found["completed"] == conferences
    details = {"late": late, "p99_ms": p99_ms, "worst_ms": worst_ms, "cpu_s_per_leg_hour": cpu_s / leg_hours,
               "late_ms": found["late_ms"], "seed": seed}  # fmt: skip
    return Result("conference_load", figure, _PROMPT, ok, details)


async def _feed_elsewhere(port: int, tenant: Tenant, conferences: int, legs: int, seconds: float) -> dict[str, Any]:
    """Run the senders in a process of their own, so that they do not take the server's time."""
    wanted = json.dumps([port, list(tenant.metadata), conferences, legs, seconds])
    command = [sys.executable, "-m", "tests.robustness.conferences", wanted]
    done = await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, text=True, timeout=600)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class Feeder:
    """One leg on a stream of its own, in real time."""

    def __init__(self, stream: Stream, leg_id: str) -> None:
        self.stream = stream
        self.waits_ms: list[float] = []
        self.completed = 0
        self.late_ms = 0.0
        self._leg_id = leg_id
        self._sent_s: dict[int, float] = {}

    async def send(self, began_s: float, seconds: float) -> None:
        """Send 100 ms each 100 ms; then close."""
        payload = (np.random.default_rng(1).normal(0, 2000, 1600)).astype("<i2").tobytes()
        for at in range(int(seconds * 10)):
            wait_s = began_s + at * 0.1 - time.monotonic()
            self.late_ms = max(self.late_ms, -wait_s * 1000)
            await asyncio.sleep(max(0.0, wait_s))
            self._sent_s[self.stream.sequence] = time.monotonic()
            await self.stream.audio(**{self._leg_id: (at * 1600, payload)})
        await self.stream.close()

    async def listen(self) -> None:
        """Measure, for each message, how long its acknowledgement took beyond the interval that was asked for."""
        while (response := await self.stream.receive()) is not None:
            if response.HasField("ack"):
                now_s = time.monotonic()
                acknowledged = [sequence for sequence in self._sent_s if sequence <= response.ack.sequence]
                self.waits_ms += [(now_s - self._sent_s.pop(sequence)) * 1000 for sequence in acknowledged]
            elif response.HasField("completed"):
                self.completed += 1


async def feed(port: int, metadata: Metadata, conferences: int, legs: int, seconds: float) -> dict[str, Any]:
    """Feed conferences and return what was seen."""
    async with Client(port) as client:
        feeders = []
        for number in range(conferences):
            for leg in range(legs):
                stream = Stream(client, metadata)
                await stream.join(f"room {number}", [participant(f"leg{leg}")], ncco={"action": "record"})
                feeders.append(Feeder(stream, f"leg{leg}"))
        began_s = time.monotonic() + 0.5
        # Not all in the same instant, as in life.
        sending = [feeder.send(began_s + 0.1 * index / len(feeders), seconds) for index, feeder in enumerate(feeders)]
        listening = [asyncio.create_task(feeder.listen()) for feeder in feeders]
        await asyncio.gather(*sending)
        with contextlib.suppress(grpc.aio.AioRpcError):
            await asyncio.wait_for(asyncio.gather(*listening), 60)
    return {
        "waits_ms": [wait_ms for feeder in feeders for wait_ms in feeder.waits_ms],
        "completed": sum(feeder.completed for feeder in feeders),
        "late_ms": max(feeder.late_ms for feeder in feeders),
    }


SCENARIOS = (
    Scenario("conference_alignment", _ALIGNED, aligned),
    Scenario("conference_load", _PROMPT, prompt),
)

if __name__ == "__main__":
    port, metadata, conferences, legs, seconds = json.loads(sys.argv[1])
    found = asyncio.run(feed(port, [tuple(pair) for pair in metadata], conferences, legs, seconds))
    sys.stdout.write(json.dumps(found))

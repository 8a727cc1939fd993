"""A conference for hours of media time: how far each sender's channel is from the truth."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tests.robustness.report import Result, Scenario
from tests.unit.sessions.conference_stage import Sender, Stage, alignment_errors_s, play

from recorder_service.audio.formats import Encoding, LegFormat

_GOAL = "within 5 ms of the truth over 2 hours of media time, duration right to one frame (quick: 10 minutes)"
_SETTLED_S = 60.0
# Who speaks once in five seconds has said twelve words in a minute.
_SELDOM_SETTLED_S = 120.0


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
        errors_s = alignment_errors_s(
            stage.files[0], channel, sender.joined_s + (_SELDOM_SETTLED_S if sender.silent else _SETTLED_S)
        )
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
    return Result("conference_alignment", figure, _GOAL, worst < 5 and abs(off_frames) <= 1, details)


SCENARIOS = (
    Scenario(
        "conference_alignment",
        _GOAL,
        aligned,
        ("tests.robustness.conference_bugs:drift_is_measured_but_not_corrected",),
    ),
)

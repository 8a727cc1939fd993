"""Audio is counted in seconds, whenever somebody looks, and once."""

import asyncio
import uuid
from dataclasses import replace

from prometheus_client import CollectorRegistry
from tests.unit.sessions.recordings import CALLEE, CALLER

from recorder_service.audio.wav import WavEncoder
from recorder_service.metrics.audio import AudioMetrics
from recorder_service.metrics.looks import look_at_audio

ID = uuid.uuid4()


def made() -> tuple[AudioMetrics, CollectorRegistry]:
    registry = CollectorRegistry()
    return AudioMetrics(registry), registry


def test_legs_of_different_rates_add_up_in_seconds() -> None:
    """8000 frames at 8 kHz and 16 000 at 16 kHz are two seconds; what is late, missing or repeated likewise."""
    audio, registry = made()
    audio.begin(ID, (CALLER, CALLEE))
    caller = replace(CALLER, frames=8000, gap_frames=4000, late_frames=800)
    audio.note(ID, (caller, replace(CALLEE, frames=16_000, repeated_frames=1600)))
    told = {
        kind: registry.get_sample_value(f"recorder_audio_{kind}_seconds_total")
        for kind in ("received", "gap", "late", "repeated")
    }
    assert told == {"received": 2.0, "gap": 0.5, "late": 0.1, "repeated": 0.1}


def test_every_second_counts_once_however_often_it_is_looked_at() -> None:
    """Between looks only the growth counts, at the end the rest; then the recording is forgotten."""
    audio, registry = made()
    audio.begin(ID, (CALLER,))
    for frames in (8000, 8000, 12_000):
        audio.note(ID, (replace(CALLER, frames=frames),))
    audio.settle(ID, (replace(CALLER, frames=16_000),))
    audio.settle(ID, (replace(CALLER, frames=16_000),))
    assert registry.get_sample_value("recorder_audio_received_seconds_total") == 2.0


def test_what_a_former_run_counted_does_not_count_again() -> None:
    """A recording that a restart brought back begins with what it had."""
    audio, registry = made()
    audio.begin(ID, (replace(CALLER, frames=80_000),))
    audio.settle(ID, (replace(CALLER, frames=88_000),))
    assert registry.get_sample_value("recorder_audio_received_seconds_total") == 1.0


async def test_looking_at_many_recordings_lets_others_work_meanwhile() -> None:
    """After each fifty the loop gets its turn."""
    audio, _ = made()
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    class Live:
        def __init__(self) -> None:
            from tests.unit.sessions.recordings import a_recording

            self.recording = a_recording()
            self.received = self.recording.legs

    task = asyncio.create_task(others())
    await look_at_audio([Live() for _ in range(200)], audio)
    task.cancel()
    assert turns >= 3


async def test_workers_and_encoders_have_clocks() -> None:
    """The time they take is counted, whatever they return, and their errors come through."""
    import numpy as np

    audio, registry = made()
    audio.threads(2)
    with audio.workers(2) as workers:
        loop = asyncio.get_running_loop()
        data = await loop.run_in_executor(workers, WavEncoder(1).encode, np.zeros((1, 160_000), np.int16))
        failed = await asyncio.gather(loop.run_in_executor(workers, int, "x"), return_exceptions=True)
    assert len(data) == 320_000
    assert isinstance(failed[0], ValueError)
    audio.encoded(0.25)
    audio.encoded(0.5)
    assert registry.get_sample_value("recorder_encoder_seconds_total") == 0.75
    assert (registry.get_sample_value("recorder_render_seconds_total") or 0) > 0
    assert registry.get_sample_value("recorder_render_threads") == 2

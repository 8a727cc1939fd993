"""The least that the parts of the work cost: receiving, encoding and syncing, each alone."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lameenc
import numpy as np
from tests.bench import generator, messages
from tests.bench.audio import VARIANTS, mixed_blocks
from tests.bench.load import Load, Window
from tests.bench.traffic import Traffic
from tests.harness.processes import Watch

_ROOT = Path(__file__).parents[2]
_STOP_TIMEOUT_S = 10.0
_ENCODED_S = 30
_SYNCED_S = 3.0
_BITRATES_KBPS = {False: 32, True: 64}


@dataclass(frozen=True, slots=True)
class Receipt:
    """What receiving alone cost.

    Attributes:
        cpu_s_per_call_hour: Of the server.
        us_per_message: The same, by message.
        late_p99_ms: Of the generator.
    """

    cpu_s_per_call_hour: float
    us_per_message: float
    late_p99_ms: float


def receive(load: Load, *, tuned: bool) -> Receipt:
    """Send a load to a server that only receives."""
    with receiver(tuned=tuned) as (pid, port), Watch(pid) as watch:
        traffic = send(load, port)
    if traffic.errors:
        raise RuntimeError(f"{len(traffic.errors)} calls failed: {traffic.errors[0]}")
    window = Window.steady(traffic, load)
    cpu_s = watch.usage.cpu_s(window.start_ns, window.end_ns)
    sent = load.calls * window.seconds * 1000 / load.form.message_ms
    return Receipt(cpu_s / load.calls / window.seconds * 3600, cpu_s / sent * 1e6, traffic.late_ms.p99)


def send(load: Load, port: int) -> Traffic:
    """Send a load to whoever receives on a loopback port."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        files = messages.write(load.form, load.calls, Path(directory))
        return generator.run(generator.Plan.of(f"127.0.0.1:{port}", {}, files, load))


@contextmanager
def receiver(*, tuned: bool) -> Iterator[tuple[int, int]]:
    """Run a server that only receives; gives its process id and port."""
    command = [sys.executable, "-m", "tests.bench.bare_receiver", *(["--tuned"] if tuned else [])]
    process = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the bare receiver ended with {process.wait(_STOP_TIMEOUT_S)}")
        yield process.pid, int(line)
    finally:
        process.terminate()
        process.wait(_STOP_TIMEOUT_S)
        if process.stdout is not None:
            process.stdout.close()


def encode(*, split: bool, quality: int = 5) -> float:
    """Return what LAME alone takes for an hour of a call in blocks of 1 s, CPU seconds."""
    blocks = [list(mixed_blocks(variant, _ENCODED_S, split=split)) for variant in range(VARIANTS)]
    interleaved = [[np.ascontiguousarray(block.T, dtype="<i2") for block in call] for call in blocks]
    began_s = time.thread_time()
    for call in interleaved:
        lame = _lame(2 if split else 1, _BITRATES_KBPS[split], quality)
        for block in call:
            lame.encode(block)
        lame.flush()
    return (time.thread_time() - began_s) / (VARIANTS * _ENCODED_S) * 3600


def _lame(channels: int, bitrate_kbps: int, quality: int) -> lameenc.Encoder:
    lame = lameenc.Encoder()
    lame.silence()
    lame.set_channels(channels)
    lame.set_bit_rate(bitrate_kbps)
    lame.set_quality(quality)
    lame.set_in_sample_rate(16_000)
    lame.set_out_sample_rate(16_000)
    return lame


def sync(groups_per_s: float, bytes_per_s: float, directory: Path) -> float:
    """Return what writing so many bytes and as many fdatasync a second take, CPU seconds a second."""
    group = os.urandom(max(1, round(bytes_per_s / groups_per_s)))
    path = directory / "synced"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        began_s, began_cpu_s = time.monotonic(), time.thread_time()
        for index in range(max(1, round(groups_per_s * _SYNCED_S))):
            time.sleep(max(0.0, began_s + index / groups_per_s - time.monotonic()))
            os.write(descriptor, group)
            os.fdatasync(descriptor)
        # Pacing is part of it, as waking up is of any writer.
        return (time.thread_time() - began_cpu_s) / _SYNCED_S
    finally:
        os.close(descriptor)
        path.unlink()

"""The least that the parts of the work cost: receiving, encoding and syncing, each alone."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
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
    window = Window.steady(traffic, load)
    cpu_s = watch.usage.cpu_s(window.start_ns, window.end_ns)
    sent = load.calls * window.seconds * 1000 / load.form.message_ms
    return Receipt(cpu_s / load.calls / window.seconds * 3600, cpu_s / sent * 1e6, traffic.late_ms.p99)


def send(load: Load, port: int) -> Traffic:
    """Send a load to whoever receives on a loopback port.

    Raises:
        RuntimeError: A call failed.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        files = messages.write(load.form, load.calls, Path(directory))
        traffic = generator.run(generator.Plan.of(f"127.0.0.1:{port}", {}, files, load))
    if traffic.errors:
        raise RuntimeError(f"{len(traffic.errors)} calls failed: {traffic.errors[0]}")
    return traffic


@contextmanager
def receiver(*, tuned: bool) -> Iterator[tuple[int, int]]:
    """Run a server that only receives; gives its process id and port."""
    with _started("tests.bench.bare_receiver", *(["--tuned"] if tuned else [])) as (pid, line):
        yield pid, int(line)


@contextmanager
def least_recorder(waits: Path, *, wav: bool) -> Iterator[tuple[int, int]]:
    """Run the least program that does the whole work; gives its process id and port. It fills the file at its end."""
    with _started("tests.bench.least_recorder", str(waits), *(["--wav"] if wav else [])) as (pid, line):
        yield pid, int(line)


@contextmanager
def _started(module: str, *arguments: str) -> Iterator[tuple[int, str]]:
    """Run a program; gives its process id and the line it says when it is ready."""
    command = [sys.executable, "-m", module, *arguments]
    process = subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{module} ended with {process.wait(_STOP_TIMEOUT_S)}")
        yield process.pid, line
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
        encoder = lame(2 if split else 1, _BITRATES_KBPS[split], quality)
        for block in call:
            encoder.encode(block)
        encoder.flush()
    return (time.thread_time() - began_s) / (VARIANTS * _ENCODED_S) * 3600


def lame(channels: int, bitrate_kbps: int, quality: int = 5) -> lameenc.Encoder:
    """Return a bare encoder."""
    encoder = lameenc.Encoder()
    encoder.silence()
    encoder.set_channels(channels)
    encoder.set_bit_rate(bitrate_kbps)
    encoder.set_quality(quality)
    encoder.set_in_sample_rate(16_000)
    encoder.set_out_sample_rate(16_000)
    return encoder


def sync(groups_per_s: float, bytes_per_s: float, directory: Path) -> float:
    """Return what writing so many bytes and as many fdatasync a second take, CPU seconds a second."""
    with groups(groups_per_s, bytes_per_s, directory) as write:
        began_s, began_cpu_s = time.monotonic(), time.thread_time()
        for index in range(max(1, round(groups_per_s * _SYNCED_S))):
            time.sleep(max(0.0, began_s + index / groups_per_s - time.monotonic()))
            write(index)
        # Pacing is part of it, as waking up is of any writer.
        return (time.thread_time() - began_cpu_s) / _SYNCED_S


@contextmanager
def groups(groups_per_s: float, bytes_per_s: float, directory: Path) -> Iterator[Callable[[int], None]]:
    """Give what writes and syncs one group of such a size."""
    group = os.urandom(max(1, round(bytes_per_s / groups_per_s)))
    path = directory / "synced"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)

    def write(_index: int) -> None:
        os.write(descriptor, group)
        os.fdatasync(descriptor)

    try:
        yield write
    finally:
        os.close(descriptor)
        path.unlink()


def at_once(load: Load, groups_per_s: float, bytes_per_s: float) -> float:
    """Return what receiving, encoding and syncing take while all three run, each in real time, by call-hour."""
    figures = (load.calls, groups_per_s, bytes_per_s)
    with (
        _started("tests.bench.bare_work", *map(str, figures)) as (work, _),
        receiver(tuned=True) as (pid, port),
        Watch(work) as working,
        Watch(pid) as receiving,
    ):
        traffic = send(load, port)
    window = Window.steady(traffic, load)
    cpu_s = sum(watch.usage.cpu_s(window.start_ns, window.end_ns) for watch in (working, receiving))
    return cpu_s / load.calls / window.seconds * 3600

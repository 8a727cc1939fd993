"""What a process and all its children use, as the operating system counts it."""

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

_INTERVAL_S = 0.2
_TICKS_HZ = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def family(pid: int) -> Iterator[int]:
    """Yield a process and everything it started, as far as it lives."""
    yield pid
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in path.read_text().split():
                yield from family(int(child))


def render_processes(pid: int) -> list[int]:
    """Return the render processes of a service, or of what it started."""
    found = []
    for member in family(pid):
        with contextlib.suppress(OSError):
            if b"recorder_service.rendering" in Path(f"/proc/{member}/cmdline").read_bytes():
                found.append(member)
    return found


def cpu_s(pid: int) -> float:
    """Return the user and system time of all threads of a process, those that ended included, s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_HZ


def processor_ticks() -> tuple[int, int]:
    """Return the time of all processors since the machine started, and what the host took away of it (steal)."""
    ticks = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(ticks), ticks[7]


def steal_percent(since: tuple[int, int]) -> float:
    """Return what the host took of the processors' time since a look at `processor_ticks`."""
    ticks, stolen = processor_ticks()
    return 100 * (stolen - since[1]) / max(1, ticks - since[0])


def rss_bytes(pid: int) -> int:
    """Return the resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES


@dataclass(frozen=True, slots=True)
class Sample:
    """What had been used by an instant."""

    time_ns: int
    cpu_s: float
    rss_bytes: int


@dataclass(slots=True)
class Usage:
    """Samples in the order of time."""

    samples: list[Sample] = field(default_factory=list)

    def cpu_s(self, start_ns: int, end_ns: int) -> float:
        """Return the CPU time used between two instants, s."""
        return self._cpu_at(end_ns) - self._cpu_at(start_ns)

    def rss_bytes(self, start_ns: int, end_ns: int) -> int:
        """Return the most memory that was resident between two instants."""
        inside = [sample.rss_bytes for sample in self.samples if start_ns <= sample.time_ns <= end_ns]
        return max(inside, default=0)

    def _cpu_at(self, time_ns: int) -> float:
        after = next((i for i, sample in enumerate(self.samples) if sample.time_ns >= time_ns), len(self.samples) - 1)
        last, before = self.samples[after], self.samples[max(after - 1, 0)]
        if last.time_ns == before.time_ns:
            return last.cpu_s
        share = (time_ns - before.time_ns) / (last.time_ns - before.time_ns)
        return before.cpu_s + min(share, 1.0) * (last.cpu_s - before.cpu_s)


class Watch:
    """Samples a process and its children until it is left."""

    def __init__(self, pid: int) -> None:
        """Watch this process."""
        self.usage = Usage()
        self._pid = pid
        self._cpu_s: dict[int, float] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Self:
        self._sample()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        self._sample()

    def _run(self) -> None:
        while not self._end.wait(_INTERVAL_S):
            self._sample()

    def _sample(self) -> None:
        resident = 0
        for pid in family(self._pid):
            # A child may end between two looks; what it used stays counted.
            with contextlib.suppress(OSError, IndexError):
                self._cpu_s[pid] = cpu_s(pid)
                resident += rss_bytes(pid)
        self.usage.samples.append(Sample(time.time_ns(), sum(self._cpu_s.values()), resident))

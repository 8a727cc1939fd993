"""Audio: what came in, what was missing or came for nothing, and what rendering costs."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar
from uuid import UUID

from prometheus_client import CollectorRegistry, Counter, Gauge

from recorder_service.domain.recording import RecordedLeg

P = ParamSpec("P")
T = TypeVar("T")

# In this order: received, missing, late, repeated.
_Sums = tuple[float, float, float, float]
_NOTHING: _Sums = (0.0, 0.0, 0.0, 0.0)


class AudioMetrics:
    """Counts audio in seconds: legs have rates of their own, so frames of several legs add up to nothing.

    The way of a message is not touched: totals that recordings keep anyway are looked at now and then.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        """Start at zero."""
        self._counters = (
            Counter("recorder_audio_received_seconds", "Audio taken, of all legs.", registry=registry),
            Counter(
                "recorder_audio_gap_seconds",
                "Silence put where a leg should have sent audio and did not in time.",
                registry=registry,
            ),
            Counter(
                "recorder_audio_late_seconds", "Audio dropped: it came after its block had closed.", registry=registry
            ),
            Counter("recorder_audio_repeated_seconds", "Audio dropped: it came again.", registry=registry),
        )
        self._encoder = Counter("recorder_encoder_seconds", "Time spent in MP3 and WAV encoders.", registry=registry)
        self._render = Counter(
            "recorder_render_seconds",
            "Time the render threads were busy: having audio mixed and encoded, writing the spool, sealing files.",
            registry=registry,
        )
        self._threads = Gauge(
            "recorder_render_threads",
            "Render threads; as many more each for ends and, while these are idle, backlogs.",
            registry=registry,
        )
        self._memory = Gauge(
            "recorder_render_resident_memory_bytes",
            "Resident memory of the render processes; process_resident_memory_bytes does not hold it.",
            registry=registry,
        )
        self._seen: dict[UUID, _Sums] = {}

    def begin(self, recording_id: UUID, legs: Iterable[RecordedLeg]) -> None:
        """Count a recording from here on: what it has already was counted, or came before a restart."""
        self._seen[recording_id] = _sums(legs)

    def note(self, recording_id: UUID, legs: Iterable[RecordedLeg]) -> None:
        """Count what a live recording got since last time; one that did not `begin` counts nothing."""
        before = self._seen.get(recording_id)
        if before is None:
            return
        after = self._seen[recording_id] = _sums(legs)
        for counter, old, new in zip(self._counters, before, after, strict=True):
            if new > old:
                counter.inc(new - old)

    def settle(self, recording_id: UUID, legs: Iterable[RecordedLeg]) -> None:
        """Count the rest of a recording that ended, and forget it."""
        self.note(recording_id, legs)
        self._seen.pop(recording_id, None)

    def look_at_processes(self, resident_bytes: int) -> None:
        """Note how much memory the render processes have."""
        self._memory.set(resident_bytes)

    def encoded(self, spent_s: float) -> None:
        """Count time spent in an encoder."""
        self._encoder.inc(spent_s)

    def threads(self, count: int) -> None:
        """Tell how many threads render calls in real time."""
        self._threads.set(count)

    def workers(self, threads: int) -> ThreadPoolExecutor:
        """Make render threads, with a clock on them."""
        return _ClockedThreads(threads, self._render)


class _ClockedThreads(ThreadPoolExecutor):
    def __init__(self, threads: int, spent: Counter) -> None:
        super().__init__(threads, thread_name_prefix="render")
        self._spent = spent

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        def clocked() -> T:
            began_s = time.perf_counter()
            try:
                return fn(*args, **kwargs)
            finally:
                self._spent.inc(time.perf_counter() - began_s)

        return super().submit(clocked)


def _sums(legs: Iterable[RecordedLeg]) -> _Sums:
    received, gap, late, repeated = _NOTHING
    for leg in legs:
        rate = leg.sample_rate_hz
        received += leg.frames / rate
        gap += leg.gap_frames / rate
        late += leg.late_frames / rate
        repeated += leg.repeated_frames / rate
    return received, gap, late, repeated

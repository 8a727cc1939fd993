"""What the generator saw."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Of durations, ms."""

    p50: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class CallTimes:
    """When what happened to one call, ns since the epoch; 0 is never."""

    began: int
    opened: int
    closed: int
    stopped: int
    completed: int
    ended: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the generator saw.

    Attributes:
        calls: Calls, or streams of conferences.
        sent: Messages of audio; `acknowledged` of them.
        late_ms: How late the generator itself was.
        held_ms: How long the server let a message wait before it was taken.
        ack_ms: From sending a message to the acknowledgement that covers it.
        cpu_s: Of the generator.
    """

    calls: tuple[CallTimes, ...]
    sent: int
    sent_bytes: int
    acknowledged: int
    late_ms: Quantiles
    held_ms: Quantiles
    ack_ms: Quantiles
    cpu_s: float

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Traffic":
        """Read what the generator printed."""
        quantiles = {name: Quantiles(**told[name]) for name in ("late_ms", "held_ms", "ack_ms")}
        calls = tuple(CallTimes(**call) for call in told["calls"])
        return cls(**{**told, **quantiles, "calls": calls})

    def completed(self, streams: int = 1) -> int:
        """Count the recordings whose end was told; only the last of so many streams of a conference may hear of it."""
        return len({number // streams for number, call in enumerate(self.calls) if call.completed})

    @property
    def errors(self) -> list[str]:
        """Of the calls that failed."""
        return [call.error for call in self.calls if call.error]

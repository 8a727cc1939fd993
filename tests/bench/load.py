"""What a scenario sends, and the stretch of it that is measured."""

from dataclasses import dataclass, replace

from tests.bench.messages import Form
from tests.bench.traffic import Traffic

_SETTLE_S = 2.5
_BEGINNINGS_PER_S = 50
_FINISHING_S = 60.0
_LEAST_LATENESS_MS = 20.0


@dataclass(frozen=True, slots=True)
class Load:
    """Calls side by side.

    Attributes:
        form: Of the messages.
        calls: In all.
        spacing_ms: Between the beginnings of two calls.
        real_time: Otherwise as fast as the server takes the messages.
    """

    form: Form
    calls: int
    spacing_ms: float
    real_time: bool = True

    @property
    def interval_ms(self) -> float:
        """Between two messages of a call; 0 is full speed."""
        return float(self.form.message_ms) if self.real_time else 0.0

    @property
    def call_s(self) -> float:
        """Length of a call."""
        return self.form.seconds + self.form.silence_s

    @property
    def churns(self) -> bool:
        """Whether the first calls end before the last begin."""
        return self.spacing_ms * self.calls > self.call_s * 1000

    @property
    def timeout_s(self) -> float:
        """By when everything must be over."""
        return self.calls * self.spacing_ms / 1000 + self.call_s + _FINISHING_S

    def kept_pace(self, traffic: Traffic) -> bool:
        """Tell whether the generator was in time: a run in which it was not says nothing about the server."""
        return traffic.late_ms.p99 <= max(_LEAST_LATENESS_MS, self.interval_ms / 2)


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time, ns since the epoch."""

    start_ns: int
    end_ns: int

    @classmethod
    def steady(cls, traffic: Traffic, load: Load) -> "Window":
        """Return the stretch in which as many calls live as ever do: none begins that does not replace another."""
        began = sorted(call.began for call in traffic.calls)
        if load.churns:
            return cls(began[0] + round(load.call_s * 1e9), began[-1])
        start_ns = began[-1] + round(_SETTLE_S * 1e9)
        end_ns = min(call.closed or call.stopped or call.ended for call in traffic.calls)
        return cls(start_ns, end_ns)

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.end_ns - self.start_ns) / 1e9


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things are looked at.

    Attributes:
        ramp_s: In which all calls begin, if they are not too many for it.
        window_s: That is measured, at least.
    """

    ramp_s: float
    window_s: float

    @classmethod
    def full(cls) -> "Pace":
        """Return what `make bench` takes."""
        return cls(2.0, 5.0)

    @classmethod
    def quick(cls) -> "Pace":
        """Return what `make bench QUICK=1` takes."""
        return cls(1.0, 3.5)

    def load(self, form: Form, calls: int) -> Load:
        """Return a load whose calls all live at once for the window; the form's own length does not matter."""
        # Where 400 calls live at once, a few begin in a second: 200 would be a test of its own.
        ramp_s = max(self.ramp_s, calls / _BEGINNINGS_PER_S)
        seconds = ramp_s + _SETTLE_S + self.window_s + 0.5
        return Load(replace(form, seconds=seconds), calls, ramp_s * 1000 / calls)

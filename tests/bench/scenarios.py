"""The scenarios: what is sent, and against which floors its cost is held."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from tests.bench import floors, live_run, peers
from tests.bench.floor_shelf import FloorShelf
from tests.bench.load import Load, Pace
from tests.bench.messages import Form
from tests.bench.result import Result

from recorder_service.audio.formats import Encoding

_TELEPHONE = Form(20, 0, encoding=Encoding.MULAW, sample_rate_hz=8000)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One line of the results.

    Attributes:
        run: Measures once.
        quick: Whether it belongs to the short form too.
    """

    name: str
    run: Callable[[], Result]
    quick: bool = False


class Scenarios:
    """All scenarios of one run, which share the floors they have in common."""

    def __init__(self, *, quick: bool) -> None:
        """Choose how long things are measured."""
        self._quick = quick
        self._pace = Pace.quick() if quick else Pace.full()
        self._floors = FloorShelf()

    def all(self) -> Iterator[Scenario]:
        """Yield them in the order in which they are run."""
        for calls in (50, 100, 200, 400):
            name = f"mono_mp3_100ms_{calls}"
            yield Scenario(name, partial(self._steady, name, Form(100, 0), calls), quick=calls <= 100)
        for calls in (50, 100):
            name = f"mono_mp3_20ms_{calls}"
            yield Scenario(name, partial(self._steady, name, Form(20, 0), calls), quick=calls == 50)
        wav, split = {"format": "wav"}, {"split": "conversation"}
        yield Scenario("mono_wav_100ms_400", partial(self._steady, "mono_wav_100ms_400", Form(100, 0, ncco=wav), 400))
        yield Scenario(
            "split_mp3_100ms_100", partial(self._steady, "split_mp3_100ms_100", Form(100, 0, ncco=split), 100)
        )
        yield Scenario("g711_20ms_200", partial(self._steady, "g711_20ms_200", _TELEPHONE, 200))
        for calls, message_ms in ((350, 100), (180, 20)):
            name = f"one_core_{message_ms}ms_{calls}"
            yield Scenario(name, partial(self._one_core, name, Form(message_ms, 0), calls))
        yield Scenario("conference_of_6", self._conference)
        yield Scenario("conferences_of_6_apart", self._conferences_apart)
        yield Scenario("hang_up_100_live", self._hang_up)
        yield Scenario("short_calls", self._short_calls, quick=True)
        yield Scenario("voicemail", self._voicemail)
        yield Scenario("long_call", self._long_call, quick=True)
        yield Scenario("receive", self._receive, quick=True)
        yield Scenario("peers", self._peers, quick=True)

    def _steady(self, name: str, form: Form, calls: int) -> Result:
        """Measure calls that all live at once, and the floors under them."""
        load = self._pace.load(form, calls)
        run = live_run.record(load)
        figures = {**run.figures, **self._against_floors(load, run)}
        return Result(name, figures, run.faults)

    def _against_floors(self, load: Load, run: live_run.Run) -> dict[str, float]:
        # Floors at every level would take as long again: those of the goals do.
        if load.calls == 200 or (load.calls == 50 and not (self._quick and load.form.message_ms == 20)):
            return {}
        receipt = self._floors.receive(load)
        wav = load.form.ncco.get("format") == "wav"
        encode = 0.0 if wav else self._floors.encode(split="split" in load.form.ncco)
        sync = self._floors.sync(run.groups_per_s, run.bytes_per_s) / load.calls * 3600
        floor = receipt.cpu_s_per_call_hour + encode + sync
        judged = load.calls == 100 and load.form.message_ms == 100 and not load.form.ncco
        figures = self._against_floors_at_once(load, run) if judged else {}
        return {
            **figures,
            "floor_receive": round(receipt.cpu_s_per_call_hour, 3),
            "floor_encode": round(encode, 3),
            "floor_sync": round(sync, 3),
            "floor_late_p99_ms": receipt.late_p99_ms,
            "ratio_to_floor": round(run.figures["cpu_s_per_call_hour"] / floor, 3),
        }

    @staticmethod
    def _against_floors_at_once(load: Load, run: live_run.Run) -> dict[str, float]:
        """Hold the cost against floors that share cores and caches, as the parts of the service have to."""
        floor = floors.at_once(load, run.groups_per_s, run.bytes_per_s)
        return {
            "floors_at_once": round(floor, 3),
            "ratio_to_floors_at_once": round(run.figures["cpu_s_per_call_hour"] / floor, 3),
        }

    def _one_core(self, name: str, form: Form, calls: int) -> Result:
        """Let the server have one core, and see whether it keeps its promise with so many calls."""
        run = live_run.record(self._pace.load(form, calls), cores=(0,))
        return Result(name, run.figures, run.faults)

    def _hang_up(self) -> Result:
        """End ten calls a second while a hundred live."""
        run = live_run.record(Load(Form(100, 10.0), 180, 100.0), webhooks=True)
        return Result("hang_up_100_live", run.figures, run.faults)

    def _short_calls(self) -> Result:
        """Begin and end ten calls of 3 s a second."""
        run = live_run.record(Load(Form(100, 3.0), 60 if self._quick else 100, 100.0), webhooks=True)
        return Result("short_calls", run.figures, run.faults)

    def _conference(self) -> Result:
        """Record ten conferences of six, each on one stream, who all talk."""
        run = live_run.record(self._pace.load(Form(100, 0, legs=6, conference=True), 10))
        return Result("conference_of_6", run.figures, run.faults)

    def _conferences_apart(self) -> Result:
        """Record ten conferences of six at once, each leg on a stream of its own."""
        run = live_run.record(self._pace.load(Form(100, 0, legs=6, conference=True, apart=True), 10))
        return Result("conferences_of_6_apart", run.figures, run.faults)

    def _voicemail(self) -> Result:
        """Record one voice until it has been silent for 3 s."""
        ncco = {"endOnSilence": 3, "beepStart": True}
        run = live_run.record(Load(Form(100, 6.0, silence_s=3.5, legs=1, ncco=ncco), 140, 100.0), webhooks=True)
        return Result("voicemail", run.figures, run.faults)

    def _long_call(self) -> Result:
        """Record a call of 2 hours (quick: 10 minutes) as fast as the server takes it."""
        form = replace(_TELEPHONE, message_ms=1000, seconds=600.0 if self._quick else 7200.0)
        run = live_run.record(Load(form, 1, 0.0, real_time=False))
        return Result("long_call", run.figures, run.faults)

    def _receive(self) -> Result:
        """Receive only, with gRPC as it comes and as it is tuned."""
        load = self._pace.load(Form(100, 0), 100)
        tuned, default = self._floors.receive(load), floors.receive(load, tuned=False)
        figures = {
            "tuned_us_per_message": round(tuned.us_per_message, 1),
            "default_us_per_message": round(default.us_per_message, 1),
            "ratio_to_default": round(tuned.us_per_message / default.us_per_message, 3),
            "late_p99_ms": max(tuned.late_p99_ms, default.late_p99_ms),
        }
        return Result("receive", figures)

    def _peers(self) -> Result:
        """Mix and encode the same audio offline with the tools that are installed."""
        return Result("peers", {f"{name}_cpu_s_per_call_hour": cost for name, cost in peers.costs().items()})

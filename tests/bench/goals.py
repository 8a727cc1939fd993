"""What must hold, and whether it did."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import StatisticsError, median

from tests.bench.result import Result

Results = Mapping[str, Result]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One goal.

    Attributes:
        figure: What was reached.
        limit: What was to be reached.
        least: Whether the figure must be at least the limit; otherwise at most.
        counts: Whether the runs behind it count.
    """

    name: str
    figure: float
    limit: float
    least: bool
    counts: bool

    @property
    def met(self) -> bool:
        """Whether it was reached."""
        return self.figure >= self.limit if self.least else self.figure <= self.limit


@dataclass(frozen=True, slots=True)
class _Goal:
    name: str
    limit: float
    scenarios: tuple[str, ...]
    figure: Callable[[Results], float]
    least: bool = False


def verdicts(results: Results) -> Iterator[Verdict]:
    """Judge every goal whose scenarios were run."""
    for goal in _GOALS:
        if all(name in results for name in goal.scenarios):
            try:
                figure = goal.figure(results)
            except (KeyError, StatisticsError):
                # A peer that is not installed has no figure, nor has a scenario that failed.
                continue
            counts = not any(results[name].faults for name in goal.scenarios)
            yield Verdict(goal.name, round(figure, 3), goal.limit, goal.least, counts)


def _of(scenario: str, figure: str) -> Callable[[Results], float]:
    return lambda results: results[scenario].figures[figure]


def _against_ffmpeg(results: Results) -> float:
    peer = results["peers"].figures["ffmpeg_mix_and_encode_cpu_s_per_call_hour"]
    return results["mono_mp3_100ms_400"].figures["cpu_s_per_call_hour"] / peer


def _rss_kb_per_call(results: Results) -> float:
    more = results["mono_mp3_100ms_100"].figures["rss_mb"] - results["mono_mp3_100ms_50"].figures["rss_mb"]
    return more * 1000 / 50


def _rise_with_load(results: Results) -> float:
    """Return the largest rise from one level to the next."""
    costs = [results[name].figures["cpu_s_per_call_hour"] for name in _LEVELS]
    return max(new / old for old, new in pairwise(costs))


def _long_call_beyond_p99(results: Results) -> float:
    long_ms = results["long_call"].figures["available_p50_ms"]
    return long_ms / results["hang_up_100_live"].figures["available_p99_ms"]


def _start_s(results: Results) -> float:
    """Return the median of all starts of the run: one takes a fifth more or less than another."""
    return median(one.figures["serving_s"] for one in results.values() if "serving_s" in one.figures)


_LEVELS = tuple(f"mono_mp3_100ms_{calls}" for calls in (50, 100, 200, 400))
_GOALS = (
    _Goal(
        "CPU / floors, mono MP3, 100 ms, 100 calls", 1.25, ("mono_mp3_100ms_100",),
        _of("mono_mp3_100ms_100", "ratio_to_floor"),
    ),
    _Goal(
        "CPU / floors, mono MP3, 100 ms, 400 calls", 1.25, ("mono_mp3_100ms_400",),
        _of("mono_mp3_100ms_400", "ratio_to_floor"),
    ),
    _Goal(
        "CPU / floors, mono MP3, 20 ms, 100 calls", 1.35, ("mono_mp3_20ms_100",),
        _of("mono_mp3_20ms_100", "ratio_to_floor"),
    ),
    _Goal("bare receive, tuned / default gRPC", 0.7, ("receive",), _of("receive", "ratio_to_default")),
    _Goal("CPU / ffmpeg offline, 400 calls", 1.0, ("mono_mp3_100ms_400", "peers"), _against_ffmpeg),
    _Goal(
        "CPU / floors, mono WAV, 400 calls", 1.5, ("mono_wav_100ms_400",), _of("mono_wav_100ms_400", "ratio_to_floor")
    ),
    _Goal(
        "durable p99, one core, 350 calls of 100 ms, ms", 200, ("one_core_100ms_350",),
        _of("one_core_100ms_350", "durable_p99_ms"),
    ),
    _Goal(
        "durable p99, one core, 180 calls of 20 ms, ms", 200, ("one_core_20ms_180",),
        _of("one_core_20ms_180", "durable_p99_ms"),
    ),
    _Goal(
        "hang-up to available p50, 100 live, ms", 100, ("hang_up_100_live",),
        _of("hang_up_100_live", "available_p50_ms"),
    ),
    _Goal(
        "hang-up to available p99, 100 live, ms", 400, ("hang_up_100_live",),
        _of("hang_up_100_live", "available_p99_ms"),
    ),
    _Goal("2-hour call's / that p99", 1.0, ("long_call", "hang_up_100_live"), _long_call_beyond_p99),
    _Goal("RSS per live call, KB", 700, ("mono_mp3_100ms_50", "mono_mp3_100ms_100"), _rss_kb_per_call),
    _Goal("RSS growth in a 2-hour call, MB", 10, ("long_call",), _of("long_call", "rss_growth_mb")),
    _Goal("cost per call, most from one level to the next", 1.0, _LEVELS, _rise_with_load),
    _Goal("start to serving, s", 1.5, ("mono_mp3_100ms_50",), _start_s),
)  # fmt: skip

"""Two runs side by side: which costs rose."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.bench.result import Result

TOLERANCE = 0.15
"""What costs move by themselves from run to run on a machine that does nothing else."""
_COSTS = ("cpu_s_per_call_hour", "us_per_message", "ms_per_call", "rss_kb_per_call", "ratio", "serving_s")


@dataclass(frozen=True, slots=True)
class Change:
    """One figure of both runs.

    Attributes:
        worse: A cost that rose beyond the tolerance, in runs that count.
    """

    scenario: str
    figure: str
    old: float
    new: float
    worse: bool

    @property
    def share(self) -> float:
        """By how much it rose; 0 where there was nothing."""
        return self.new / self.old - 1 if self.old else 0.0


def changes(old: Mapping[str, Result], new: Mapping[str, Result]) -> Iterator[Change]:
    """Yield every figure that both runs have."""
    for name, result in new.items():
        if (before := old.get(name)) is None:
            continue
        counts = not result.faults and not before.faults
        for figure, value in result.figures.items():
            if (earlier := before.figures.get(figure)) is not None:
                rose = earlier > 0 and value > earlier * (1 + TOLERANCE)
                yield Change(name, figure, earlier, value, counts and rose and _is_cost(figure))


def _is_cost(figure: str) -> bool:
    return any(cost in figure for cost in _COSTS)

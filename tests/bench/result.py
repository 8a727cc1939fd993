"""What one scenario came to, and how several runs of it become one."""

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Figures = dict[str, float]


@dataclass(frozen=True, slots=True)
class Result:
    """The figures of a scenario.

    Attributes:
        name: The scenario.
        figures: By name; the unit is in the name.
        faults: Why it does not count; empty if it does.
        runs: So many make the medians.
    """

    name: str
    figures: Figures
    faults: tuple[str, ...] = field(default=())
    runs: int = 1

    def line(self) -> str:
        """Return one line of JSON."""
        told = {"scenario": self.name, "runs": self.runs, "faults": list(self.faults), "figures": self.figures}
        return json.dumps(told)


def median(results: Sequence[Result]) -> Result:
    """Make one of several runs: the medians of those that count, or of all if none does."""
    counted = [result for result in results if not result.faults] or list(results)
    names = dict.fromkeys(name for result in counted for name in result.figures)
    figures = {
        name: round(statistics.median(result.figures[name] for result in counted if name in result.figures), 4)
        for name in names
    }
    faults = () if not counted[0].faults else counted[0].faults
    return Result(counted[0].name, figures, faults, len(counted))


def write(results: Iterable[Result], path: Path) -> None:
    """Write one line a scenario."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(result.line() + "\n" for result in results))


def read(path: Path) -> dict[str, Result]:
    """Read what `write` wrote, by scenario.

    Raises:
        ValueError: A line is not one of these.
    """
    found: dict[str, Result] = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            told = json.loads(line)
            found[told["scenario"]] = Result(
                told["scenario"], dict(told["figures"]), tuple(told["faults"]), int(told["runs"])
            )
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{path}:{number} is not a line of this benchmark: {error!r}") from None
    return found

"""Measure: `python -m tests.bench [--quick] [--runs N] [--only NAME] [--out FILE] [--plot FILE] [--compare OLD]`."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from tests.bench import generator, result
from tests.bench.comparison import changes
from tests.bench.goals import verdicts
from tests.bench.plot import draw
from tests.bench.report import print_changes, print_results, print_verdicts
from tests.bench.result import Result
from tests.bench.scenarios import Scenario, Scenarios

_LOG_WIDTH = 160
OUT = Path(__file__).parents[2] / ".cache" / "bench" / "results.jsonl"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments say; returns 1 if a cost rose against the earlier run, 2 if nothing can be run."""
    wanted = _parser().parse_args(arguments)
    # A table of this width is readable in a log too.
    console = Console(stderr=True, width=None if sys.stderr.isatty() else _LOG_WIDTH)
    try:
        earlier = None if wanted.compare is None else result.read(wanted.compare)
        found = result.read(wanted.show) if wanted.show else _measure(wanted, console)
    except (generator.GeneratorMissing, OSError, ValueError) as error:
        console.print(str(error), style="red", highlight=False)
        return 2
    if not found:
        console.print("no such scenario; there are: " + ", ".join(one.name for one in Scenarios(quick=False).all()))
        return 2
    print_results(list(found.values()), console)
    print_verdicts(verdicts(found), console)
    sys.stdout.writelines(one.line() + "\n" for one in found.values())
    if wanted.plot is not None:
        wanted.plot.write_text(draw(found))
    if earlier is None:
        return 0
    moved = list(changes(earlier, found))
    print_changes(moved, console)
    return 1 if any(change.worse for change in moved) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the short form: under 90 s")
    parser.add_argument("--runs", type=int, default=1, metavar="N", help="take the medians of so many runs")
    parser.add_argument("--only", action="append", metavar="NAME", help="this scenario (may be given again)")
    parser.add_argument("--out", type=Path, default=OUT, metavar="FILE", help="one line of JSON a scenario")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw calls against cost and latency, SVG")
    parser.add_argument("--compare", type=Path, metavar="OLD", help="the file of an earlier run")
    parser.add_argument("--show", type=Path, metavar="FILE", help="measure nothing; show the file of an earlier run")
    return parser


def _measure(wanted: argparse.Namespace, console: Console) -> dict[str, Result]:
    generator.build()
    kept: dict[str, list[Result]] = {}
    for _ in range(wanted.runs):
        for scenario in Scenarios(quick=wanted.quick).all():
            if _is_wanted(scenario, wanted):
                kept.setdefault(scenario.name, []).append(_run(scenario, console))
    found = {name: result.median(results) for name, results in kept.items()}
    result.write(found.values(), wanted.out)
    return found


def _is_wanted(scenario: Scenario, wanted: argparse.Namespace) -> bool:
    if wanted.only:
        return scenario.name in wanted.only
    return scenario.quick or not wanted.quick


def _run(scenario: Scenario, console: Console) -> Result:
    """Run one; a scenario that fails is a result that does not count."""
    began_s = time.monotonic()
    try:
        found = scenario.run()
    except (RuntimeError, OSError, AssertionError) as error:
        found = Result(scenario.name, {}, (f"{type(error).__name__}: {error}",))
    told = "; ".join(found.faults) or "ok"
    console.print(f"{scenario.name} ({time.monotonic() - began_s:.0f} s): {told}", highlight=False)
    return found


if __name__ == "__main__":
    sys.exit(main())

"""Run the robustness scenarios: `python -m tests.robustness [--only NAME] [--quick] [--seed N] [--json]`."""

import argparse
import asyncio
import importlib
import inspect
import pkgutil
import secrets
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from tests.robustness.report import Result, Scenario, json_line, print_table


def scenarios() -> Iterator[Scenario]:
    """Yield what the modules here offer as `SCENARIOS: tuple[Scenario, ...]`, in the order of their names."""
    found: dict[str, Scenario] = {}
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if not module.name.startswith(("test_", "__")):
            offered = getattr(importlib.import_module(f"{__package__}.{module.name}"), "SCENARIOS", ())
            found.update({scenario.name: scenario for scenario in offered})
    yield from found.values()


def run(scenario: Scenario, seed: int, *, quick: bool) -> Result:
    """Run a scenario to its result; one that raises has failed and goes on counting as a result."""
    began_s = time.monotonic()
    try:
        result = asyncio.run(_run(scenario, seed, quick=quick))
    except Exception as error:  # noqa: BLE001 - the others must still be run
        details = {"error": repr(error), "traceback": traceback.format_exc()}
        result = Result(scenario.name, type(error).__name__, scenario.goal, ok=False, details=details)
    result.details["elapsed_s"] = round(time.monotonic() - began_s, 1)
    return result


async def _run(scenario: Scenario, seed: int, *, quick: bool) -> Result:
    if inspect.iscoroutinefunction(scenario.run):
        found = await scenario.run(seed, quick)
    else:
        found = await asyncio.to_thread(scenario.run, seed, quick)
    assert isinstance(found, Result), found
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments say; returns 0 if every goal is reached, 1 if not, 2 if there is no such scenario."""
    parser = argparse.ArgumentParser(prog="python -m tests.robustness", description=__doc__)
    parser.add_argument("--only", action="append", metavar="NAME", help="this scenario (may be given again)")
    parser.add_argument("--quick", action="store_true", help="the short form that the test suite runs")
    parser.add_argument("--seed", type=int, help="repeat a run")
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of a table")
    wanted = parser.parse_args(arguments)
    # Scenarios that run parts of the service in this process: standard output is for the figures.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    seed = secrets.randbits(32) if wanted.seed is None else wanted.seed
    errors = Console(stderr=True)
    errors.print(f"seed {seed}")
    chosen = [scenario for scenario in scenarios() if not wanted.only or scenario.name in wanted.only]
    if not chosen:
        errors.print(f"no such scenario; there are: {', '.join(scenario.name for scenario in scenarios())}")
        return 2
    results = _run_all(chosen, seed, errors, quick=wanted.quick)
    if wanted.json:
        sys.stdout.write(json_line(results, seed) + "\n")
    else:
        print_table(results, Console())
        sys.stdout.write(json_line(results, seed) + "\n")
    return 0 if all(result.ok for result in results) else 1


def _run_all(chosen: Sequence[Scenario], seed: int, console: Console, *, quick: bool) -> list[Result]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    results: list[Result] = []
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=len(chosen))
        for scenario in chosen:
            progress.update(bar, description=scenario.name)
            result = run(scenario, seed, quick=quick)
            results.append(result)
            progress.console.print(f"{'ok    ' if result.ok else 'FAILED'} {result.name}: {result.figure}")
            progress.advance(bar)
    return results


if __name__ == "__main__":
    sys.exit(main())

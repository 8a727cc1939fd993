"""What a robustness run is made of and what comes out: scenarios, results, a table for people, a line for machines."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Result:
    """What one scenario found.

    Attributes:
        name: The scenario.
        figure: What was reached, for people: "200 kills, 0 lost of 91,204 acknowledged".
        goal: What had to be reached.
        ok: Whether it was.
        details: Numbers and findings; must fit into JSON.
    """

    name: str
    figure: str
    goal: str
    ok: bool
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One promise and the run that tries to break it.

    Attributes:
        name: Unique, in lower case with underscores.
        goal: The figure to reach, for people.
        run: Called with the seed and whether the quick form is wanted; may be a coroutine function.
        bugs: Names of planted bugs that must turn it red (`planted.py`); the tests prove it.
    """

    name: str
    goal: str
    run: Callable[[int, bool], Result | Awaitable[Result]]
    bugs: tuple[str, ...] = ()


def print_table(results: Sequence[Result], console: Console) -> None:
    """Print one row a result, and the details of those that are not ok."""
    table = Table(title="robustness")
    for heading in ("", "scenario", "figure", "goal"):
        table.add_column(heading, overflow="fold")
    for result in results:
        mark = "[green]ok[/]" if result.ok else "[red]FAILED[/]"
        table.add_row(mark, result.name, result.figure, result.goal)
    console.print(table)
    for result in results:
        if not result.ok:
            console.print(f"[red]{result.name}[/]")
            console.print_json(data=result.details, default=str)


def json_line(results: Sequence[Result], seed: int) -> str:
    """Return everything as one line of JSON."""
    told = [{"name": r.name, "figure": r.figure, "goal": r.goal, "ok": r.ok, "details": r.details} for r in results]
    return json.dumps({"seed": seed, "ok": all(r.ok for r in results), "results": told}, default=str)

"""Tables for people."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from tests.bench.comparison import Change
from tests.bench.goals import Verdict
from tests.bench.result import Result

_COLUMNS = {
    "live": "live",
    "cpu_s_per_call_hour": "CPU s/call-h",
    "cpu_s_per_leg_hour": "CPU s/leg-h",
    "us_per_message": "us/message",
    "cores": "cores",
    "ratio_to_floor": "/ floors",
    "rss_mb": "RSS MB",
    "durable_p99_ms": "durable p99 ms",
    "ack_p99_ms": "ack p99 ms",
    "available_p50_ms": "available p50 ms",
    "available_p99_ms": "p99 ms",
    "late_p99_ms": "late p99 ms",
}


def print_results(results: Iterable[Result], console: Console) -> None:
    """Print a row a scenario, and below it what the columns have no room for."""
    table = Table(title="bench (server CPU only; everything on, fsync on, acks checked)")
    table.add_column("scenario", no_wrap=True)
    for heading in _COLUMNS.values():
        table.add_column(heading, justify="right")
    rest = Table("scenario", "more figures", show_lines=True)
    for result in results:
        if result.figures.keys() & _COLUMNS.keys():
            cells = (_number(result.figures.get(figure)) for figure in _COLUMNS)
            mark = "" if not result.faults else " [yellow](does not count)[/]"
            table.add_row(result.name + mark, *cells)
        others = (f"{name} {value:g}" for name, value in result.figures.items() if name not in _COLUMNS)
        rest.add_row(result.name, "  ".join(others))
    console.print(table)
    console.print(rest)
    for result in results:
        for fault in result.faults:
            console.print(f"[yellow]{result.name}: {fault}[/]")


def print_verdicts(verdicts: Iterable[Verdict], console: Console) -> None:
    """Print a row a goal."""
    table = Table("", "goal", "reached", "wanted", title="goals")
    for verdict in verdicts:
        if not verdict.counts:
            mark = "[yellow]does not count[/]"
        else:
            mark = "[green]met[/]" if verdict.met else "[red]not met[/]"
        sign = ">=" if verdict.least else "<="
        table.add_row(mark, verdict.name, f"{verdict.figure:g}", f"{sign} {verdict.limit:g}")
    console.print(table)


def print_changes(changes: Iterable[Change], console: Console) -> None:
    """Print what moved by more than a tenth, and every cost that rose too much."""
    table = Table("", "scenario", "figure", "old", "new", "change", title="against the earlier run")
    for change in changes:
        if change.worse or abs(change.share) > 0.1:
            mark = "[red]worse[/]" if change.worse else ""
            table.add_row(
                mark, change.scenario, change.figure, f"{change.old:g}", f"{change.new:g}", f"{change.share:+.0%}"
            )
    console.print(table)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"

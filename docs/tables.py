"""Write the tables of the documentation from the code; with --check, fail when they are not up to date.

python docs/tables.py [--check]
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from pydantic.fields import FieldInfo

from recorder_service.cli.commands import app
from recorder_service.config import ENVIRONMENT_PREFIX, Settings
from recorder_service.metrics.node import Metrics

DOCS = Path(__file__).parent


def configuration() -> str:
    """Return every setting with its default and its meaning."""
    rows = [
        f"| `{ENVIRONMENT_PREFIX}{name.upper()}` | `{_default(field)}` | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    head = [
        "# Configuration",
        "",
        "Every setting is an environment variable. It can also stand in a TOML file, under its name in lower case",
        "without `RECORDER_`, as `grpc_port = 50051`; the file is named by `--config` or `RECORDER_CONFIG`. Many are",
        "flags of `recorder serve`, too. Flags win over variables, those over the file, and that over the defaults.",
        "`recorder config` prints what is in force, with secrets masked.",
        "",
        "| variable | default | meaning |",
        "|---|---|---|",
    ]
    return "\n".join([*head, *rows]) + "\n"


def metrics() -> str:
    """Return every metric with its type, its labels and its meaning."""
    rows = []
    for family in sorted(Metrics().registry.collect(), key=lambda family: family.name):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        rows.append(f"| `{name}` | {family.type} | {family.documentation} |")
    head = [
        "# Metrics",
        "",
        "Served for Prometheus on the metrics port, at `/metrics`.",
        "",
        "| name | type | meaning |",
        "|---|---|---|",
    ]
    return "\n".join([*head, *rows]) + "\n"


def commands() -> str:
    """Return every command with its options."""
    root = typer.main.get_command(app)
    lines = ["# The `recorder` command", "", *_options(root, "Options before the command:")]
    for path, command in _walk(root, "recorder"):
        lines += [
            "",
            f"## `{path}`",
            "",
            (command.help or "").split("\n\n")[0].replace("\n", " "),
            *_options(command, ""),
        ]
    return "\n".join(lines) + "\n"


def _walk(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, inner in command.commands.items():
        yield from _walk(inner, f"{path} {name}")


def _options(command: Any, title: str) -> list[str]:
    rows = []
    for parameter in command.params:
        names = ", ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
        text = getattr(parameter, "help", None) or ""
        if parameter.name not in {"install_completion", "show_completion", "help"}:
            rows.append(f"| {names} | {' '.join(text.split())} |")
    heading = ["", title] if title else []
    return [*heading, "", "| option | meaning |", "|---|---|", *rows] if rows else []


def _default(field: FieldInfo) -> str:
    value = field.default
    if value is None or value in ("", ()):
        return "(none)"
    return str(value).lower() if isinstance(value, bool) else str(value)


TABLES = {"configuration.md": configuration, "metrics.md": metrics, "commands.md": commands}


def main() -> None:
    """Parse the command line and do as it says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 on a difference")
    check = parser.parse_args().check
    stale = [name for name, make in TABLES.items() if not _same(DOCS / name, make())]
    if check and stale:
        raise SystemExit(f"out of date: {', '.join(stale)}; run `make docs`")
    for name in stale:
        (DOCS / name).write_text(TABLES[name]())


def _same(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


if __name__ == "__main__":
    main()

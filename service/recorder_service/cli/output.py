"""Printing answers: JSON lines for programs, tables for people."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.message import Message

Column = Callable[[dict[str, Any]], object]


class Output:
    """Prints on stdout: JSON, one value a line, where asked for or where stdout is not a terminal; else tables."""

    def __init__(self, *, as_json: bool) -> None:
        """Look whether stdout is a terminal."""
        self._as_json = as_json or not sys.stdout.isatty()

    def message(self, message: "Message", *extra: tuple[str, Any]) -> None:
        """Print one message, with further facts before its own."""
        from recorder_service.cli.message_json import to_json

        self.value({**dict(extra), **to_json(message)})

    def value(self, value: Mapping[str, Any]) -> None:
        """Print one JSON object, or a table of its keys and values."""
        if self._as_json:
            print_json(value)
            return
        self._table(None, [[key, _readable(item)] for key, item in value.items() if item not in ("", [], {})])

    def rows(self, messages: "Iterable[Message]", columns: Mapping[str, Column]) -> None:
        """Print one message a line."""
        from recorder_service.cli.message_json import to_json

        values = [to_json(message) for message in messages]
        if self._as_json:
            for value in values:
                print_json(value)
            return
        self._table(list(columns), [[str(column(value)) for column in columns.values()] for value in values])

    def text(self, text: str, value: Mapping[str, Any]) -> None:
        """Print `text` for people, `value` where JSON is wanted."""
        if self._as_json:
            print_json(value)
        else:
            sys.stdout.write(f"{text}\n")

    def _table(self, titles: list[str] | None, rows: list[list[str]]) -> None:
        from rich.console import Console
        from rich.table import Table

        table = Table(*(titles or ["", ""]), box=None, show_header=titles is not None, pad_edge=False)
        for row in rows:
            table.add_row(*row)
        Console(highlight=False, markup=False).print(table)


def print_json(value: Mapping[str, Any]) -> None:
    """Print a JSON object on a line of its own, at once."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def at(*path: str) -> Column:
    """Make a column of what stands at a path of keys; empty where it is absent."""

    def column(value: dict[str, Any]) -> object:
        found: Any = value
        for key in path:
            found = found.get(key, "") if isinstance(found, dict) else ""
        return found

    return column


def _readable(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

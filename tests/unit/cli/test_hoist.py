"""Global options may stand anywhere on the command line."""

import pytest

from recorder_service.cli import hoist


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("app list --json", "--json app list"),
        ("app list --server a:1 --name x", "--server a:1 app list --name x"),
        ("events --token=t --type dtmf", "--token=t events --type dtmf"),
        ("--server a:1 recordings list", "--server a:1 recordings list"),
        ("serve --data-dir d --tls-cert c", "serve --data-dir d --tls-cert c"),
        ("--data-dir d serve --tls-key k", "--data-dir d serve --tls-key k"),
        ("recordings show -- --json", "recordings show -- --json"),
        ("app list --server", "--server app list"),
    ],
)
def test_global_options_come_first(given: str, expected: str) -> None:
    """They move before the command; `serve` keeps its own, and nothing after `--` is touched."""
    assert hoist(given.split()) == expected.split()

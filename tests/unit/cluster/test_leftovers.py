"""Journals of workers that are no more."""

import sys
from pathlib import Path

from recorder_service.cluster.leftovers import finish_leftovers, node_directories

COUNTS = """
import pathlib, sys
tries = pathlib.Path(sys.argv[1]) / "tries"
count = len(tries.read_text()) if tries.exists() else 0
tries.write_text("x" * (count + 1))
sys.exit(0 if count >= int(sys.argv[1][-1]) else 1)
"""


def a_node(directory: Path) -> Path:
    (directory / "journal").mkdir(parents=True)
    (directory / "node-id").touch()
    return directory


def test_directories_of_nodes_are_found(tmp_path: Path) -> None:
    """The base itself and its workers'; what has no journal or no name is none."""
    (tmp_path / "node-3" / "journal").mkdir(parents=True)
    (tmp_path / "files").mkdir()
    found = [a_node(tmp_path / "node-1"), a_node(tmp_path / "node-2")]
    assert list(node_directories(tmp_path)) == found
    a_node(tmp_path)
    assert list(node_directories(tmp_path)) == [tmp_path, *found]


async def test_each_is_tried_until_it_succeeds(tmp_path: Path) -> None:
    """One that never does holds nobody up for ever."""
    directories = [tmp_path / name for name in ("node-0", "node-2", "node-9")]
    for directory in directories:
        directory.mkdir()
    await finish_leftovers(directories, (sys.executable, "-c", COUNTS), {}, 0.01)
    assert [len((directory / "tries").read_text()) for directory in directories] == [1, 3, 5]

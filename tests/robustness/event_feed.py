"""The event feed under writers that commit in any order and readers that begin again anywhere, on both databases."""

import asyncio
import contextlib
import json
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.harness import postgres
from tests.robustness.report import Result, Scenario

_GOAL = "16 writers with random commit delays, readers that resume at random: 200,000 events, 0 lost, 0 out of order"
_ROOT = Path(__file__).parents[2]
_WRITERS = 16
_TASKS = 4
_EVENTS_A_TRANSACTION = 3.5
_RECORDINGS = 24
_READERS = {True: 2, False: 4}
_EVENTS = {True: 3_000, False: 200_000}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run found.

    Attributes:
        told: Events that were committed.
        lost: Events that a reader did not get, added up.
        out_of_order: Events of a recording that came after a later one, or after a hole, added up.
        changed: Events that came differently when they were read again.
        resumes: How often readers went back to an old cursor.
    """

    told: int
    lost: int
    out_of_order: int
    changed: int
    resumes: int
    elapsed_s: float

    @property
    def sound(self) -> bool:
        """Whether nothing was lost and all came in order, every time."""
        return self.told > 0 and not (self.lost or self.out_of_order or self.changed)


async def run(seed: int, quick: bool, *, engine: str, bug: str = "none") -> Result:
    """Write and read at once, then count."""
    with _database(engine) as (url, directory):
        outcome = await _measure(url, directory, seed, quick, bug)
    figure = (
        f"{outcome.told} events, {outcome.lost} lost, {outcome.out_of_order} out of order, {outcome.resumes} resumes, "
        f"{outcome.told / outcome.elapsed_s:.0f} events/s"
    )
    return Result(f"event_feed_{engine}", figure, _GOAL, outcome.sound, {**asdict(outcome), "seed": seed})


@contextlib.contextmanager
def _database(engine: str) -> Iterator[tuple[str, Path]]:
    with tempfile.TemporaryDirectory(prefix="recorder-feed-") as name:
        if engine == "sqlite":
            yield f"sqlite:///{name}/catalog.db", Path(name)
            return
        with postgres.running() as server:
            yield server.create_database(), Path(name)


async def _measure(url: str, directory: Path, seed: int, quick: bool, bug: str) -> Outcome:
    # With the bug, too: what was told before must not be what it is found by.
    (begun,) = await _results([await _start(bug, "begin", url, seed, _RECORDINGS)])
    recordings = begun["recordings"]
    done = directory / "done"
    # The short form shares four processes among its writers: starting one takes as long as its writing.
    processes = _WRITERS // _TASKS if quick else _WRITERS
    transactions = int(_EVENTS[quick] / _EVENTS_A_TRANSACTION / processes)
    began_s = time.monotonic()
    readers = [await _start(bug, "read", url, seed + index, done) for index in range(_READERS[quick])]
    writers = [await _start(bug, "write", url, seed + index, transactions, *recordings) for index in range(processes)]
    told = len(recordings) + sum(result["told"] for result in await _results(writers))
    elapsed_s = time.monotonic() - began_s
    done.touch()
    read = await _results(readers)
    return Outcome(
        told=told,
        lost=sum(abs(told - result["read"]) for result in read),
        out_of_order=sum(result["out_of_order"] for result in read),
        changed=sum(result["changed"] for result in read),
        resumes=sum(result["resumes"] for result in read),
        elapsed_s=round(elapsed_s, 1),
    )


async def _start(bug: str, *arguments: object) -> Process:
    command = (sys.executable, "-m", "tests.robustness.feed_process", bug, *map(str, arguments))
    return await asyncio.create_subprocess_exec(*command, cwd=_ROOT, stdout=PIPE)


async def _results(processes: Sequence[Process]) -> list[dict[str, Any]]:
    outputs = await asyncio.gather(*(process.communicate() for process in processes))
    failed = [process.returncode for process in processes if process.returncode]
    if failed:
        raise RuntimeError(f"writers or readers ended with {failed}")
    return [json.loads(output) for output, _ in outputs]


SCENARIOS = (
    Scenario("event_feed_sqlite", _GOAL, partial(run, engine="sqlite")),
    Scenario(
        "event_feed_postgresql",
        _GOAL,
        partial(run, engine="postgresql"),
        ("order_by_serial_id", "nobody_takes_turns"),
    ),
)

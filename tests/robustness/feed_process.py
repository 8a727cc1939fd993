"""A writer or a reader of the event feed, as a process of its own.

`python -m tests.robustness.feed_process BUG begin URL SEED COUNT` prints what it began; `... BUG write URL SEED
TRANSACTIONS RECORDING...` prints how many events were committed; `... BUG read URL SEED DONE_FILE` reads until the file
exists and everything is read, and prints what it saw.
BUG is the name of a function below that is called first, or `none`.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from tests.contract.catalog.values import a_recording, an_application
from tests.robustness.planted import replace

from recorder_service.catalog import recording_rows, transactions
from recorder_service.catalog.catalog import Catalog
from recorder_service.catalog.engine import DatabaseOptions
from recorder_service.catalog.event_rows import Detail, insert_event
from recorder_service.catalog.filters import EventFilter
from recorder_service.catalog.recording_rows import count_event, take_recording
from recorder_service.domain.event import Event, EventType
from recorder_service.errors import Unavailable

_SLEEP = sa.text("SELECT pg_sleep(:seconds)")
_TASKS = 4
_MOST_EVENTS = 6


def none() -> None:
    """Leave the product as it is."""


def order_by_serial_id() -> None:
    """Take the order of row numbers for the order of commits."""
    replace(transactions, "_PG_CURRENT", "0::bigint")
    replace(transactions, "_PG_HORIZON", "1::bigint")


def nobody_takes_turns() -> None:
    """Let transactions that tell of one recording get their numbers before they wait for each other."""
    replace(recording_rows, "take_turn", lambda _connection, _name: None)


BUGS: dict[str, Callable[[], None]] = {bug.__name__: bug for bug in (none, order_by_serial_id, nobody_takes_turns)}


async def begin(url: str, count: int) -> list[str]:
    """Migrate the database and begin recordings to tell events of."""
    catalog = await Catalog.open(url, DatabaseOptions(migrate=True))
    application = an_application()
    await catalog.applications.create(application)
    recordings = [a_recording(application.application_id) for _ in range(count)]
    for recording in recordings:
        await catalog.recordings.begin(recording)
    await catalog.aclose()
    return [str(recording.recording_id) for recording in recordings]


async def write(url: str, seed: int, count: int, recordings: Sequence[UUID]) -> int:
    """Tell events of random recordings in `count` transactions that stay open for random times."""
    catalog = await Catalog.open(url, DatabaseOptions(busy_timeout_s=20))
    told = 0

    async def writer(dice: random.Random) -> None:
        nonlocal told
        for _ in range(count // _TASKS):
            work = _telling(dice, dice.choice(recordings), dice.randint(1, _MOST_EVENTS))
            while True:
                try:
                    events = await catalog._database.write(work)
                    told += events
                    break
                except Unavailable:
                    await asyncio.sleep(0.05)

    async with asyncio.TaskGroup() as group:
        for task in range(_TASKS):
            group.create_task(writer(random.Random(seed * _TASKS + task)))
    await catalog.aclose()
    return told


def _telling(dice: random.Random, recording_id: UUID, events: int) -> Callable[[sa.Connection], int]:
    hold_s = dice.choice((0.0, 0.0, 0.001, 0.003, 0.03))
    identities = [uuid4() for _ in range(events)]

    def work(connection: sa.Connection) -> int:
        take_recording(connection, recording_id)
        for identity in identities:
            recording = count_event(connection, recording_id)
            insert_event(
                connection, recording, EventType.DTMF, time=recording.start_time, event_id=identity, detail=Detail()
            )
        if connection.dialect.name == "postgresql":
            connection.execute(_SLEEP, {"seconds": hold_s})
        else:
            time.sleep(hold_s / 30)  # everybody else waits
        return events

    return work


class Reader:
    """Follows the feed, falls back to old cursors at random, and compares what comes again with what came first."""

    def __init__(self, dice: random.Random) -> None:
        """Begin before everything."""
        self._dice = dice
        self._places: list[int] = [0]
        self._events: list[tuple[int, UUID]] = []
        self._last: dict[UUID, int] = {}
        self._next = 0
        self.out_of_order = 0
        self.changed = 0
        self.resumes = 0

    async def follow(self, url: str, done: Path) -> dict[str, int]:
        """Read until the file exists and nothing is left."""
        # Opening takes a turn beside 16 writers that never rest.
        catalog = await Catalog.open(url, DatabaseOptions(busy_timeout_s=60))
        while True:
            ending = done.exists()
            seen = catalog.events.changed.count
            place = self._places[self._next]
            batch = await catalog.events.since(place, EventFilter(), self._dice.randint(1, 500))
            for event in batch.events:
                self._take(event)
            if not batch.events and ending and batch.complete and not batch.hidden:
                break
            if self._dice.random() < 0.02:
                self._next = self._dice.randrange(max(0, self._next - 3000), self._next + 1)
                self.resumes += 1
            elif not batch.events:
                await catalog.events.changed.wait(seen, 0.05)
        await catalog.aclose()
        return {
            "read": len(self._events),
            "recordings": len(self._last),
            "counted": sum(self._last.values()),
            "out_of_order": self.out_of_order,
            "changed": self.changed,
            "resumes": self.resumes,
        }

    def _take(self, event: Event) -> None:
        told = (event.position, event.event_id)
        if self._next < len(self._events):
            self.changed += told != self._events[self._next]
        else:
            recording = event.recording.recording_id
            self.out_of_order += event.recording_sequence != self._last.get(recording, 0) + 1
            self._last[recording] = max(event.recording_sequence, self._last.get(recording, 0))
            self._events.append(told)
            self._places.append(event.position)
        self._next += 1


def main() -> None:
    """Do what the arguments say."""
    BUGS[sys.argv[1]]()
    what, url, seed = sys.argv[2], sys.argv[3], int(sys.argv[4])
    result: dict[str, Any]
    if what == "begin":
        result = {"recordings": asyncio.run(begin(url, int(sys.argv[5])))}
    elif what == "write":
        told = asyncio.run(write(url, seed, int(sys.argv[5]), [UUID(name) for name in sys.argv[6:]]))
        result = {"told": told}
    else:
        result = asyncio.run(Reader(random.Random(seed)).follow(url, Path(sys.argv[5])))
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()

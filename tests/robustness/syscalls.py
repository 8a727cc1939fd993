"""A scripted call under strace: killed at every N-th system call, and told EIO at every N-th fdatasync.

What is killed is the server, at the entry of the call; so "at N" is after all that N - 1 did. The caller comes back,
and the file must be the one of an undisturbed call. With EIO the kernel may have dropped the pages: after the kill the
test drops them, so that whatever was acknowledged on the strength of them is gone.
"""

import collections
import contextlib
import random
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from tests.robustness.report import Result, Scenario
from tests.robustness.struck_server import Point, StruckServer, Tally

KILL_GOAL = "every write, sync, rename and unlink of a call and of a recovery: 0 acknowledged lost, same file"
EIO_GOAL = "EIO at every fdatasync of the journal: nothing acknowledged on it, no second sync, 0 lost"


def _sample(points: Sequence[Point], count: int, seed: int) -> list[Point]:
    """Choose points, some of every area and call."""
    chosen = random.Random(seed)
    kinds: dict[tuple[bool, str, str], list[Point]] = collections.defaultdict(list)
    for point in chosen.sample(list(points), len(points)):
        kinds[point.at_start, point.area, point.call].append(point)
    order = chosen.sample(sorted(kinds), len(kinds))
    rows = [kinds[kind][at] for at in range(len(points)) for kind in order if at < len(kinds[kind])]
    return rows[:count]


@contextlib.asynccontextmanager
async def _bench(module: Sequence[str]) -> AsyncIterator[StruckServer]:
    with tempfile.TemporaryDirectory(prefix="recorder-syscalls-") as directory:
        async with contextlib.AsyncExitStack() as clients:
            bench = StruckServer(Path(directory), clients, module)
            try:
                await bench.start()
                yield bench
            finally:
                await bench.close()


async def strike_kills(
    seed: int, *, count: int | None = None, at: Sequence[Point] = (), module: Sequence[str] = ("recorder_service",)
) -> Result:
    """Kill at the points given; without any, at a sample of `count` of all that a trace shows, or at all of them."""
    async with _bench(module) as bench:
        points = list(at) or await bench.points()
        for point in points if count is None else _sample(points, count, seed):
            await bench.kill_at(point)
    return _result("syscall_kills", KILL_GOAL, bench.tally, len(points), seed)


async def strike_errors(
    seed: int, *, count: int | None = None, at: Sequence[Point] = (), module: Sequence[str] = ("recorder_service",)
) -> Result:
    """Fail the syncs given, otherwise a sample of the journal's, every other one for good; or all, in both ways."""
    async with _bench(module) as bench:
        points = list(at) or [point for point in await bench.points() if _is_sync(point)]
        for index, point in enumerate(points if count is None else _sample(points, count, seed)):
            await bench.fail_at(point, for_good=bool(index % 2))
            if count is None and not at:
                await bench.fail_at(point, for_good=not index % 2)
    return _result("fsync_errors", EIO_GOAL, bench.tally, len(points), seed)


def _is_sync(point: Point) -> bool:
    return (point.area, point.call, point.at_start) == ("journal", "fdatasync", False)


def _result(name: str, goal: str, tally: Tally, known: int, seed: int) -> Result:
    figure = (
        f"{len(tally.struck)} struck of {known} points, {tally.acknowledged} requests acknowledged, "
        f"{len(tally.findings)} bad"
    )
    details = {
        "seed": seed,
        "struck": len(tally.struck),
        "points": known,
        "missed": tally.missed[:50],
        "went_on": tally.went_on,
        "stopped": tally.stopped,
        "findings": tally.findings[:20],
    }
    return Result(name, figure, goal, ok=not tally.findings and bool(tally.struck), details=details)


async def run_kills(seed: int, quick: bool) -> Result:
    """Kill at a sample of points, or at all."""
    return await strike_kills(seed, count=3 if quick else None)


async def run_errors(seed: int, quick: bool) -> Result:
    """Fail a sample of syncs, or all."""
    # Whatever the journal does, a call of twelve requests that are each waited for has more syncs than these.
    whens = random.Random(seed).sample(range(2, 11), 2) if quick else ()
    return await strike_errors(seed, at=[Point("journal", "fdatasync", when) for when in whens])


SCENARIOS = (
    Scenario("syscall_kills", KILL_GOAL, run_kills, bugs=("release_before_seal", "ack_before_write")),
    Scenario("fsync_errors", EIO_GOAL, run_errors, bugs=("ack_before_fsync", "retry_fsync_after_error")),
)

"""One of twenty webhook endpoints hangs: the others must not notice."""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

from tests.harness import postgres
from tests.integration.webhooks.endpoints import Endpoint, answering, hang, listening
from tests.integration.webhooks.mailroom import Mailroom, Timing, mailroom
from tests.robustness.live_calls import p99_s
from tests.robustness.report import Result, Scenario

_GOAL = "1 of 20 endpoints hangs, 5,000 events: the others' p99 under twice their baseline, none lost"
_ENDPOINTS = 20
_EVENTS = {True: 300, False: 5_000}
_RATE = {True: 30, False: 60}
# The quick form also runs on machines that do other things.
_BOUND_S = {True: 0.5, False: 0.05}
_LOOK_S = 0.05
_PATIENCE_S = {True: 30.0, False: 60.0}


class Clocked:
    """An endpoint that answers at once and notes when."""

    def __init__(self) -> None:
        self.endpoint = Endpoint()
        self.arrived_s: list[float] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer 200."""
        self.arrived_s.append(time.monotonic())
        await answering(200)(reader, writer)


async def run(seed: int, quick: bool, *, engine: str, per_endpoint: int = 4) -> Result:
    """Measure with all endpoints well, then with one that hangs.

    Args:
        seed: Unused: nothing is drawn.
        quick: Fewer events.
        engine: `sqlite` or `postgresql`.
        per_endpoint: Most requests at once to one endpoint; as many as there are workers is the bug to find.
    """
    before, lost_before = await _measure(quick, engine, per_endpoint, hanging=False)
    during, lost = await _measure(quick, engine, per_endpoint, hanging=True)
    base_s, with_s = p99_s(before), p99_s(during)
    ok = lost_before == lost == 0 and with_s <= max(2 * base_s, _BOUND_S[quick])
    figure = f"{len(during)} events, {lost} lost; p99 {base_s * 1000:.0f} -> {with_s * 1000:.0f} ms"
    facts = {"baseline_p99_s": base_s, "p99_s": with_s, "lost_before": lost_before, "lost": lost, "seed": seed}
    return Result(f"webhook_fairness_{engine}", figure, _GOAL, ok, facts)


async def _measure(quick: bool, engine: str, per_endpoint: int, *, hanging: bool) -> tuple[list[float], int]:
    """Return how long the events of the healthy endpoints took, s, and how many did not come."""
    async with contextlib.AsyncExitStack() as stack:
        room = await stack.enter_async_context(_room(engine, per_endpoint))
        healthy = [Clocked() for _ in range(_ENDPOINTS - 1)]
        for clocked in healthy:
            clocked.endpoint = await stack.enter_async_context(listening(clocked.answer))
        last = await stack.enter_async_context(listening(hang if hanging else answering(200)))
        due_s = await _queue(room, [*(clocked.endpoint for clocked in healthy), last], quick)
        wanted = sum(len(times) for times in due_s[:-1])
        for _ in range(int(_PATIENCE_S[quick] / _LOOK_S)):
            if sum(len(one.arrived_s) for one in healthy) >= wanted:
                break
            await asyncio.sleep(_LOOK_S)
        took = []
        for clocked, times in zip(healthy, due_s, strict=False):
            took += [at - due for at, due in zip(sorted(clocked.arrived_s), times, strict=False)]
        return took, wanted - len(took)


async def _queue(room: Mailroom, endpoints: list[Endpoint], quick: bool) -> list[list[float]]:
    """Queue events in turn at a steady rate; return when each was, by endpoint."""
    queued: list[list[float]] = [[] for _ in endpoints]
    began_s = time.monotonic()
    for number in range(_EVENTS[quick]):
        await asyncio.sleep(began_s + number / _RATE[quick] - time.monotonic())
        which = number % len(endpoints)
        await room.queue(endpoints[which].url())
        queued[which].append(time.monotonic())
    return queued


@contextlib.asynccontextmanager
async def _room(engine: str, per_endpoint: int) -> AsyncIterator[Mailroom]:
    timing = Timing(per_endpoint=per_endpoint)
    with tempfile.TemporaryDirectory(prefix="recorder-webhooks-") as name, contextlib.ExitStack() as stack:
        url = None
        if engine == "postgresql":
            url = (await asyncio.to_thread(stack.enter_context, postgres.running())).create_database()
        async with mailroom(Path(name), timing, url=url) as room:
            yield room


SCENARIOS = tuple(
    Scenario(f"webhook_fairness_{engine}", _GOAL, partial(run, engine=engine)) for engine in ("sqlite", "postgresql")
)

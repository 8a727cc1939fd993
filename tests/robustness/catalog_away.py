"""The catalog's database goes away under load: live calls notice nothing, and what happened is told when it is back."""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict

import grpc
from tests.harness import postgres
from tests.harness.postgres import PostgresServer
from tests.harness.server import Server
from tests.robustness.live_calls import LiveCalls, node_with_calls, reason_of
from tests.robustness.report import Result, Scenario

from recorder.v1 import event_pb2, event_service_pb2, event_service_pb2_grpc

_GOAL = (
    "PostgreSQL killed, away under load (5 min; quick form 10 s) and restarted: no live call ends, 0 lost, every event "
    "told once and in order, all files there soon after"
)
PRODUCT = ("recorder_service",)
_AWAY_S = {True: 10.0, False: 300.0}
_STEADY = {True: 4, False: 20}
_ENDING = {True: 3, False: 20}
# The last wait before a fact is told again grows with the outage: to 45 s at most.
_CATCH_UP_S = {True: 40.0, False: 120.0}


async def run(seed: int, quick: bool, module: Sequence[str] = PRODUCT) -> Result:
    """Let calls go on and others end while the database is killed, comes back, and is restarted."""
    with postgres.running() as database:
        environment = {"RECORDER_DATABASE_URL": database.create_database(), "RECORDER_MIGRATE": "true"}
        async with node_with_calls(seed, module, environment) as (server, calls):
            return await _outage(seed, quick, database, server, calls)


async def _outage(seed: int, quick: bool, database: PostgresServer, server: Server, calls: LiveCalls) -> Result:
    going = await calls.begin(_STEADY[quick])
    ending = await calls.begin(_ENDING[quick])
    await asyncio.sleep(1)
    await asyncio.to_thread(database.kill)
    for call in ending:
        call.hang_up()
    refusal = await _refusal_of_a_new_call(calls)
    await asyncio.sleep(_AWAY_S[quick])
    lines = [call.account.lines for call in going]
    await asyncio.to_thread(database.start)
    back_s = time.monotonic()
    late = await calls.ended(ending, _CATCH_UP_S[quick])
    caught_up_s = time.monotonic() - back_s
    await asyncio.to_thread(database.stop)
    await asyncio.to_thread(database.start)
    late += await calls.hang_up(going, _CATCH_UP_S[quick])
    verdict = await calls.verdict(calls.calls)
    holes, events = await _holes(server, calls)
    unbroken = set(lines) == {1} and set(verdict.ends) == {"HANGUP"} and server.running
    ok = verdict.sound and unbroken and late == 0 and holes == 0 and refusal == "CATALOG_FAILED"
    figure = (
        f"{verdict.calls} calls, {verdict.lost} lost of {verdict.acknowledged} acknowledged, {holes} holes in {events} "
        f"events; caught up {caught_up_s:.1f} s after {_AWAY_S[quick]:.0f} s"
    )
    facts = {"lines": lines, "late": late, "refusal": refusal, "holes": holes, "seed": seed, **asdict(verdict)}
    return Result("catalog_away", figure, _GOAL, ok, facts)


async def _refusal_of_a_new_call(calls: LiveCalls) -> str:
    """Say why a new call is refused; that it is cannot be helped, but it must be told so."""
    try:
        await calls.begin(1)
    except grpc.aio.AioRpcError as error:
        return reason_of(error)
    return "NONE"


async def _holes(server: Server, calls: LiveCalls) -> tuple[int, int]:
    """Read the whole feed; return how many events are missing, repeated or out of order, and how many there are."""
    stub = event_service_pb2_grpc.EventServiceStub(calls.client.channel)
    request = event_service_pb2.SubscribeEventsRequest(from_oldest=True)
    numbers: dict[str, list[int]] = defaultdict(list)
    waiting = {call.recording_id for call in calls.calls}
    stream = stub.SubscribeEvents(request, metadata=calls.tenant.metadata)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(30):
            async for response in stream:
                if response.WhichOneof("payload") != "event":
                    continue
                event = response.event
                numbers[event.recording.recording_id].append(event.recording_sequence)
                if event.type == event_pb2.EVENT_TYPE_RECORDING_COMPLETED:
                    waiting.discard(event.recording.recording_id)
                if not waiting:
                    break
    stream.cancel()
    wrong = len(waiting) + sum(found != list(range(1, len(found) + 1)) for found in numbers.values())
    return wrong, sum(map(len, numbers.values()))


SCENARIOS = (Scenario("catalog_away", _GOAL, run, ("tests.robustness.operational_bugs:catalog_is_asked_once",)),)

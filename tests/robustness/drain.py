"""Going down in order: SIGTERM under load, once, twice, and again and again."""

import asyncio
import signal
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.robustness.live_calls import LiveCall, LiveCalls, node_with_calls, reason_of
from tests.robustness.report import Result, Scenario

_DRAIN_GOAL = (
    "SIGTERM: health NOT_SERVING, drain on every stream, starts refused with DRAINING, calls that hang up in the grace "
    "complete, the others go on after the restart sample for sample; a second SIGTERM stops at once; exit code 0"
)
_ROLLING_GOAL = "0 lost and every call completed over SIGTERM and restart again and again; exit code 0 each time"
_SECOND_SIGNAL_S = 5.0
_SLACK_S = 8.0
_RESUMED_WITHIN_S = 20.0
_MIN_MESSAGES_A_CALL = 50
PRODUCT = ("recorder_service",)


def _grace(grace_s: float) -> dict[str, str]:
    return {"RECORDER_DRAIN_GRACE_S": str(grace_s)}


async def drain(seed: int, quick: bool, module: Sequence[str] = PRODUCT) -> Result:
    """Signal once: half of the calls hang up in the grace. Signal twice, 0.3 s apart, at the next stop."""
    count, grace_s = (8, 4.0) if quick else (40, 10.0)
    async with node_with_calls(seed, module, _grace(grace_s)) as (server, calls):
        running = await calls.begin(count)
        await asyncio.sleep(1 if quick else 5)
        began_s = time.monotonic()
        server.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
        told = {"health": await _health(calls), "start": await _refusal(calls)}
        late = await calls.hang_up(running[::2], grace_s)
        in_grace = sum(call.account.recording is not None and call.account.lines == 1 for call in running[::2])
        codes = [await asyncio.to_thread(server.wait)]
        stopped_s = time.monotonic() - began_s
        await asyncio.to_thread(server.start, keep_ports=True)
        await _resumed(running[1::2])
        began_s = time.monotonic()
        server.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
        server.send_signal(signal.SIGTERM)
        codes.append(await asyncio.to_thread(server.wait))
        second_s = time.monotonic() - began_s
        await asyncio.to_thread(server.start, keep_ports=True)
        late += await calls.hang_up(running)
        verdict = await calls.verdict(running)
    notices = [call.account.drains for call in running]
    in_order = told == {"health": "NOT_SERVING", "start": "UNAVAILABLE DRAINING"} and min(notices) >= 1
    in_time = stopped_s < grace_s + _SLACK_S and second_s < _SECOND_SIGNAL_S
    loaded = verdict.acknowledged >= count * _MIN_MESSAGES_A_CALL
    whole = in_grace == len(running[::2]) and set(verdict.ends) == {"HANGUP"}
    ok = verdict.sound and late == 0 and codes == [0, 0] and in_order and in_time and loaded and whole
    figure = (
        f"{count} calls, {verdict.lost} lost of {verdict.acknowledged} acknowledged; {told['health']}, "
        f"{told['start']}, {sum(map(bool, notices))} told to drain, {in_grace} completed in the grace; "
        f"stopped after {stopped_s:.1f} s "
        f"(grace {grace_s:g}), at once after {second_s:.1f} s; exit codes {codes}"
    )
    facts: dict[str, Any] = {**told, "drains": notices, "late": late, "stopped_s": stopped_s, "second_s": second_s}
    return Result("drain", figure, _DRAIN_GOAL, ok, {**facts, "codes": codes, **asdict(verdict), "seed": seed})


async def rolling(seed: int, quick: bool, module: Sequence[str] = PRODUCT) -> Result:
    """Restart under load again and again, with a short grace that no call ends in."""
    count, restarts, between_s = (8, 2, 1.0) if quick else (40, 30, 10.0)
    codes = []
    async with node_with_calls(seed, module, _grace(0.5)) as (server, calls):
        running = await calls.begin(count)
        for _ in range(restarts):
            await asyncio.sleep(between_s)
            codes.append(await asyncio.to_thread(server.terminate))
            await asyncio.to_thread(server.start, keep_ports=True)
        await asyncio.sleep(between_s)
        late = await calls.hang_up(running, 60)
        verdict = await calls.verdict(running)
    lines = [call.account.lines for call in running]
    loaded = verdict.acknowledged >= count * _MIN_MESSAGES_A_CALL and min(lines) > 1
    clean = codes == [0] * restarts and set(verdict.ends) == {"HANGUP"}
    ok = verdict.sound and late == 0 and clean and loaded
    figure = (
        f"{count} calls over {restarts} restarts on {sum(lines)} streams, {verdict.lost} lost of "
        f"{verdict.acknowledged} acknowledged; exit codes {sorted(set(codes))}"
    )
    return Result(
        "rolling_restart", figure, _ROLLING_GOAL, ok, {"codes": codes, "late": late, **asdict(verdict), "seed": seed}
    )


async def _resumed(calls: Sequence[LiveCall]) -> None:
    async with asyncio.timeout(_RESUMED_WITHIN_S):
        while any(call.account.lines < 2 for call in calls):  # noqa: ASYNC110 - there is no event for all of them
            await asyncio.sleep(0.05)


async def _health(calls: LiveCalls) -> str:
    stub = health_pb2_grpc.HealthStub(calls.client.channel)
    try:
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


async def _refusal(calls: LiveCalls) -> str:
    try:
        await calls.begin(1)
    except grpc.aio.AioRpcError as error:
        return f"{error.code().name} {reason_of(error)}"
    return "accepted"


_BUGS = "tests.robustness.operational_bugs"
SCENARIOS = (
    Scenario("drain", _DRAIN_GOAL, drain, (f"{_BUGS}:grace_is_for_nobody",)),
    Scenario("rolling_restart", _ROLLING_GOAL, rolling, (f"{_BUGS}:replay_stops_early",)),
)

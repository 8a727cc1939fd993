"""A disk that fills up under load and is freed: refused in order, nothing acknowledged lost, back by itself."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from pathlib import Path

import grpc
from tests.harness.client import Client
from tests.harness.files import fetch
from tests.harness.server import Server
from tests.robustness.live_calls import LiveCall, LiveCalls, Verdict, reason_of
from tests.robustness.privileges import Ballast, small_disk
from tests.robustness.report import Result, Scenario

_DISK_BYTES = 64 << 20
_SOFT_FREE_BYTES = 5_900_000
_HARD_FREE_BYTES = 3_000_000
_LOOK_S = 0.1
_REFUSED_WITHIN_S = 1.0
_STOPPED_WITHIN_S = 5.0
_BACK_WITHIN_S = 5.0
_MARKS = {"RECORDER_DISK_SOFT_PERCENT": "10", "RECORDER_DISK_HARD_PERCENT": "5"}
_MARKS_GOAL = (
    "0 acknowledged lost; starts refused with DISK_FULL and not ready <= 1 s after the soft mark; running calls end "
    "with DISK_FULL at the hard one, within 5 s; service again <= 5 s after there is room"
)
_NO_ROOM_GOAL = "0 acknowledged lost on a full disk without marks; all calls go on <= 5 s after there is room"
PRODUCT = ("recorder_service",)


@contextlib.asynccontextmanager
async def _node(
    disk: Path, seed: int, module: Sequence[str], environment: dict[str, str]
) -> AsyncIterator[tuple[Server, LiveCalls, Ballast]]:
    server = Server(disk, environment=environment, module=module, arguments=["--resume-window-s", "30"])
    try:
        await asyncio.to_thread(server.start)
        async with Client(server.ports.grpc) as client:
            tenant = await client.create_tenant(server.admin_token)
        async with LiveCalls(server.ports.grpc, tenant, seed) as calls:
            yield server, calls, Ballast(disk)
    finally:
        await asyncio.to_thread(server.close)


async def refused_after_s(calls: LiveCalls, timeout_s: float) -> float | None:
    """Try to start until it is refused with DISK_FULL; returns when that was, None if it did not come in time."""
    began_s = time.monotonic()
    while (elapsed_s := time.monotonic() - began_s) < timeout_s:
        try:
            await calls.begin(1)
        except grpc.aio.AioRpcError as error:
            if (error.code(), reason_of(error)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "DISK_FULL"):
                return elapsed_s
            raise
        await asyncio.sleep(_LOOK_S)
    return None


async def accepted_after_s(calls: LiveCalls, timeout_s: float) -> tuple[float | None, list[LiveCall]]:
    """Try to start until it succeeds; returns when that was and the call."""
    began_s = time.monotonic()
    while time.monotonic() - began_s < timeout_s:
        try:
            made = await calls.begin(1)
        except grpc.aio.AioRpcError:
            await asyncio.sleep(_LOOK_S)
        else:
            return time.monotonic() - began_s, made
    return None, []


async def _not_stopped(calls: Sequence[LiveCall], timeout_s: float) -> int:
    """Wait until all calls were told that they have ended; returns how many were not."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            while not all(call.account.stopped for call in calls):  # noqa: ASYNC110 - there is no event for all of them
                await asyncio.sleep(_LOOK_S)
    return sum(not call.account.stopped for call in calls)


def _ready(server: Server) -> bool:
    return fetch(f"http://127.0.0.1:{server.ports.metrics}/readyz").status == 200


async def marks(seed: int, quick: bool, module: Sequence[str] = PRODUCT) -> Result:
    """Pass the soft mark, then the hard one, under load; then free the disk."""
    with small_disk(_DISK_BYTES) as disk:
        async with _node(disk, seed, module, _MARKS) as (server, calls, ballast):
            await calls.begin(8 if quick else 16)
            await asyncio.sleep(1 if quick else 5)
            ballast.leave(_SOFT_FREE_BYTES)
            refused_s = await refused_after_s(calls, 3 * _REFUSED_WITHIN_S)
            unready = not await asyncio.to_thread(_ready, server)
            told = [reason for call in calls.calls for reason in call.account.reasons]
            ballast.leave(_HARD_FREE_BYTES)
            # Their files are made as far as there is room, the others when it is back.
            running = await _not_stopped(calls.calls, _STOPPED_WITHIN_S)
            earlier = list(calls.calls)
            ballast.drop()
            back_s, later = await accepted_after_s(calls, 3 * _BACK_WITHIN_S)
            await asyncio.sleep(0.5)
            ready = await asyncio.to_thread(_ready, server)
            late = await calls.hang_up([*calls.calls], 30)
            verdict, new = await calls.verdict(earlier), await calls.verdict(later)
    in_order = running == late == 0 and not told and set(verdict.ends) == {"DISK_FULL"}
    in_time = _in_time(refused_s, _REFUSED_WITHIN_S) and _in_time(back_s, _BACK_WITHIN_S)
    ok = verdict.sound and new.sound and in_order and in_time and unready and ready and _loaded(verdict)
    facts = {
        "refused_s": refused_s,
        "unready": unready,
        "back_s": back_s,
        "ready": ready,
        "running": running,
        "late": late,
    }
    figure = (
        f"{verdict.calls} calls, {verdict.lost} lost of {verdict.acknowledged} acknowledged; refused after "
        f"{_seconds(refused_s)}, back after {_seconds(back_s)}; ends {verdict.ends}"
    )
    return Result("disk_marks", figure, _MARKS_GOAL, ok, {**facts, "broken": told, **asdict(verdict), "seed": seed})


async def no_room(seed: int, quick: bool, module: Sequence[str] = PRODUCT) -> Result:
    """Fill the disk to its last byte with the marks off; some hang up meanwhile; then free it, and kill the server."""
    with small_disk(_DISK_BYTES) as disk:
        async with _node(disk, seed, module, {}) as (server, calls, ballast):
            pid = server.pid
            running = await calls.begin(8 if quick else 16)
            await asyncio.sleep(1 if quick else 5)
            full_until_s = time.monotonic() + (2 if quick else 20)
            ballast.leave(0)
            refused_s = await refused_after_s(calls, 1)
            for call in running[::2]:
                call.hang_up()
            while time.monotonic() < full_until_s:
                ballast.leave(0)
                await asyncio.sleep(_LOOK_S)
            before = [call.account.acknowledged for call in running]
            ballast.drop()
            back_s, _ = await accepted_after_s(calls, 3 * _BACK_WITHIN_S)
            going_s = await _going_on(running[1::2], before[1::2], 3 * _BACK_WITHIN_S)
            same = server.running and server.pid == pid
            # What was acknowledged on the full disk must be on it, not only in memory.
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start, keep_ports=True)
            late = await calls.hang_up([*calls.calls], 30)
            verdict = await calls.verdict(calls.calls)
    in_time = _in_time(back_s, _BACK_WITHIN_S) and _in_time(going_s, _BACK_WITHIN_S)
    broken = sum(len(call.account.reasons) for call in calls.calls)
    ok = verdict.sound and same and late == 0 and in_time and _loaded(verdict) and broken > 0
    facts = {"refused_s": refused_s, "back_s": back_s, "going_on_s": going_s, "late": late, "streams_broken": broken}
    figure = (
        f"{verdict.calls} calls, {verdict.lost} lost of {verdict.acknowledged} acknowledged; new call after "
        f"{_seconds(back_s)}, all go on after {_seconds(going_s)}; {broken} streams refused meanwhile"
    )
    return Result("disk_no_room", figure, _NO_ROOM_GOAL, ok, {**facts, **asdict(verdict), "seed": seed})


async def _going_on(calls: Sequence[LiveCall], before: Sequence[int], timeout_s: float) -> float | None:
    """Wait until every call was acknowledged something new."""
    began_s = time.monotonic()
    while (elapsed_s := time.monotonic() - began_s) < timeout_s:
        if all(call.account.acknowledged > last for call, last in zip(calls, before, strict=True)):
            return elapsed_s
        await asyncio.sleep(_LOOK_S)
    return None


def _loaded(verdict: Verdict) -> bool:
    """Say whether enough was acknowledged for the run to count: a second of eight calls."""
    return verdict.acknowledged >= 400


def _in_time(found_s: float | None, limit_s: float) -> bool:
    return found_s is not None and found_s <= limit_s


def _seconds(found_s: float | None) -> str:
    return "never" if found_s is None else f"{found_s:.2f} s"


_BUGS = "tests.robustness.operational_bugs"
SCENARIOS = (
    Scenario("disk_marks", _MARKS_GOAL, marks, (f"{_BUGS}:marks_refuse_nobody",)),
    Scenario("disk_no_room", _NO_ROOM_GOAL, no_room, (f"{_BUGS}:full_disk_is_acknowledged",)),
)

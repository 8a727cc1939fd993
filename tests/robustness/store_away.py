"""The file store goes away under load: calls notice nothing, and what ended waits for it."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import grpc
from tests.harness.server import Server
from tests.robustness.live_calls import LiveCall, LiveCalls, node_with_calls, p99_s, reason_of
from tests.robustness.report import Result, Scenario

from recorder.v1 import recording_pb2

_GOAL = (
    "0 lost while the store is renamed, replaced by an empty directory or a file; ack p99 within 20 % (or 100 ms); "
    "starts not held up; < 64 KiB a waiting recording; backlog gone <= 30 s after a short outage"
)
# The quick form also runs on machines that do other things.
_ACK_BOUND_S = {True: 0.4, False: 0.1}
_RENDERED_WITHIN_S = 20
_WAITING_BYTES = 64 * 1024
_NOISE_BYTES = 4 << 20
PRODUCT = ("recorder_service",)


def _rename(files: Path) -> Callable[[], None]:
    """Take the directory away altogether."""
    away = files.with_name("files-away")
    files.rename(away)
    return lambda: _put_back(away, files)


def _unmount(files: Path) -> Callable[[], None]:
    """Leave an empty mount point, as when the volume is not mounted."""
    undo = _rename(files)
    files.mkdir()
    return undo


def _obstruct(files: Path) -> Callable[[], None]:
    """Put a file where the directory was."""
    undo = _rename(files)
    files.write_bytes(b"not a directory")
    return undo


def _put_back(away: Path, files: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if files.is_dir():
            files.rmdir()
        else:
            files.unlink()
    away.rename(files)


_OUTAGES = (_rename, _unmount, _obstruct)


async def run(seed: int, quick: bool, module: Sequence[str] = PRODUCT) -> Result:
    """Let calls end by the dozen while the store is away; the others, and new ones, must not notice."""
    steady, batch = (6, 12) if quick else (20, 50)
    batches, outage_s = (3, 4.0) if quick else (6, 60.0)
    outages = random.Random(seed).sample(_OUTAGES, 3)
    # Room for the steady calls and one batch: were waiting recordings counted, the second batch would be refused.
    refused: list[str] = []
    limit = {"RECORDER_MAX_LIVE_RECORDINGS": str(steady + batch)}
    async with node_with_calls(seed, module, limit) as (server, calls):
        going = await calls.begin(steady)
        began_s = time.monotonic()
        # The same load with the store there, to compare with.
        await calls.ended(await _batch(calls, batch, refused), 30)
        await asyncio.sleep(0 if quick else 10)
        before_s = p99_s(calls.waits_s(going, began_s, time.monotonic()))
        undo = outages[0](server.data_dir / "files")
        away_s = time.monotonic()
        waiting: list[LiveCall] = []
        sizes = []
        for index in range(batches):
            waiting += await _batch(calls, batch, refused)
            sizes.append(server.rss_bytes())
            undo = _next_outage(undo, outages, index, server)
            await asyncio.sleep(max(0.0, away_s + (index + 1) * outage_s / batches - time.monotonic()))
        during_s = p99_s(calls.waits_s(going, away_s, time.monotonic()))
        stored = sum(call.account.recording is not None for call in waiting)
        undo()
        back_s = time.monotonic()
        late = await calls.ended(waiting, 30 if quick else 90)
        gone_s = time.monotonic() - back_s
        late += await calls.hang_up(going)
        verdict = await calls.verdict(calls.calls)
    growth = (sizes[-1] - sizes[0] - _NOISE_BYTES) / (batch * (batches - 1))
    ack_ok = during_s <= max(1.2 * before_s, _ACK_BOUND_S[quick])
    ok = verdict.sound and late == 0 and stored == 0 and ack_ok and not refused and growth < _WAITING_BYTES
    figure = (
        f"{verdict.calls} calls, {verdict.lost} lost of {verdict.acknowledged} acknowledged, {len(waiting)} waited; "
        f"ack p99 {before_s * 1000:.0f} -> {during_s * 1000:.0f} ms; backlog gone after {gone_s:.1f} s"
    )
    facts = {
        "outages": [outage.__name__ for outage in outages],
        "stored_meanwhile": stored,
        "late": late,
        "refused": refused,
    }
    sizes_mib = [round(size / (1 << 20), 1) for size in sizes]
    return Result("store_away", figure, _GOAL, ok, {**facts, "rss_mib": sizes_mib, **asdict(verdict), "seed": seed})


def _next_outage(
    undo: Callable[[], None], outages: Sequence[Callable[[Path], Callable[[], None]]], index: int, server: Server
) -> Callable[[], None]:
    """Change the way in which the store is away, without letting it come back in between for long."""
    if index + 1 >= len(outages):
        return undo
    undo()
    return outages[index + 1](server.data_dir / "files")


async def _batch(calls: LiveCalls, count: int, refused: list[str]) -> list[LiveCall]:
    """Make short calls and hang up; returns when their audio is rendered and they wait for the store."""
    made: list[LiveCall] = []
    for _ in range(count):
        try:
            made += await calls.begin(1)
        except grpc.aio.AioRpcError as error:
            refused.append(reason_of(error))
    await asyncio.sleep(0.3)
    for call in made:
        call.hang_up()
    async with asyncio.timeout(_RENDERED_WITHIN_S):
        for call in made:
            await _finishing(calls, call)
    return made


async def _finishing(calls: LiveCalls, call: LiveCall) -> None:
    state = recording_pb2.RECORDING_STATE_RECORDING
    while state == recording_pb2.RECORDING_STATE_RECORDING:
        await asyncio.sleep(0.05)
        state = (await calls.client.recording(calls.tenant, call.recording_id)).state


SCENARIOS = (
    Scenario(
        "store_away",
        _GOAL,
        run,
        ("tests.robustness.operational_bugs:waiting_recordings_count",),
    ),
)

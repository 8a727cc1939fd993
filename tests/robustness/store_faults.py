"""The S3 store fails in every way a network and a server can, under load: calls notice nothing, no file is lost."""

import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import grpc
from tests.harness import minio, seaweedfs
from tests.harness.fault_proxy import FaultProxy, Way
from tests.harness.s3_server import S3Server
from tests.harness.server import Server
from tests.robustness.live_calls import LiveCall, LiveCalls, node_with_calls, p99_s, reason_of
from tests.robustness.report import Result, Scenario

_GOAL = (
    "S3 refused, unreachable, black-holed, answering 503, slow, cutting bodies, for 10 minutes in all (quick: 12 s): "
    "0 lost; ack p99 within 20 % (or 50 ms; quick: 400 ms); starts not refused; backlog gone <= 90 s afterwards"
)
_MINIO_GOAL = (
    "MinIO stopped for 5 minutes under load (quick: 12 s) and started again: 0 lost; ack p99 within 20 % (or 50 ms; "
    "quick: 400 ms); starts not refused; backlog gone <= 90 s afterwards"
)
_MARGIN_S = {True: 0.4, False: 0.05}
_BACKLOG_S = 90.0
_CALL_S = 3.0
PRODUCT = ("recorder_service",)

_FAULTS: dict[str, Callable[[FaultProxy], None]] = {
    "refused": FaultProxy.refuse,
    "unreachable": FaultProxy.unreachable,
    "black hole": FaultProxy.black_hole,
    "503": FaultProxy.answer,
    "slow": lambda proxy: proxy.slow(2000, way=Way.UP),
    "cut": lambda proxy: proxy.cut(10_000, way=Way.UP),
}


@dataclass(slots=True)
class _Short:
    """Calls of a few seconds, one after another, that end while the store is in trouble.

    Attributes:
        made: All of them.
        refused: Why starts were refused.
        over: Set it to have no more begun.
    """

    calls: LiveCalls
    made: list[LiveCall] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    over: bool = False

    async def run(self, every_s: float) -> None:
        """Begin one and hang up the one before last, until `over` is set."""
        while not self.over:
            await asyncio.sleep(every_s)
            try:
                self.made += await self.calls.begin(1)
            except grpc.aio.AioRpcError as error:
                self.refused.append(reason_of(error))
            for call in self.made[: -max(1, round(_CALL_S / every_s))]:
                call.hang_up()


Trouble = Callable[[], Awaitable[None]]


async def run(seed: int, quick: bool, module: Sequence[str] = PRODUCT) -> Result:
    """Measure acknowledgements with a sound store, then with each fault in turn; then wait for the backlog."""
    async with _node_on_s3(seed, module) as (_, calls, proxy):

        async def begin(fault: str) -> None:
            proxy.pass_through()
            _FAULTS[fault](proxy)

        async def heal() -> None:
            proxy.pass_through()

        names = random.Random(seed).sample(list(_FAULTS), len(_FAULTS))
        faults = {name: partial(begin, name) for name in names}
        return await _endured("store_faults", _GOAL, calls, faults, heal, 2.0 if quick else 100.0, quick=quick)


async def run_minio(seed: int, quick: bool, module: Sequence[str] = PRODUCT) -> Result:
    """Stop MinIO under load, and start it again on what it had."""
    with tempfile.TemporaryDirectory(prefix="robustness-minio-") as name, ExitStack() as stack:
        directory = Path(name)
        s3 = stack.enter_context(minio.running(directory))
        async with node_with_calls(seed, module, _settings(s3, s3.port)) as (_, calls):

            async def stop() -> None:
                await asyncio.to_thread(stack.close)

            async def start() -> None:
                await asyncio.to_thread(stack.enter_context, minio.running(directory, again=s3))

            away_s = 12.0 if quick else 300.0
            return await _endured("minio_away", _MINIO_GOAL, calls, {"away": stop}, start, away_s, quick=quick)


async def _endured(
    name: str, goal: str, calls: LiveCalls, faults: Mapping[str, Trouble], heal: Trouble, each_s: float, *, quick: bool
) -> Result:
    """Have calls go on, begin and end through faults of the store of so many seconds each, and judge them."""
    steady, every_s = (4, 0.5) if quick else (20, 1.0)
    going, short = await calls.begin(steady), _Short(calls)
    shorter = asyncio.create_task(short.run(every_s))
    began_s = time.monotonic()
    await asyncio.sleep(3 if quick else 60)
    before_s = p99_s(calls.waits_s(going, began_s, time.monotonic()))
    during_s = {}
    for fault, begin in faults.items():
        await begin()
        began_s = time.monotonic()
        await asyncio.sleep(each_s)
        during_s[fault] = p99_s(calls.waits_s(going, began_s, time.monotonic()))
    short.over = True
    await shorter
    for call in short.made:
        call.hang_up()
    await heal()
    back_s = time.monotonic()
    late = await calls.ended(short.made, _BACKLOG_S)
    gone_s = time.monotonic() - back_s
    late += await calls.hang_up(going)
    verdict = await calls.verdict(calls.calls)
    worst = max(during_s, key=lambda fault: during_s[fault])
    ack_ok = during_s[worst] <= max(1.2 * before_s, before_s + _MARGIN_S[quick])
    ok = verdict.sound and late == 0 and ack_ok and not short.refused
    figure = (
        f"{verdict.calls} calls, {verdict.lost} lost of {verdict.acknowledged} acknowledged, "
        f"{verdict.unfinished} without a file; ack p99 {before_s * 1000:.0f} ms before, at worst "
        f"{during_s[worst] * 1000:.0f} ms ({worst}); {len(short.refused)} starts refused; "
        f"backlog gone in {gone_s:.1f} s"
    )
    details = {"ack_p99_s": {"sound": before_s, **during_s}, "late": late, "refused": short.refused}
    return Result(name, figure, goal, ok, {**details, **asdict(verdict)})


@asynccontextmanager
async def _node_on_s3(seed: int, module: Sequence[str]) -> AsyncIterator[tuple[Server, LiveCalls, FaultProxy]]:
    """Run a server whose store is a real S3 server behind a proxy that can fail."""
    with (
        tempfile.TemporaryDirectory(prefix="robustness-s3-") as directory,
        seaweedfs.running(Path(directory)) as s3,
        FaultProxy(s3.port) as proxy,
    ):
        async with node_with_calls(seed, module, _settings(s3, proxy.port)) as (server, calls):
            yield server, calls, proxy


def _settings(s3: S3Server, port: int) -> dict[str, str]:
    return {
        "RECORDER_S3_ENDPOINT": f"http://127.0.0.1:{port}",
        "RECORDER_S3_BUCKET": "calls",
        "RECORDER_S3_ACCESS_KEY": s3.access_key,
        "RECORDER_S3_SECRET_KEY": s3.secret_key,
    }


_BUGS = ("tests.robustness.operational_bugs:store_errors_are_ignored",)
SCENARIOS = (Scenario("store_faults", _GOAL, run, _BUGS), Scenario("minio_away", _MINIO_GOAL, run_minio, _BUGS))

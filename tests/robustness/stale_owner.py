"""A node that stands still past its lease while another process takes its place: it writes nothing any more."""

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncpg
from tests.harness import deployment, postgres
from tests.harness.client import Call, Client
from tests.harness.server import Server
from tests.harness.speech import speech
from tests.robustness.report import Result, Scenario

_GOAL = (
    "SIGSTOP past the lease, another finishes the recordings, SIGCONT with writes due: the catalog stays as it is, the "
    "node ends, and starts again in order"
)
_LEASE_S = 1.0
_PCM = speech(2).tobytes()
PRODUCT = ("recorder_service",)
_TABLES = ("recordings", "events", "deliveries")


async def stale_owner(seed: int, quick: bool, module: Sequence[str] = PRODUCT) -> Result:
    """Once, or ten times with the stop at a random moment of the calls."""
    rounds, count = (1, 3) if quick else (10, 8)
    chance = random.Random(seed)
    changed: list[dict[str, Any]] = []
    codes: list[int] = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="robustness-") as directory:
            before, after, code = await _round(Path(directory), chance, count, module)
        codes.append(code)
        if before != after:
            changed.append({name: [len(before[name]), len(after[name])] for name in before})
    ok = not changed and codes == [1] * rounds
    figure = f"{rounds} nodes stopped under {count} calls, {len(changed)} wrote after they were replaced; {codes=}"
    return Result("stale_owner", figure, _GOAL, ok, {"changed": changed, "codes": codes, "seed": seed})


async def _round(
    root: Path, chance: random.Random, count: int, module: Sequence[str]
) -> tuple[dict[str, list[Any]], dict[str, list[Any]], int]:
    (root / "files").mkdir()
    environment = {
        "RECORDER_DATABASE_URL": f"sqlite:///{root}/catalog.db",
        "RECORDER_FILES_DIR": str(root / "files"),
        "RECORDER_LEASE_S": str(_LEASE_S),
        **deployment.settings(root / "node", {}),
    }
    # One process, whatever the deployment: it is the one that stands still.
    with Server(root / "node", arguments=["--workers", "1"], environment=environment, module=module) as node:
        async with Client(node.ports.grpc) as client:
            tenant = await client.create_tenant(node.admin_token)
            calls = [await client.call(tenant, ncco={"action": "record", "format": "wav"}) for _ in range(count)]
            for call in calls:
                await call.stream(caller=_PCM, callee=_PCM)
            await asyncio.sleep(chance.uniform(0, 0.3))
            node.send_signal(signal.SIGSTOP)
            await _make_writes_due(calls)
            shutil.copytree(node.data_dir, root / "volume")
            await asyncio.sleep(_LEASE_S)
            await asyncio.to_thread(_recover, root / "volume", environment)
            before = await asyncio.to_thread(_rows, environment["RECORDER_DATABASE_URL"])
            node.send_signal(signal.SIGCONT)
            try:
                code = await asyncio.to_thread(node.wait, 20)
            except subprocess.TimeoutExpired:
                code = -1
        after = await asyncio.to_thread(_rows, environment["RECORDER_DATABASE_URL"])
        if code >= 0:
            await asyncio.to_thread(node.start)
            await asyncio.to_thread(node.terminate)
            after = after if after != before else await asyncio.to_thread(_rows, environment["RECORDER_DATABASE_URL"])
    return before, after, code


async def _make_writes_due(calls: Sequence[Call]) -> None:
    """Send what the node writes to the catalog as soon as it goes on: a key, a pause, a hang-up."""
    for index, call in enumerate(calls):
        await call.press("5", 16_000)
        if index % 3 == 1:
            await call.pause()
        if index % 3 == 2:
            await call.stop()


def _recover(directory: Path, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "recorder_service", "recover", "--journal", str(directory), "--json"]
    ended = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=True
    )
    states = set(json.loads(ended.stdout)["recordings"].values())
    assert states == {"available"}, ended


def _rows(url: str) -> dict[str, list[Any]]:
    """Read everything that an owner writes."""
    if url.startswith("postgresql:"):
        return postgres.in_thread(_rows_of_postgresql(url))
    with contextlib.closing(sqlite3.connect(f"file:{url.removeprefix('sqlite:///')}?mode=ro", uri=True)) as connection:
        return {table: sorted(map(str, connection.execute(f"SELECT * FROM {table}"))) for table in _TABLES}


async def _rows_of_postgresql(url: str) -> dict[str, list[Any]]:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        return {table: sorted(map(str, await connection.fetch(f"SELECT * FROM {table}"))) for table in _TABLES}
    finally:
        await connection.close(timeout=10)


def guard_is_asleep() -> None:
    """Let an owner write whatever its epoch is: planted, so that the scenario is known to notice."""
    from tests.robustness.planted import replace

    from recorder_service.bootstrap import recording

    replace(recording, "_guard", lambda _lease, _connection: None)


SCENARIOS = (Scenario("stale_owner", _GOAL, stale_owner, (f"{__name__}:guard_is_asleep",)),)

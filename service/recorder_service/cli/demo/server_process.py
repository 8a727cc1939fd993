"""A server of its own for the demonstration: on free ports, in a temporary data directory."""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

_START_S = 30.0
_STOP_S = 20.0
_ENVIRONMENT = {
    # The receiver of the webhook is on this machine.
    "RECORDER_WEBHOOK_ALLOW_CIDRS": "127.0.0.0/8",
    # A demonstration needs a megabyte: it must not fail on a disk that is fairly full.
    "RECORDER_DISK_SOFT_PERCENT": "0",
    "RECORDER_DISK_HARD_PERCENT": "0",
}
_PORTS = ("grpc_port", "http_port", "metrics_port")


class ServerFailed(Exception):
    """The server did not come up."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that serves.

    Attributes:
        target: `HOST:PORT` of gRPC.
        admin_token: What makes its applications.
        start_s: How long it took from the process's start until it served.
    """

    target: str
    admin_token: str
    start_s: float


@asynccontextmanager
async def running_server(log: Path) -> AsyncIterator[RunningServer]:
    """Start `recorder serve`, and stop it in order when the block is left.

    Args:
        log: File that the server's log is written to.

    Raises:
        ServerFailed: If it does not serve within 30 s.
    """
    with tempfile.TemporaryDirectory(prefix="recorder-demo-") as folder, log.open("wb") as log_file:
        began_s = asyncio.get_running_loop().time()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "recorder_service", "serve", "--data-dir", folder),
            *(argument for port in _PORTS for argument in (f"--{port.replace('_', '-')}", "0")),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log_file,
            # The demonstration's webhook is received on this machine; by default Recorder sends none to it.
            env={**os.environ, **_ENVIRONMENT},
        )
        try:
            ports = await _serving(process)
            start_s = asyncio.get_running_loop().time() - began_s
            token = (Path(folder) / "admin-token").read_text().strip()
            yield RunningServer(f"127.0.0.1:{ports['grpc_port']}", token, start_s)
        finally:
            await _stop(process)


async def _serving(process: asyncio.subprocess.Process) -> dict[str, object]:
    if process.stdout is None:
        raise ServerFailed("the server has no stdout")
    try:
        async with asyncio.timeout(_START_S):
            while line := await process.stdout.readline():
                found = _json(line)
                if found.get("status") == "serving":
                    return found
    except TimeoutError:
        raise ServerFailed(f"the server did not serve within {_START_S:.0f} s") from None
    raise ServerFailed(f"the server ended with exit code {await process.wait()}")


def _json(line: bytes) -> dict[str, object]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(_STOP_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()

"""One supervised process: started, watched, and started again with its journal when it dies."""

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

log = structlog.get_logger(__name__)

_FIRST_WAIT_S = 0.2
_LONGEST_WAIT_S = 10.0
# One that lived so long starts with the shortest wait again.
_LIVED_S = 30.0


@dataclass(frozen=True, slots=True)
class WorkerCommand:
    """How a process is started.

    Attributes:
        name: Tells it apart; a label of its metrics.
        command: Program and arguments.
        environment: All of its environment.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Serving:
    """What a process said when it began to serve."""

    pid: int
    metrics_port: int
    facts: Mapping[str, Any]


class Worker:
    """Keeps one process running until `stop`. Belongs to the event loop.

    Attributes:
        serving: What it said; None while there is no process that serves.
        restarts: How often it was started again.
        exit_code: Of the process that ended last.
    """

    def __init__(self, command: WorkerCommand) -> None:
        """Start nothing yet."""
        self.name = command.name
        self._command = command
        self.serving: Serving | None = None
        self.restarts = 0
        self.exit_code: int | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._ready = asyncio.Event()

    async def run(self) -> None:
        """Keep the process running; returns after `stop`, or at once if its first start fails."""
        wait_s = _FIRST_WAIT_S
        while True:
            began_s = time.monotonic()
            await self._run_once()
            if self._stopping.is_set() or not self._ready.is_set():
                return
            if time.monotonic() - began_s > _LIVED_S:
                wait_s = _FIRST_WAIT_S
            log.error("worker_ended", worker=self.name, exit_code=self.exit_code, restart_in_s=wait_s)
            if await self._stopped_within(wait_s):
                return
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
            self.restarts += 1

    async def ready(self) -> None:
        """Wait until it has served for the first time."""
        await self._ready.wait()

    def stop(self) -> None:
        """Ask it to end in order; asked again, at once."""
        self._stopping.set()
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it now."""
        self._stopping.set()
        self._signal(signal.SIGKILL)

    async def _run_once(self) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._command.command,
            # Held open: when it closes, the process knows that it is alone.
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=dict(self._command.environment),
            # A Ctrl-C is for the supervisor, which passes it on once.
            start_new_session=True,
        )
        self._process = process
        if self._stopping.is_set():
            self._signal(signal.SIGTERM)
        try:
            await self._listen(process)
            self.exit_code = await process.wait()
        finally:
            self.serving = None

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Read what the process says until it ends; the first line says that it serves."""
        if process.stdout is None:
            raise ValueError("the process has no standard output")
        async for line in process.stdout:
            with contextlib.suppress(ValueError, LookupError, TypeError):
                facts = json.loads(line)
                self.serving = Serving(int(facts["pid"]), int(facts["metrics_port"]), facts)
                self._ready.set()
                if self.restarts:
                    told = {name: facts.get(name) for name in ("pid", "cluster_port", "recovered_recordings")}
                    log.info("worker_serves_again", worker=self.name, restarts=self.restarts, **told)

    async def _stopped_within(self, wait_s: float) -> bool:
        try:
            async with asyncio.timeout(wait_s):
                await self._stopping.wait()
        except TimeoutError:
            return False
        return True

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

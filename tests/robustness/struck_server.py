"""One server that strace strikes again and again, and the callers that come back to it."""

import asyncio
import collections
import contextlib
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from tests.harness.client import Client, two_legs
from tests.harness.files import download
from tests.harness.server import Server
from tests.harness.speech import speech
from tests.robustness.callers import Caller, Line, script
from tests.robustness.strace import Fault, Strace, TracedCall, read_log, require_strace, starting

from recorder.v1 import recording_pb2

CALLS = ("write", "pwrite64", "pwritev2", "fdatasync", "fsync", "rename", "ftruncate", "link", "unlink", "mkdir")
_AVAILABLE = recording_pb2.RECORDING_STATE_AVAILABLE
_KILL = "signal=SIGKILL"
_EIO = "error=EIO"
_AREAS = ("journal", "catalog", "spool", "files")
_SEGMENTS_AHEAD = 4
_CALL_TIMEOUT_S = 90.0
_LAST_CALLS_S = 1.0
_ACKS_BEFORE_RECOVERY = 5
_ACKS_AFTER_ERROR = 2
_WRITTEN_AT = re.compile(r", (?P<offset>\d+), 0\) += \d+$")


@dataclass(frozen=True, slots=True)
class Point:
    """Where a fault strikes: the N-th such call on the files of an area."""

    area: str
    call: str
    when: int
    at_start: bool = False

    def __str__(self) -> str:
        """Name it in findings."""
        return f"{'recovery: ' if self.at_start else ''}{self.area} {self.call} {self.when}"


@dataclass(slots=True)
class Tally:
    """What was counted and found.

    Attributes:
        struck: Points at which the fault came to pass.
        missed: Points that were never reached.
        went_on: Errors after which the service went on in a new segment.
        stopped: Errors after which it ended by itself.
        acknowledged: Requests acknowledged in all calls.
        findings: What contradicts a promise.
    """

    struck: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    went_on: int = 0
    stopped: int = 0
    acknowledged: int = 0
    findings: list[str] = field(default_factory=list)


class StruckServer:
    """One server that is struck again and again, on one data directory: each start recovers what the last one left."""

    def __init__(self, directory: Path, clients: contextlib.AsyncExitStack, module: Sequence[str]) -> None:
        """Prepare; `start` starts the server and records the call undisturbed."""
        require_strace()
        self.tally = Tally()
        self._data = directory / "data"
        self._log = directory / "strace.log"
        self._clients = clients
        self._server = Server(self._data, arguments=["--resume-window-s", "60"], module=module)
        wav = {"action": "record", "format": "wav", "split": "conversation"}
        voices = (speech(1).tobytes(), speech(1, first=7).tobytes())
        self._script = script("wav", two_legs(), wav, *voices, chunk_ms=100)

    async def start(self) -> None:
        """Start the server, make an application, record the reference."""
        await asyncio.to_thread(self._server.start)
        client = await self._clients.enter_async_context(Client(self._server.ports.grpc))
        self._line = Line(await client.create_tenant(self._server.admin_token), client)
        self._line.up.set()
        caller = self._caller()
        async with asyncio.timeout(_CALL_TIMEOUT_S):
            await caller.run()
        self._expected = await self._file(caller)

    async def close(self) -> None:
        """End the server."""
        await asyncio.to_thread(self._server.close)

    async def points(self) -> list[Point]:
        """Trace one call and one recovery and list everything that can be struck."""
        caller = self._caller()
        with await asyncio.to_thread(self._attach, None):
            async with asyncio.timeout(_CALL_TIMEOUT_S):
                await caller.run()
            await asyncio.sleep(_LAST_CALLS_S)
        found = list(self._counted(caller, at_start=False))
        caller, calling = await self._interrupt()
        await self._start_under(None)
        await self._revive()
        async with asyncio.timeout(_CALL_TIMEOUT_S):
            await calling
        return found + list(self._counted(caller, at_start=True))

    async def kill_at(self, point: Point) -> None:
        """Kill the server at a point of a call or of a recovery, let the call go on, and judge its file."""
        if point.at_start:
            caller, calling = await self._interrupt()
            struck = await self._start_under(self._fault(point, _KILL, caller))
        else:
            caller = self._caller()
            with await asyncio.to_thread(self._attach, self._fault(point, _KILL, caller)):
                calling = asyncio.create_task(caller.run())
                await self._death(calling)
            struck = not self._server.running
        (self.tally.struck if struck else self.tally.missed).append(str(point))
        await self._finish(point, caller, calling)

    async def fail_at(self, point: Point, *, for_good: bool) -> None:
        """Have fdatasync fail once or for good, kill, drop what was not durable, go on, and judge the file."""
        caller = self._caller()
        fault = self._fault(point, _EIO, caller)
        if for_good:
            fault = Fault(fault.call, f"{fault.when}+", fault.effect, fault.paths)
        with await asyncio.to_thread(self._attach, fault):
            calling = asyncio.create_task(caller.run())
            await self._error(caller, calling)
        name = f"{point}{' and all later' if for_good else ''}"
        log = read_log(self._log)
        failed = [call for call in log if call.name == "fdatasync" and "INJECTED" in call.text]
        (self.tally.struck if failed else self.tally.missed).append(name)
        if self._server.running:
            self.tally.went_on += bool(failed)
            await asyncio.to_thread(self._server.kill)
        elif failed:
            self.tally.stopped += 1
            if await asyncio.to_thread(self._server.wait) == 0:
                self.tally.findings.append(f"{name}: the server ended with exit code 0")
        self.tally.findings += [f"{name}: {path} was synced again" for path in _synced_again(log)]
        for call in failed:
            _drop_unsynced(log, call)
        await self._finish(point, caller, calling)

    def _caller(self) -> Caller:
        return Caller(self._line, self._script, speed=None, window=1)

    def _attach(self, fault: Fault | None) -> Strace:
        self._log.unlink(missing_ok=True)
        return Strace(self._server.pid, self._log, CALLS, fault)

    async def _interrupt(self) -> tuple[Caller, "asyncio.Task[None]"]:
        """Kill the server in the middle of a call and leave it dead."""
        caller = self._caller()
        calling = asyncio.create_task(caller.run())
        until_s = time.monotonic() + _CALL_TIMEOUT_S
        while caller.ledger.acknowledged < _ACKS_BEFORE_RECOVERY:
            assert time.monotonic() < until_s, f"{caller.ledger.acknowledged} acknowledged: {caller.history}"
            await asyncio.sleep(0.01)
        self._line.up.clear()
        await asyncio.to_thread(self._server.kill)
        return caller, calling

    async def _start_under(self, fault: Fault | None) -> bool:
        """Start under strace and leave it dead; returns whether the fault killed it."""
        self._log.unlink(missing_ok=True)
        self._server.prefix = starting(self._log, CALLS, fault)
        try:
            await asyncio.to_thread(partial(self._server.start, keep_ports=True))
        except RuntimeError:
            return True
        else:
            return False
        finally:
            # A fault that did not strike is still armed: it must not meet the call that goes on.
            await asyncio.to_thread(self._server.kill)
            self._server.prefix = ()

    async def _revive(self) -> None:
        await asyncio.to_thread(self._server.kill)
        await asyncio.to_thread(partial(self._server.start, keep_ports=True))
        await self._connect()

    async def _death(self, calling: "asyncio.Task[None]") -> None:
        """Wait for the server's death, at the latest until a while after the end of the call."""
        async with asyncio.timeout(_CALL_TIMEOUT_S):
            while self._server.running and not calling.done():  # noqa: ASYNC110 - a process has no event
                await asyncio.sleep(0.01)
            for _ in range(int(_LAST_CALLS_S / 0.05)):
                if self._server.running:
                    await asyncio.sleep(0.05)
        self._line.up.clear()

    async def _error(self, caller: Caller, calling: "asyncio.Task[None]") -> None:
        """Wait for the error, then for what the service does next: end, or acknowledge more."""
        async with asyncio.timeout(_CALL_TIMEOUT_S):
            while not calling.done() and not any("INJECTED" in call.text for call in read_log(self._log)):  # noqa: ASYNC110 - a log has no event
                await asyncio.sleep(0.02)
            enough = caller.ledger.acknowledged + _ACKS_AFTER_ERROR
            while self._server.running and not calling.done() and caller.ledger.acknowledged < enough:  # noqa: ASYNC110 - nor has a process
                await asyncio.sleep(0.01)
        self._line.up.clear()

    async def _finish(self, point: Point, caller: Caller, calling: "asyncio.Task[None]") -> None:
        """Bring the server back, let the call come to its end, compare."""
        if not self._server.running:
            await self._revive()
        self._line.up.set()
        try:
            await asyncio.wait_for(calling, _CALL_TIMEOUT_S)
            if not caller.findings and await self._file(caller) != self._expected:
                caller.findings.append("the file is not the undisturbed one")
        except (TimeoutError, AssertionError) as error:
            caller.findings.append(repr(error)[:300])
        self.tally.acknowledged += caller.ledger.acknowledged
        self.tally.findings += [f"{point}: {finding}" for finding in caller.findings]

    async def _connect(self) -> None:
        self._line.client = await self._clients.enter_async_context(Client(self._server.ports.grpc))
        self._line.up.set()

    async def _file(self, caller: Caller) -> bytes:
        recording = await self._line.client.ended(self._line.tenant, caller.recording_id, timeout_s=30)
        assert recording.state == _AVAILABLE, f"state {recording.state}: {recording.failure}"
        return await asyncio.to_thread(download, recording, self._line.tenant)

    def _fault(self, point: Point, effect: str, caller: Caller) -> Fault:
        return Fault(point.call, str(point.when), effect, tuple(self._paths(point.area, caller.recording_id)))

    def _paths(self, area: str, recording_id: str) -> Iterator[Path]:
        """Name the files of an area, those that will be made included."""
        match area:
            case "journal":
                journal = self._data / "journal"
                newest = max((int(path.stem) for path in journal.glob("*.journal")), default=0)
                yield journal
                yield from (journal / "epoch", journal / "epoch.new", journal / "lock")
                for number in range(max(1, newest - 2), newest + _SEGMENTS_AHEAD):
                    yield from (journal / f"{number:020d}{suffix}" for suffix in (".journal", ".new"))
            case "catalog":
                yield from (self._data / f"catalog.db{suffix}" for suffix in ("", "-wal", "-shm"))
            case "spool":
                spool = self._data / "spool"
                yield from (spool, *(spool / f"{recording_id}{suffix}" for suffix in (".spool", ".tmp", ".sealed")))
            case "files":
                day = datetime.now(UTC).strftime("%Y/%m/%d")
                leaf = self._data / "files" / self._line.tenant.application_id / day
                yield from (leaf, *leaf.parents[:4], self._data / "files" / ".incoming")

    def _counted(self, caller: Caller, *, at_start: bool) -> Iterator[Point]:
        """List the points of the last trace: strace counts the calls of each thread by itself."""
        counts: dict[tuple[str, str], collections.Counter[int]] = collections.defaultdict(collections.Counter)
        areas = {str(path): area for area in _AREAS for path in self._paths(area, caller.recording_id)}
        for call in read_log(self._log):
            if call.path in areas:
                counts[areas[call.path], call.name][call.thread] += 1
        for (area, name), threads in sorted(counts.items()):
            for when in range(1, max(threads.values()) + 1):
                yield Point(area, name, when, at_start)


def _synced_again(log: Sequence[TracedCall]) -> set[str]:
    """Return the files that were synced after a sync of theirs had failed."""
    failed: set[str] = set()
    again: set[str] = set()
    for call in log:
        if call.name in {"fdatasync", "fsync"} and call.path.endswith((".journal", ".new")):
            if call.path in failed:
                again.add(call.path)
            if "INJECTED" in call.text:
                failed.add(call.path)
    return again


def _drop_unsynced(log: Sequence[TracedCall], failed: TracedCall) -> None:
    """Take away what the kernel may drop: the bytes written since the last sync before the one that failed."""
    unsynced: list[int] = []
    for call in log[: log.index(failed)]:
        if call.path != failed.path:
            continue
        if call.name == "fdatasync" and "INJECTED" not in call.text:
            unsynced.clear()
        elif (written := _WRITTEN_AT.search(call.text)) is not None:
            unsynced.append(int(written["offset"]))
    path = Path(failed.path)
    if unsynced and path.exists() and path.stat().st_size > min(unsynced):
        with path.open("r+b") as file:
            file.truncate(min(unsynced))

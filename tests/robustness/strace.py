"""strace as a fault injector: the N-th call of the kernel kills the process or fails.

Source: strace(1), "Tampering" (inject=SET:signal=...:error=...:when=N). It counts per thread and per call, and only
calls on the paths given by -P; without -P on all.
"""

import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

_ATTACH_TIMEOUT_S = 20.0
_CALL = re.compile(r"^(?P<name>\w+)\((?P<rest>.*)$")
_RESUMED = re.compile(r"^<\.\.\. \w+ resumed>(?P<rest>.*)$")
_UNFINISHED = "<unfinished ...>"
_DESCRIPTOR = re.compile(r"^\d+<(?P<path>[^>]*)>")
_QUOTED = re.compile(r'"(?P<path>/[^"]*)"')


def require_strace() -> None:
    """Skip loudly where strace is not installed; in CI that is an error."""
    if shutil.which("strace") is None:
        pytest.skip("strace is missing: apt-get install strace")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is done to one system call.

    Attributes:
        call: Its name.
        when: Which one: "5" is the fifth in a thread, "5+" every one from the fifth on.
        effect: "signal=SIGKILL" or "error=EIO".
        paths: Only calls on these files count; none means all.
    """

    call: str
    when: str
    effect: str
    paths: tuple[Path, ...] = ()

    def options(self) -> list[str]:
        """Return what strace is told."""
        only = [option for path in self.paths for option in ("-P", str(path))]
        return [*only, "-e", f"inject={self.call}:{self.effect}:when={self.when}"]


@dataclass(frozen=True, slots=True)
class TracedCall:
    """One system call as strace wrote it.

    Attributes:
        thread: Its thread.
        name: Of the call.
        path: Of its first descriptor, or the last path it names; empty if there is none.
        text: The line.
    """

    thread: int
    name: str
    path: str
    text: str


class Strace:
    """strace on a running process; leaves it as it is when it ends."""

    def __init__(self, pid: int, log: Path, calls: Sequence[str], fault: Fault | None = None) -> None:
        self._pid = pid
        self._log = log
        options = fault.options() if fault is not None else []
        self._command = ["strace", "-f", "-y", "-s", "0", "-o", str(log), "-e", f"trace={','.join(calls)}", *options]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Attach to all threads.

        Raises:
            TimeoutError: It did not come to that.
        """
        self._process = subprocess.Popen(
            [*self._command, "-p", str(self._pid)], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline_s = time.monotonic() + _ATTACH_TIMEOUT_S
        while not _traced(self._pid):
            if time.monotonic() > deadline_s or self._process.poll() is not None:
                self._end()
                raise TimeoutError(f"strace did not attach to {self._pid}")
            time.sleep(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def calls(self) -> list[TracedCall]:
        """Return what was traced until now."""
        return read_log(self._log)

    def _end(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(_ATTACH_TIMEOUT_S)


def starting(log: Path, calls: Sequence[str], fault: Fault | None = None) -> tuple[str, ...]:
    """Return a command that runs another one under strace, as if it were not there (`Server`'s prefix)."""
    options = fault.options() if fault is not None else []
    return ("strace", "-D", "-f", "-y", "-s", "0", "-o", str(log), "-e", f"trace={','.join(calls)}", *options)


def read_log(log: Path) -> list[TracedCall]:
    """Read what strace wrote; calls that another thread interrupted count once."""
    return list(_parsed(log.read_text(errors="replace").splitlines())) if log.exists() else []


def _parsed(lines: Iterable[str]) -> Iterable[TracedCall]:
    """Give the calls in the order of their ends; what a kill cut off comes last."""
    begun: dict[int, str] = {}
    for line in lines:
        thread, _, told = line.partition(" ")
        if told.endswith(_UNFINISHED):
            begun[int(thread)] = told.removesuffix(_UNFINISHED)
            continue
        if (resumed := _RESUMED.match(told.strip())) is not None:
            told = begun.pop(int(thread), "") + resumed["rest"]
        if (match := _CALL.match(told.strip())) is not None:
            yield TracedCall(int(thread), match["name"], _path(match["rest"]), told)
    for thread_id, told in begun.items():
        if (match := _CALL.match(told.strip())) is not None:
            yield TracedCall(thread_id, match["name"], _path(match["rest"]), told)


def _path(arguments: str) -> str:
    descriptor = _DESCRIPTOR.match(arguments)
    if descriptor is not None and descriptor["path"].startswith("/"):
        return descriptor["path"]
    named = _QUOTED.findall(arguments)
    return named[-1] if named else ""


def _traced(pid: int) -> bool:
    """Say whether every thread of a process has a tracer."""
    try:
        states = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
    except OSError:
        return False
    return bool(states) and all("TracerPid:\t0" not in state for state in states)

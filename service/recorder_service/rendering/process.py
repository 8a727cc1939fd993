"""A render process, as the service sees it."""

import asyncio
import resource
import socket
import subprocess
import sys
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from recorder_service.audio.finished import Finished
from recorder_service.audio.formats import LegFormat
from recorder_service.audio.rendition import Plan, Progress, Write
from recorder_service.audio.steps import PathLeg, Step, detached
from recorder_service.errors import Reason, Unavailable
from recorder_service.rendering.wire import Answer, Request, Wire

_END_TIMEOUT_S = 5.0


class RenderProcess:
    """One process and the line to it; any thread may use it, one at a time does.

    Attributes:
        renditions: How many it has.
    """

    def __init__(self, process: asyncio.subprocess.Process, ours: socket.socket) -> None:
        """Take over a process and our end of its line."""
        self.renditions = 0
        self._process = process
        self._wire = Wire(ours)
        self._lock = threading.Lock()
        self._over: deque[int] = deque()
        self._next_number = 0

    @classmethod
    async def start(cls) -> "RenderProcess":
        """Start a process; it comes up while the service goes on."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "recorder_service.rendering", str(theirs.fileno()),
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip
        return cls(process, ours)

    def begin(self, plan: Plan) -> "RemoteRendition":
        """Begin a rendition. Blocks.

        Raises:
            Unavailable: INTERNAL, the process has ended.
        """
        with self._lock:
            number = self._next_number = self._next_number + 1
            _, progress = self._ask(Request(number, plan, forget=self._forgotten()), _nowhere)
        self.renditions += 1
        return RemoteRendition(self, number, progress)

    def ask(
        self, number: int, steps: Sequence[Step], end_frame: int | None, write: Write
    ) -> tuple[Finished | None, Progress]:
        """Have steps done, and write what they make ready. Blocks.

        Raises:
            Unavailable: INTERNAL, the process has ended; what was recorded is in the journal.
            OSError: `write` raised it; the rest of the answer is thrown away.
        """
        with self._lock:
            return self._ask(Request(number, None, steps, end_frame, self._forgotten()), write)

    def release(self, number: int) -> None:
        """Give a rendition up; returns at once: the process learns of it with the next request."""
        self.renditions -= 1
        self._over.append(number)

    @property
    def resident_bytes(self) -> int:
        """Its resident memory; 0 once it has ended."""
        try:
            pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        except OSError:
            return 0
        return pages * resource.getpagesize()

    async def ended(self) -> None:
        """Wait until the process has ended, which it does not do by itself."""
        await self._process.wait()

    async def close(self) -> None:
        """End the process."""
        self._wire.close()
        try:
            async with asyncio.timeout(_END_TIMEOUT_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    def _forgotten(self) -> list[int]:
        """Take the numbers of renditions that were given up; others may be given up meanwhile."""
        return [self._over.popleft() for _ in range(len(self._over))]

    def _ask(self, request: Request, write: Write) -> tuple[Finished | None, Progress]:
        fault: OSError | None = None
        answer = self._exchanged(request)
        while True:
            try:
                if fault is None:
                    write(b"".join(answer.pieces))
            except OSError as error:
                # The rest of the answer has to be read all the same: the next one follows it.
                fault = error
            if answer.progress is not None:
                break
            answer = self._exchanged(None)
        if fault is not None:
            raise fault
        if answer.failure:
            raise RuntimeError(f"a render process failed:\n{answer.failure}")
        return answer.finished, answer.progress

    def _exchanged(self, request: Request | None) -> Answer:
        """Send a request, if there is one, and wait for the next answer."""
        answer: Answer | None = None
        try:
            if request is not None:
                self._wire.send(request)
            answer = self._wire.receive()
        except OSError:
            pass
        if answer is None:
            message = "the process that renders has ended; what was recorded is in the journal"
            raise Unavailable(Reason.INTERNAL, message)
        return answer


class RemoteRendition:
    """One recording's rendition in another process."""

    def __init__(self, process: RenderProcess, number: int, progress: Progress) -> None:
        """Take over what the process has begun."""
        self._process = process
        self._number = number
        self._progress = progress
        self._formats: dict[str, LegFormat] = {}
        # A recording whose end failed gives nothing up by itself.
        self._give_up = weakref.finalize(self, process.release, number)
        self._give_up.atexit = False

    @property
    def progress(self) -> Progress:
        """How far it has come."""
        return self._progress

    def take(self, steps: Sequence[Step], write: Write) -> Progress:
        """Do the next steps and write what they make ready. Blocks, without the interpreter's lock.

        Raises:
            Unavailable: INTERNAL, the process has ended.
            OSError: `write` raised it.
        """
        for step in steps:
            if isinstance(step, PathLeg):
                self._formats[step.leg_id] = step.format
        sent = [detached(step, self._formats) for step in steps]
        _, self._progress = self._process.ask(self._number, sent, None, write)
        return self._progress

    def finish(self, end_frame: int, write: Write) -> tuple[Finished, Progress]:
        """Write everything up to the end and return what the file still lacks. Raises as `take`."""
        finished, self._progress = self._process.ask(self._number, (), end_frame, write)
        if finished is None:
            raise RuntimeError("the render process did not finish the file")
        return finished, self._progress

    def release(self) -> None:
        """Give it up; so does forgetting it."""
        self._give_up()


def _nowhere(data: bytes) -> None:
    """Take the bytes of a request that gives none."""
    if data:
        raise RuntimeError(f"{len(data)} bytes came of a beginning")

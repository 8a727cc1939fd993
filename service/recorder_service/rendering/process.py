"""A render process, as the service sees it."""

import asyncio
import contextlib
import resource
import socket
import subprocess
import sys
import threading
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from recorder_service.audio.finished import Finished
from recorder_service.audio.formats import LegFormat
from recorder_service.audio.plan import Plan, Progress, Take, Write
from recorder_service.audio.steps import PathLeg, Step, detached
from recorder_service.errors import Reason, Unavailable
from recorder_service.rendering.wire import Answer, Request, Wire, Work

_END_TIMEOUT_S = 5.0


class _Failed(RuntimeError):
    """What a process met with one rendition; it goes on with the others."""


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
        self._answers: deque[Answer] = deque()
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
        with self._line():
            number = self._next_number = self._next_number + 1
            self._send([Work(number, plan)])
            progress = self._answered(_nowhere).progress or Progress()
        self.renditions += 1
        return RemoteRendition(self, number, progress)

    def take(self, takes: Sequence[Take]) -> list[Progress | Exception]:
        """Have steps of some renditions done, in one message, and write what they make ready. Blocks.

        Returns:
            What came of each: `Unavailable` where the process has ended, what was recorded is in the journal; OSError
            where its `write` raised it, the rest of its bytes is thrown away.

        Raises:
            TypeError: One is not this process's.
        """
        works = [self._work(take) for take in takes]
        with self._line():
            try:
                self._send(works)
            except Unavailable as gone:
                return [gone for _ in takes]
            return [self._outcome(take.write) for take in takes]

    def finish(self, work: Work, write: Write) -> Answer:
        """Have a rendition's last work done, and write what that makes ready. Blocks.

        Raises:
            Unavailable: INTERNAL, the process has ended.
            OSError: `write` raised it.
        """
        with self._line():
            self._send([work])
            return self._answered(write)

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

    @contextlib.contextmanager
    def _line(self) -> Iterator[None]:
        """Have the line for one request and all that is answered to it."""
        with self._lock:
            try:
                yield
            except (OSError, Unavailable, _Failed):
                raise
            except BaseException:
                # What is left of the answers would be taken for another recording's: with the line the process ends.
                self._wire.close()
                raise

    def _forgotten(self) -> list[int]:
        """Take the numbers of renditions that were given up; others may be given up meanwhile."""
        return [self._over.popleft() for _ in range(len(self._over))]

    def _work(self, take: Take) -> Work:
        rendition = take.rendering
        if not isinstance(rendition, RemoteRendition) or rendition.host is not self:
            raise TypeError(f"{rendition} is rendered elsewhere")
        return rendition.work(take.steps)

    def _send(self, works: Sequence[Work]) -> None:
        try:
            self._wire.send(Request(works, self._forgotten()))
        except OSError:
            raise _ended() from None

    def _outcome(self, write: Write) -> Progress | Exception:
        try:
            return self._answered(write).progress or Progress()
        except (OSError, Unavailable, _Failed) as error:
            return error

    def _answered(self, write: Write) -> Answer:
        """Take the answers to one work, to the last of them."""
        fault: OSError | None = None
        while True:
            answer = self._next_answer()
            try:
                if fault is None:
                    write(b"".join(answer.pieces))
            except OSError as error:
                # The rest of the answer has to be read all the same: the next one follows it.
                fault = error
            if answer.progress is not None:
                break
        if fault is not None:
            raise fault
        if answer.failure:
            raise _Failed(f"a render process failed:\n{answer.failure}")
        return answer

    def _next_answer(self) -> Answer:
        if not self._answers:
            try:
                received: Sequence[Answer] | None = self._wire.receive()
            except OSError:
                received = None
            if received is None:
                raise _ended()
            self._answers.extend(received)
        return self._answers.popleft()


class RemoteRendition:
    """One recording's rendition in another process.

    Attributes:
        progress: Where it begins.
    """

    def __init__(self, process: RenderProcess, number: int, progress: Progress) -> None:
        """Take over what the process has begun."""
        self._process = process
        self._number = number
        self.progress = progress
        self._formats: dict[str, LegFormat] = {}
        # A recording whose end failed gives nothing up by itself.
        self._give_up = weakref.finalize(self, process.release, number)
        self._give_up.atexit = False

    @property
    def host(self) -> RenderProcess:
        """The process, which can be asked for several of its renditions at once."""
        return self._process

    def take(self, steps: Sequence[Step], write: Write) -> Progress:
        """Do the next steps and write what they make ready. Blocks, without the interpreter's lock.

        Raises:
            Unavailable: INTERNAL, the process has ended.
            OSError: `write` raised it.
        """
        (outcome,) = self._process.take([Take(self, steps, write)])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def work(self, steps: Sequence[Step], end_frame: int | None = None) -> Work:
        """Return steps as they are sent, and where the file ends after them."""
        for step in steps:
            if isinstance(step, PathLeg):
                self._formats[step.leg_id] = step.format
        return Work(self._number, None, [detached(step, self._formats) for step in steps], end_frame)

    def finish(self, steps: Sequence[Step], end_frame: int, write: Write) -> tuple[Finished, Progress]:
        """Do the last steps, write everything up to the end and return what the file lacks. Raises as `take`."""
        answer = self._process.finish(self.work(steps, end_frame), write)
        if answer.finished is None or answer.progress is None:
            raise RuntimeError("the render process did not finish the file")
        return answer.finished, answer.progress

    def release(self) -> None:
        """Give it up; so does forgetting it."""
        self._give_up()


def _ended() -> Unavailable:
    message = "the process that renders has ended; what was recorded is in the journal"
    return Unavailable(Reason.INTERNAL, message)


def _nowhere(data: bytes) -> None:
    """Take the bytes of a request that gives none."""
    if data:
        raise RuntimeError(f"{len(data)} bytes came of a beginning")

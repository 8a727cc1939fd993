"""Where audio is rendered: what keeps to real time never waits behind what does not."""

import asyncio
import itertools
import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import NamedTuple

from recorder_service.audio.finished import Finished
from recorder_service.audio.plan import Host
from recorder_service.errors import Overloaded, Reason
from recorder_service.sessions.audio_path import AudioPath, SpooledFile, run_batch

_STEPS_A_TURN = 4
# Recordings that a thread takes to one render process at once: enough that the way there no longer counts, few enough
# that an end does not wait long for them.
_TOGETHER = 16
# How long a second of audio waits for that of other recordings: each trip to a render process costs the same.
_GATHER_S = 0.1
# Rendering that is so late has as many recordings as it can serve.
_TOO_LATE_S = 5.0
_RETRY_AFTER_S = 5.0
# So many recordings in real time go ahead of one turn of a backlog at the most, where there are always more.
_AHEAD = 16
# How far rendering may lag behind a sender that is faster than real time before the sender has to wait.
_MOST_WAITING_STEPS = 16
_LEAST_WAITING_STEPS = 2
# What may wait of all that lag behind, together: with a second of two legs in each step, 16 to 32 MB.
_ALL_WAITING_STEPS = 512


class _Waiting(NamedTuple):
    """A path with steps, the future that tells of them, and since when it waits (monotonic, s)."""

    path: AudioPath
    turn: asyncio.Future[None]
    since_s: float


class _Line:
    """Paths that wait for the same host.

    Attributes:
        count: How many there are.
        due_s: When those that may wait for others have waited long enough, monotonic, s.
    """

    __slots__ = ("_patient", "_urgent", "due_s")

    def __init__(self) -> None:
        self._urgent: deque[_Waiting] = deque()
        self._patient: deque[_Waiting] = deque()
        self.due_s = math.inf

    def __iter__(self) -> Iterator[_Waiting]:
        return itertools.chain(self._urgent, self._patient)

    @property
    def count(self) -> int:
        return len(self._urgent) + len(self._patient)

    @property
    def oldest_s(self) -> float:
        """Since when the first of them waits."""
        return min(part[0].since_s for part in (self._urgent, self._patient) if part)

    def join(self, waiting: _Waiting, *, urgent: bool) -> None:
        if urgent:
            self._urgent.append(waiting)
        else:
            self._patient.append(waiting)
            self.due_s = min(self.due_s, waiting.since_s + _GATHER_S)

    def hurry(self, path: AudioPath) -> None:
        """Let a path wait for others no longer."""
        for waiting in self._patient:
            if waiting.path is path:
                self._patient.remove(waiting)
                self._urgent.append(waiting)
                return

    def is_due(self, now_s: float) -> bool:
        return bool(self._urgent) or self.due_s <= now_s or len(self._patient) >= _TOGETHER

    def take(self) -> list[_Waiting]:
        """Take those that go together; whoever is urgent waits for none of the others."""
        part = self._urgent or self._patient
        together = [part.popleft() for _ in range(min(_TOGETHER, len(part)))]
        if not self._patient:
            self.due_s = math.inf
        return together


class Workers:
    """Threads that render, or wait for the processes that do; all recordings of a node share them.

    A sender that is faster than real time leaves a backlog. It is worked off some steps at a time, in turn, by threads
    of their own, while nothing else has to be done. All others, and the ends of recordings, go ahead, however many
    flood the node; those that wait for the same render process go there together.
    """

    def __init__(self, prompt: Executor, patient: Executor, threads: int) -> None:
        """Use these threads.

        Args:
            prompt: For what keeps to real time, and for ends: has more than `threads`.
            patient: For backlogs.
            threads: Most that work on either at once, ends not counted.
        """
        self._prompt = prompt
        self._patient = patient
        self._threads = threads
        self._prompt_running = 0
        self._patient_running = 0
        self._went_ahead = 0
        # By the host they wait for, or by the path itself; those in `_busy` have a thread there.
        self._waiting: dict[Host | AudioPath, _Line] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._waiting_count = 0
        self._busy: set[Host | AudioPath] = set()
        self._backlogs: deque[_Waiting] = deque()
        self._closed = False

    @property
    def most_waiting_steps(self) -> int:
        """How many steps of one recording may wait before its sender does: the fewer, the more recordings lag."""
        behind = self._waiting_count + len(self._backlogs) + self._patient_running
        return max(_LEAST_WAITING_STEPS, min(_MOST_WAITING_STEPS, _ALL_WAITING_STEPS // max(1, behind)))

    def crowded(self, waiting_steps: int) -> bool:
        """Say whether so many steps of one recording are too many. Asked for every message, hardly ever with many."""
        return waiting_steps > _LEAST_WAITING_STEPS and waiting_steps > self.most_waiting_steps

    def run(self, path: AudioPath, *, backlog: bool = False, urgent: bool = True) -> asyncio.Future[None]:
        """Have the next steps of a path rendered: all of them, or the first of a backlog when it is its turn.

        Nobody else may take steps of the path before the future is done.

        Args:
            path: One with steps.
            backlog: Whether its sender is ahead of real time.
            urgent: Whether it goes at once, and does not wait a moment for others.

        Raises:
            OSError: The spool cannot be written (by the future).
        """
        now_s = time.monotonic()
        waiting = _Waiting(path, asyncio.get_running_loop().create_future(), now_s)
        if self._closed:
            waiting.turn.cancel()
        elif backlog:
            self._backlogs.append(waiting)
            self._give_turns()
        else:
            line = self._waiting.setdefault(path.host or path, _Line())
            line.join(waiting, urgent=urgent)
            self._waiting_count += 1
            self._begin()
        return waiting.turn

    def hurry(self, path: AudioPath) -> None:
        """Have steps that wait for others go at once: an end waits for them."""
        if (line := self._waiting.get(path.host or path)) is not None:
            line.hurry(path)
            self._begin()

    def refusal(self) -> Overloaded | None:
        """Return why no recording may begin, or None."""
        oldest_s = min((line.oldest_s for line in self._waiting.values()), default=None)
        late_s = 0.0 if oldest_s is None else time.monotonic() - oldest_s
        if late_s < _TOO_LATE_S:
            return None
        message = f"the server is {late_s:.1f} s late with rendering what it records: begin elsewhere, or try again"
        return Overloaded(Reason.OVERLOADED, message, retry_after_s=_RETRY_AFTER_S)

    async def complete(self, path: AudioPath, end_frame: int, *, backlog: bool = False) -> Finished:
        """Render what a path's timeline was finished with, up to the end, and return what the file still lacks.

        Raises:
            OSError: The spool cannot be written.
        """
        # A call in real time has a step or two left: they go with the end.
        while path.waiting_steps > _STEPS_A_TURN:
            await self.run(path, backlog=backlog)
        return await asyncio.get_running_loop().run_in_executor(self._prompt, path.complete, end_frame)

    async def seal(self, path: AudioPath, finished: Finished) -> SpooledFile | None:
        """Make a path's file durable, see `AudioPath.seal`."""
        return await asyncio.get_running_loop().run_in_executor(self._prompt, path.seal, finished)

    def close(self) -> None:
        """Begin nothing any more: the threads are about to go. Whoever waits is cancelled."""
        self._closed = True
        for waiting in (*self._backlogs, *(waiting for line in self._waiting.values() for waiting in line)):
            waiting.turn.cancel()
        if self._timer is not None:
            self._timer.cancel()
        self._backlogs.clear()
        self._waiting.clear()
        self._waiting_count = 0

    def _begin(self) -> None:
        """Have threads do what keeps to real time and is due, those of one host together."""
        now_s = time.monotonic()
        while self._prompt_running < self._threads:
            free = [host for host in self._waiting if host not in self._busy]
            host = next((host for host in free if self._waiting[host].is_due(now_s)), None)
            if host is None:
                self._look_again(min((self._waiting[host].due_s for host in free), default=math.inf))
                return
            line = self._waiting[host]
            together = line.take()
            self._waiting_count -= len(together)
            if not line.count:
                del self._waiting[host]
            self._busy.add(host)
            self._prompt_running += 1
            running = self._run(self._prompt, together)
            running.add_done_callback(partial(self._went, host, len(together)))

    def _look_again(self, due_s: float) -> None:
        if due_s < math.inf and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(due_s - time.monotonic(), self._timed_out)

    def _timed_out(self) -> None:
        self._timer = None
        self._begin()

    def _went(self, host: Host | AudioPath, count: int, _running: asyncio.Future[list[Exception | None]]) -> None:
        self._busy.discard(host)
        self._prompt_running -= 1
        self._went_ahead += count
        self._begin()
        self._give_turns()

    def _give_turns(self) -> None:
        """Begin what may begin of the backlogs."""
        while (
            self._backlogs
            and self._patient_running < self._threads
            and (self._prompt_running < self._threads or self._went_ahead >= _AHEAD)
        ):
            self._went_ahead = 0
            self._patient_running += 1
            running = self._run(self._patient, [self._backlogs.popleft()], _STEPS_A_TURN)
            running.add_done_callback(self._had_its_turn)

    def _had_its_turn(self, _running: asyncio.Future[list[Exception | None]]) -> None:
        self._patient_running -= 1
        self._give_turns()

    @staticmethod
    def _run(
        threads: Executor, together: Sequence[_Waiting], most: int | None = None
    ) -> asyncio.Future[list[Exception | None]]:
        """Have a thread run steps of these paths, and tell each of them."""
        batch = [(waiting.path, waiting.path.take_steps(most)) for waiting in together]
        running = asyncio.get_running_loop().run_in_executor(threads, run_batch, batch)
        running.add_done_callback(partial(_tell, [waiting.turn for waiting in together]))
        return running


def _tell(turns: Sequence[asyncio.Future[None]], running: asyncio.Future[list[Exception | None]]) -> None:
    """Pass on what came of a batch; nobody may be left waiting, whatever that is."""
    faults: Sequence[BaseException | None]
    if running.cancelled():
        faults = [asyncio.CancelledError() for _ in turns]
    elif (error := running.exception()) is not None:
        faults = [error for _ in turns]
    else:
        faults = running.result()
    for turn, fault in zip(turns, faults, strict=True):
        if turn.done():
            continue
        if fault is None:
            turn.set_result(None)
        elif isinstance(fault, asyncio.CancelledError):
            turn.cancel()
        else:
            turn.set_exception(fault)

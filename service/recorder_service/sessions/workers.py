"""Where audio is rendered: what keeps to real time never waits behind what does not."""

import asyncio
from collections import deque
from concurrent.futures import Executor
from functools import partial

from recorder_service.audio.finished import Finished
from recorder_service.audio.formats import RECORDING_RATE_HZ
from recorder_service.sessions.audio_path import AudioPath, SpooledFile

# What a call that keeps to real time may have waiting; more is a backlog.
_PROMPT_FRAMES = 2 * RECORDING_RATE_HZ
_STEPS_A_TURN = 4
# So many batches in real time go ahead of one turn of a backlog at the most, where there are always more.
_AHEAD = 16
# How far rendering may lag behind a sender that is faster than real time before the sender has to wait.
_MOST_WAITING_STEPS = 16
_LEAST_WAITING_STEPS = 3
# What may wait of all that lag behind, together: with a second of two legs in each step, 16 to 32 MB.
_ALL_WAITING_STEPS = 512


class Workers:
    """Threads that render, or wait for the processes that do; all recordings of a node share them.

    A sender that is faster than real time, and a machine that is too slow for a while, leave backlogs. These are worked
    off some steps at a time, in turn, by threads of their own, while nothing else has to be done. All others, and the
    ends of recordings, go ahead, however many flood the node.
    """

    def __init__(self, prompt: Executor, patient: Executor, threads: int) -> None:
        """Use these threads.

        Args:
            prompt: For what keeps to real time.
            patient: For backlogs.
            threads: How many there are of each.
        """
        self._prompt = prompt
        self._patient = patient
        self._threads = threads
        self._prompt_running = 0
        self._patient_running = 0
        self._went_ahead = 0
        self._backlogs: deque[tuple[AudioPath, asyncio.Future[None]]] = deque()
        self._closed = False

    @property
    def most_waiting_steps(self) -> int:
        """How many steps of one recording may wait before its sender does: the fewer, the more recordings lag."""
        behind = len(self._backlogs) + self._patient_running
        return max(_LEAST_WAITING_STEPS, min(_MOST_WAITING_STEPS, _ALL_WAITING_STEPS // max(1, behind)))

    def crowded(self, waiting_steps: int) -> bool:
        """Say whether so many steps of one recording are too many. Asked for every message, hardly ever with many."""
        return waiting_steps > _LEAST_WAITING_STEPS and waiting_steps > self.most_waiting_steps

    def run(self, path: AudioPath) -> asyncio.Future[None]:
        """Have the next steps of a path rendered: all of them, or the first of a backlog when it is its turn.

        Nobody else may take steps of the path before the future is done.

        Raises:
            OSError: The spool cannot be written (by the future).
        """
        loop = asyncio.get_running_loop()
        if self._closed or path.waiting_frames > _PROMPT_FRAMES:
            turn: asyncio.Future[None] = loop.create_future()
            self._backlogs.append((path, turn))
            self._give_turns()
            return turn
        self._prompt_running += 1
        running = loop.run_in_executor(self._prompt, path.run, path.take_steps())
        running.add_done_callback(self._went)
        return running

    async def complete(self, path: AudioPath, end_frame: int) -> Finished:
        """Render what a path's timeline was finished with, up to the end, and return what the file still lacks.

        Raises:
            OSError: The spool cannot be written.
        """
        while path.waiting_steps:
            await self.run(path)
        return await asyncio.get_running_loop().run_in_executor(self._prompt, path.complete, end_frame)

    async def seal(self, path: AudioPath, finished: Finished) -> SpooledFile | None:
        """Make a path's file durable, see `AudioPath.seal`."""
        return await asyncio.get_running_loop().run_in_executor(self._prompt, path.seal, finished)

    def close(self) -> None:
        """Begin nothing any more: the threads are about to go. Whoever waits is cancelled."""
        self._closed = True
        self._give_turns()

    def _went(self, _running: asyncio.Future[None]) -> None:
        self._prompt_running -= 1
        self._went_ahead += 1
        self._give_turns()

    def _give_turns(self) -> None:
        """Begin what may begin of the backlogs."""
        while self._closed and self._backlogs:
            self._backlogs.popleft()[1].cancel()
        while (
            self._backlogs
            and self._patient_running < self._threads
            and (self._prompt_running < self._threads or self._went_ahead >= _AHEAD)
        ):
            self._went_ahead = 0
            path, turn = self._backlogs.popleft()
            self._patient_running += 1
            running = asyncio.get_running_loop().run_in_executor(
                self._patient, path.run, path.take_steps(_STEPS_A_TURN)
            )
            running.add_done_callback(partial(self._had_its_turn, turn))

    def _had_its_turn(self, turn: asyncio.Future[None], running: asyncio.Future[None]) -> None:
        self._patient_running -= 1
        if not turn.done():
            if running.cancelled():
                turn.cancel()
            elif (error := running.exception()) is not None:
                turn.set_exception(error)
            else:
                turn.set_result(None)
        self._give_turns()

"""Where audio is rendered: what keeps to real time never waits behind what does not."""

import asyncio
from concurrent.futures import Executor

from recorder_service.audio.finished import Finished
from recorder_service.audio.formats import RECORDING_RATE_HZ
from recorder_service.sessions.audio_path import AudioPath, SpooledFile

# What a call that keeps to real time may have waiting; more is a backlog.
_PROMPT_FRAMES = 4 * RECORDING_RATE_HZ
_STEPS_A_TURN = 4
# How far rendering may lag behind a sender that is faster than real time before the sender has to wait.
_MOST_WAITING_STEPS = 16
# What may wait of all that lag behind, together: with a second of two legs in each step, 16 to 32 MB.
_ALL_WAITING_STEPS = 512
_LEAST_WAITING_STEPS = 5


class Workers:
    """Threads that render, or wait for the processes that do; all recordings of a node share them.

    A sender that is faster than real time, and a machine that is too slow for a while, leave backlogs. These are worked
    off some steps at a time, in turn, by threads of their own. All others, and the ends of recordings, go ahead: a call
    that keeps to real time shares a thread with its like only, however many others flood the node.
    """

    def __init__(self, prompt: Executor, patient: Executor) -> None:
        """Use these threads.

        Args:
            prompt: For what keeps to real time.
            patient: For backlogs.
        """
        self._prompt = prompt
        self._patient = patient
        self._behind = 0

    @property
    def most_waiting_steps(self) -> int:
        """How many steps of one recording may wait before its sender does: the fewer, the more recordings lag."""
        return max(_LEAST_WAITING_STEPS, min(_MOST_WAITING_STEPS, _ALL_WAITING_STEPS // max(1, self._behind)))

    def run(self, path: AudioPath) -> asyncio.Future[None]:
        """Take a path's next steps and render them: all of them, unless they are a backlog.

        Raises:
            OSError: The spool cannot be written (by the future).
        """
        loop = asyncio.get_running_loop()
        if path.waiting_frames <= _PROMPT_FRAMES:
            return loop.run_in_executor(self._prompt, path.run, path.take_steps())
        self._behind += 1
        running = loop.run_in_executor(self._patient, path.run, path.take_steps(_STEPS_A_TURN))
        running.add_done_callback(self._had_its_turn)
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

    def _had_its_turn(self, _running: asyncio.Future[None]) -> None:
        self._behind -= 1

"""The journal as the event loop sees it."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from uuid import UUID

from recorder_service.errors import Overloaded, Reason, RecorderError, Unavailable
from recorder_service.journal.intake import Buffers, Intake
from recorder_service.journal.opening import Opened, open_directory
from recorder_service.journal.replay import Entry, Hole, replay
from recorder_service.journal.report import Recovery
from recorder_service.journal.settings import JournalSettings
from recorder_service.journal.waiters import Waiters
from recorder_service.journal.writer import JournalState, JournalStats, Writer


class Journal:
    """A node's write-ahead log: `append` returns at once, `on_durable` says when entries are safe.

    `open` blocks and runs in a thread; `replay` may run in any thread; everything else belongs to the event loop.

    Attributes:
        recovered: What was found at `open`.
    """

    def __init__(self, directory: Path, settings: JournalSettings, opened: Opened) -> None:
        """Go on from a recovered directory; use `open`."""
        self.recovered: Recovery = opened.report
        self._directory = directory
        self._lock = opened.lock
        self._shelf = opened.shelf
        self._writer = Writer(self._shelf, settings)
        self._intake = Intake(self._writer, settings, opened.report)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_durable: Callable[[int], None] | None = None
        self._on_state: Callable[[JournalState], None] | None = None
        self._on_commit: Callable[[float], None] | None = None
        self._told_lsn = self._writer.durable_lsn
        self._told_state = self._writer.state
        self._waiters = Waiters()

    @classmethod
    def open(cls, directory: Path, *, settings: JournalSettings | None = None) -> "Journal":
        """Take the directory, recover what is in it, and be ready for `start`.

        Blocks for as long as reading all segments takes: call it in a thread.

        Args:
            directory: Created if missing. One process at a time owns it.
            settings: The defaults if None.

        Raises:
            StartupError: Another process owns the directory (DIRECTORY_LOCKED), a newer version wrote it
                (SCHEMA_TOO_NEW), or the disk fails (JOURNAL_FAILED).
        """
        chosen = settings or JournalSettings()
        return cls(directory, chosen, open_directory(directory, chosen))

    def start(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        on_durable: Callable[[int], None] | None = None,
        on_state: Callable[[JournalState], None] | None = None,
        on_commit: Callable[[float], None] | None = None,
        on_sync: Callable[[float], None] | None = None,
        arrival_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin to take entries.

        Args:
            loop: Where the callbacks run, once a group and not once an entry.
            on_durable: Given the LSN up to which everything is durable.
            on_state: Given each new state; on FAILED the service should stop.
            on_commit: Given how long an entry took from `append` until the loop knew it durable, s: once a group,
                for the entry that waited longest.
            on_sync: Given how long writing and syncing a group took, s; called on the writer's thread.
            arrival_s: Says when what is appended now had arrived (monotonic, s): `on_commit` counts from there.
        """
        self._intake.arrival_s = arrival_s
        self._loop = loop
        self._on_durable = on_durable
        self._on_state = on_state
        self._on_commit = on_commit
        self._told_state = JournalState.RUNNING
        self._writer.start(self._hand_over, on_sync)

    async def close(self, timeout_s: float = 10.0) -> None:
        """Make durable what was appended, seal the journal, and give the directory up.

        Raises:
            Unavailable: The disk did not answer in time. The directory stays locked until the process ends.
        """
        self._intake.closing = True
        ended = await asyncio.to_thread(self._writer.stop, timeout_s)
        self._tell()
        if not ended:
            raise Unavailable(
                Reason.JOURNAL_FAILED,
                f"The journal's disk did not answer within {timeout_s} s of closing: check the disk of "
                f"{self._directory}.",
            )
        self._lock.release()

    @property
    def state(self) -> JournalState:
        """Whether entries are taken now."""
        return self._writer.state

    @property
    def writing(self) -> bool:
        """Whether the thread that writes is alive."""
        return self._writer.alive

    @property
    def stats(self) -> JournalStats:
        """Counts since the start."""
        return replace(self._writer.stats)

    @property
    def durable_lsn(self) -> int:
        """Everything up to this LSN is durable; 0 in a new journal."""
        return self._writer.durable_lsn

    @property
    def queued_bytes(self) -> int:
        """Bytes appended and not yet durable."""
        return self._intake.queued_bytes

    @property
    def size_bytes(self) -> int:
        """Length of all segments."""
        return self._shelf.size_bytes

    @property
    def damaged(self) -> bool:
        """Whether `open` found durable bytes that cannot be read any more."""
        return bool(self.recovered.damage)

    @property
    def oldest_unreleased(self) -> datetime | None:
        """Since when the oldest recording has been here that is not released."""
        return self._intake.oldest_unreleased

    def refusal(self) -> RecorderError | None:
        """Return why no entries are taken now, or None."""
        return None if self._writer.state is JournalState.RUNNING else self._intake.refusal()

    def recordings(self) -> list[UUID]:
        """List the recordings that are not released, oldest first."""
        return self._intake.recordings()

    def append(self, recording: UUID, kind: int, payload: bytes | Buffers) -> int:
        """Accept an entry; it is durable once `durable_lsn` reaches the LSN returned.

        Takes a few microseconds and never waits.

        Args:
            recording: Whose entry it is; a new one needs no announcement.
            kind: 0 to `MAX_KIND`, of meaning to the caller only.
            payload: Bytes are kept as they are; several buffers are copied once and may be used again.

        Returns:
            The entry's LSN.

        Raises:
            Overloaded: OVERLOADED, the disk is slower than what comes in; DISK_FULL, it is full.
            Unavailable: JOURNAL_FAILED.
            Conflict: RECORDING_NOT_LIVE, the recording is released.
            BadInput: The kind or the payload's length is out of bounds.
        """
        return self._intake.append(recording, kind, payload)

    def release(self, recording: UUID) -> int:
        """Say that a recording's file is stored, so that its entries may go; durable like an entry.

        Accepted on a full disk too, since it is what makes room. The caller must not ask before the store and the
        catalog have committed, nor while entries of the recording are on their way.

        Returns:
            The LSN of the release. For an unknown or released recording, one that is already accepted.

        Raises:
            Unavailable: JOURNAL_FAILED.
        """
        return self._intake.release(recording)

    async def wait_durable(self, lsn: int, timeout_s: float) -> None:
        """Wait until an entry is durable, and have it committed at once.

        For ends and stops; acknowledgements use `on_durable`, which lets one sync serve all calls.

        Raises:
            Unavailable: JOURNAL_FAILED, the journal failed.
            Overloaded: OVERLOADED, the disk did not answer in time and may yet do so; DISK_FULL, it stayed full.
        """
        if lsn <= self._writer.durable_lsn:
            return
        if self._writer.state in {JournalState.FAILED, JournalState.CLOSED}:
            raise self._intake.refusal()
        self._writer.hurry()
        try:
            await self._waiters.wait(lsn, timeout_s)
        except TimeoutError:
            message = f"Entry {lsn} was not durable within {timeout_s} s: the journal's disk is too slow."
            if self._writer.state is JournalState.RUNNING:
                raise Overloaded(Reason.OVERLOADED, message, retry_after_s=1.0) from None
            raise self._intake.refusal(message) from None

    def replay(self, *recordings: UUID) -> Iterator[Entry | Hole]:
        """Read recordings back, each in order, with a `Hole` where damage took entries.

        One pass serves any number of recordings: after a restart ask for all of them at once. Entries appended
        later are not included. Blocks, and holds one group in memory: run it in a thread.

        Raises:
            OSError: A segment cannot be opened.
        """
        facts = self.recovered.recordings
        wanted = {recording: facts[recording].next_index if recording in facts else 0 for recording in recordings}
        segments = self._shelf.replayable([recording.bytes for recording in wanted])
        return replay(self._directory, segments, wanted)

    def _hand_over(self) -> None:
        """Called on the writer's thread."""
        if self._loop is not None:
            # The loop may be closed when a service ends in a hurry; then there is nobody to tell.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        writer = self._writer
        durable_lsn, state = writer.durable_lsn, writer.state
        forgotten = self._shelf.forgotten
        while forgotten:
            self._intake.forget(forgotten.popleft())
        self._waiters.reach(durable_lsn)
        if durable_lsn > self._told_lsn:
            self._told_lsn = durable_lsn
            self._tell_commit(durable_lsn)
            if self._on_durable is not None:
                self._on_durable(durable_lsn)
        if state is not self._told_state:
            self._told_state = state
            self._tell_state(state)

    def _tell_commit(self, durable_lsn: int) -> None:
        oldest = self._intake.oldest
        if oldest is None or oldest[0] > durable_lsn:
            return
        self._intake.oldest = None
        if self._on_commit is not None:
            self._on_commit(time.monotonic() - oldest[1])

    def _tell_state(self, state: JournalState) -> None:
        if state in {JournalState.FAILED, JournalState.CLOSED}:
            self._waiters.fail(self._intake.refusal())
        if self._on_state is not None:
            self._on_state(state)

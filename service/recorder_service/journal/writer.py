"""The one thread that writes: it groups, stores, syncs, and only then tells."""

import contextlib
import enum
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from recorder_service.journal.groups import ENTRY_BYTES, KIND_RELEASED, PendingEntry
from recorder_service.journal.segments import no_room
from recorder_service.journal.settings import JournalSettings
from recorder_service.journal.shelf import Shelf

_IDLE_CHECK_S = 1.0


class JournalState(enum.Enum):
    """Whether the journal takes entries."""

    OPEN = "open"
    RUNNING = "running"
    DISK_FULL = "disk_full"
    FAILED = "failed"
    CLOSED = "closed"


@dataclass(slots=True)
class JournalStats:
    """Counts since the start, for metrics.

    Attributes:
        groups: Groups made durable.
        entries: Entries in them.
        written_bytes: Their payloads and headers.
        sync_s: Time spent in writing and syncing.
        slowest_sync_s: The slowest write with its sync.
        rewrites: Groups that were written a second time, into a new segment, after an error.
        deleted_segments: Segments deleted.
    """

    groups: int = 0
    entries: int = 0
    written_bytes: int = 0
    sync_s: float = 0.0
    slowest_sync_s: float = 0.0
    rewrites: int = 0
    deleted_segments: int = 0


class Stopped(Exception):
    """The journal is being closed while its disk is full."""


class Writer:
    """Takes entries from the event loop and makes them durable, group by group.

    Only one group is on its way at a time, so all before it are durable. Shared with the event loop without a lock:
    `queue` (a deque's append and popleft are atomic) and plain attributes.

    Attributes:
        queue: Entries accepted by the event loop.
        idle: The thread sleeps until `wake`.
        durable_lsn: Everything up to here is durable.
        done_bytes: Bytes taken from the queue so far and durable.
        state: Whether entries are taken.
        failure: Why not, for people.
        stats: Counts since the start; changed by the thread only.
    """

    def __init__(self, shelf: Shelf, settings: JournalSettings) -> None:
        self.queue: deque[PendingEntry] = deque()
        self.idle = False
        self.durable_lsn = shelf.next_lsn - 1
        self.done_bytes = 0
        self.state = JournalState.OPEN
        self.failure = "The journal is not started."
        self.stats = JournalStats()
        self._shelf = shelf
        self._settings = settings
        self._backlog: deque[PendingEntry] = deque()
        self._behind = False
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._stopping = threading.Event()
        self._notify: Callable[[], None] = lambda: None
        self._on_sync: Callable[[float], None] = lambda _elapsed_s: None
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self, notify: Callable[[], None], on_sync: Callable[[float], None] | None = None) -> None:
        """Start the thread.

        Args:
            notify: Called on the thread after every group and every change of state; must only hand over.
            on_sync: Called on the thread with how long writing and syncing a group took, s.
        """
        self._notify = notify
        self._on_sync = on_sync or self._on_sync
        self.state = JournalState.RUNNING
        self.failure = ""
        self._thread.start()

    def wake(self) -> None:
        """Say that the queue is no longer empty."""
        self.idle = False
        self._wake.set()

    def hurry(self) -> None:
        """Commit what waits now, without the interval."""
        self._hurry.set()
        self._wake.set()

    def stop(self, timeout_s: float) -> bool:
        """Write what waits, seal, and end the thread; False if it has not ended in time."""
        self._stopping.set()
        self.hurry()
        if self._thread.ident is None:
            self._finish()
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # All below runs on the thread.

    def _run(self) -> None:
        try:
            while True:
                batch = self._gather()
                if batch:
                    self._commit(batch)
                elif self._stopping.is_set():
                    break
        except Stopped:
            self.failure = "The journal was closed while its disk was full."
        except Exception as error:  # noqa: BLE001 - whatever ends this thread must reach the service
            self._set_state(JournalState.FAILED, f"The journal failed: {error!r}. Check its disk, then start again.")
        finally:
            self._finish()

    def _gather(self) -> list[PendingEntry]:
        """Wait for entries, give them company, and take up to a group of them."""
        if not self._behind:
            self._await_entries()
        self._drain()
        batch: list[PendingEntry] = []
        size, limit, backlog = 0, self._settings.group_bytes, self._backlog
        while backlog and (not batch or size + len(backlog[0][3]) + ENTRY_BYTES <= limit):
            entry = backlog.popleft()
            size += len(entry[3]) + ENTRY_BYTES
            batch.append(entry)
        self._behind = bool(backlog)
        return batch

    def _await_entries(self) -> None:
        self._wake.clear()
        self.idle = True
        # The loop appends first and looks at `idle` second, this thread the other way round: no wake-up is lost.
        if not self.queue and not self._stopping.is_set():
            self._wake.wait(_IDLE_CHECK_S)
        self.idle = False
        if self.queue and not self._stopping.is_set():
            self._hurry.wait(self._settings.commit_interval_s)
        self._hurry.clear()

    def _drain(self) -> None:
        queue, backlog = self.queue, self._backlog
        for _ in range(len(queue)):
            backlog.append(queue.popleft())

    def _commit(self, batch: list[PendingEntry]) -> None:
        """Make a group durable, with one rewrite after an error and any patience with a full disk.

        Raises:
            OSError: It failed twice: the journal is at its end.
            Stopped: The disk stayed full until the journal was closed.
        """
        began = time.monotonic()
        try:
            released = self._shelf.store(batch)
        except OSError as error:
            self._shelf.retire_dead()
            released = self._store_again(batch, error)
        self._acknowledge(batch, time.monotonic() - began)
        self._shelf.let_go(released)
        self.stats.deleted_segments = self._shelf.deleted_count

    def _store_again(self, batch: list[PendingEntry], error: OSError) -> list[bytes]:
        if not no_room(error):
            self.stats.rewrites += 1
            try:
                return self._shelf.store(batch)
            except OSError as second:
                self._shelf.retire_dead()
                if not no_room(second):
                    raise
        return self._store_when_room(batch)

    def _store_when_room(self, batch: list[PendingEntry]) -> list[bytes]:
        """Try until the disk has room for the group; meanwhile the event loop accepts nothing but releases."""
        self._set_state(JournalState.DISK_FULL, "The journal's disk is full: free some space.")
        while True:
            try:
                self._drain()
                waiting = (*batch, *self._backlog)
                self._shelf.let_go_early([entry[0] for entry in waiting if entry[2] == KIND_RELEASED])
                released = self._shelf.store(batch)
            except OSError as error:
                self._shelf.retire_dead()
                if not no_room(error):
                    raise
            else:
                self._shelf.keep_reserve()
                self._set_state(JournalState.RUNNING, "")
                return released
            if self._stopping.wait(self._settings.retry_interval_s):
                raise Stopped

    def _acknowledge(self, batch: list[PendingEntry], elapsed_s: float) -> None:
        size = sum(len(entry[3]) for entry in batch) + ENTRY_BYTES * len(batch)
        stats = self.stats
        stats.groups += 1
        stats.entries += len(batch)
        stats.written_bytes += size
        stats.sync_s += elapsed_s
        stats.slowest_sync_s = max(stats.slowest_sync_s, elapsed_s)
        self.done_bytes += size
        self.durable_lsn += len(batch)
        self._on_sync(elapsed_s)
        self._notify()

    def _set_state(self, state: JournalState, failure: str) -> None:
        self.failure = failure
        self.state = state
        self._notify()

    def _finish(self) -> None:
        if self.state is not JournalState.FAILED:
            with contextlib.suppress(OSError):
                self._shelf.seal()
        self._shelf.close()
        if self.state is not JournalState.FAILED:
            self._set_state(JournalState.CLOSED, self.failure or "The journal is closed.")

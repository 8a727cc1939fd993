"""The event loop's side of the queue: it numbers entries and hands them to the writer's thread."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from recorder_service.errors import BadInput, Conflict, Overloaded, Reason, RecorderError, Unavailable
from recorder_service.journal.groups import ENTRY_BYTES, KIND_RELEASED, MAX_KIND
from recorder_service.journal.report import Recovery
from recorder_service.journal.settings import JournalSettings
from recorder_service.journal.writer import JournalState, Writer

Buffers = Sequence[bytes | bytearray | memoryview]


@dataclass(slots=True)
class _Stream:
    """A recording as the event loop sees it."""

    recording: UUID
    raw: bytes
    next_index: int
    since_ns: int
    released: bool = False


class Intake:
    """Takes entries without a lock and without waiting. Belongs to the event loop.

    Attributes:
        closing: Nothing more is taken.
        arrival_s: Says when what is appended now had arrived, monotonic, s.
        oldest: LSN and time (monotonic, s) of an entry that is on its way: the first since the last was told durable.
    """

    def __init__(self, writer: Writer, settings: JournalSettings, recovered: Recovery) -> None:
        self.closing = False
        self.arrival_s: Callable[[], float] = time.monotonic
        self.oldest: tuple[int, float] | None = None
        self._writer = writer
        self._queue = writer.queue
        self._queue_bytes = settings.queue_bytes
        self._entry_bytes = settings.entry_bytes
        self._next_lsn = recovered.next_lsn
        self._appended_bytes = 0
        # By the UUID's integer: hashing a UUID itself costs more than the rest of the look-up.
        self._streams = {
            recording.int: _Stream(recording, recording.bytes, facts.next_index, int(facts.since.timestamp() * 1e9))
            for recording, facts in recovered.recordings.items()
        }

    @property
    def queued_bytes(self) -> int:
        """Bytes taken and not yet durable."""
        return self._appended_bytes - self._writer.done_bytes

    @property
    def oldest_unreleased(self) -> datetime | None:
        """Since when the oldest unreleased recording has been here."""
        since_ns = min((stream.since_ns for stream in self._streams.values() if not stream.released), default=None)
        return None if since_ns is None else datetime.fromtimestamp(since_ns / 1e9, UTC)

    def recordings(self) -> list[UUID]:
        """List the unreleased recordings, oldest first."""
        return [stream.recording for stream in self._streams.values() if not stream.released]

    def append(self, recording: UUID, kind: int, payload: bytes | Buffers) -> int:
        """Take an entry, as `Journal.append` says."""
        if self._writer.state is not JournalState.RUNNING or self.closing:
            raise self.refusal()
        data = payload if isinstance(payload, bytes) else b"".join(payload)
        size = len(data) + ENTRY_BYTES
        if size > self._entry_bytes + ENTRY_BYTES or not 0 <= kind <= MAX_KIND:
            raise _unfit(kind, len(data), self._entry_bytes)
        if self._appended_bytes + size - self._writer.done_bytes > self._queue_bytes:
            raise _too_much(self.queued_bytes, self._queue_bytes)
        stream = self._streams.get(recording.int) or self._begin(recording)
        if stream.released:
            raise Conflict(Reason.RECORDING_NOT_LIVE, f"Recording {recording} is stored and takes no more entries.")
        index = stream.next_index
        stream.next_index = index + 1
        return self._enqueue(stream.raw, index, kind, data)

    def release(self, recording: UUID) -> int:
        """Take a release, as `Journal.release` says."""
        if self._writer.state not in {JournalState.RUNNING, JournalState.DISK_FULL} or self.closing:
            raise self.refusal()
        stream = self._streams.get(recording.int)
        if stream is None or stream.released:
            return self._next_lsn - 1
        stream.released = True
        return self._enqueue(stream.raw, stream.next_index, KIND_RELEASED, b"")

    def forget(self, raw: bytes) -> None:
        """Drop a recording of which nothing is left."""
        self._streams.pop(int.from_bytes(raw), None)

    def refusal(self, message: str = "") -> RecorderError:
        """Build the error that says why the journal does not serve now."""
        text = f"{message} {self._writer.failure}".strip()
        if self._writer.state is JournalState.DISK_FULL:
            return Overloaded(Reason.DISK_FULL, text, retry_after_s=5.0)
        return Unavailable(Reason.JOURNAL_FAILED, text or "The journal is closing.")

    def _enqueue(self, raw: bytes, index: int, kind: int, data: bytes) -> int:
        writer = self._writer
        lsn = self._next_lsn
        self._next_lsn = lsn + 1
        if self.oldest is None:
            self.oldest = (lsn, self.arrival_s())
        self._appended_bytes += len(data) + ENTRY_BYTES
        self._queue.append((raw, index, kind, data))
        if writer.idle:
            writer.wake()
        return lsn

    def _begin(self, recording: UUID) -> _Stream:
        stream = _Stream(recording, recording.bytes, 0, time.time_ns())
        self._streams[recording.int] = stream
        return stream


def _too_much(queued_bytes: int, allowed_bytes: int) -> Overloaded:
    return Overloaded(
        Reason.OVERLOADED,
        f"{queued_bytes} bytes wait for the journal's disk, journal.queue_bytes allows {allowed_bytes}: use a faster "
        "disk, or allow more.",
        details={"queued_bytes": str(queued_bytes)},
        retry_after_s=1.0,
    )


def _unfit(kind: int, size_bytes: int, allowed_bytes: int) -> BadInput:
    if size_bytes > allowed_bytes:
        message = f"An entry of {size_bytes} bytes is too long: send at most {allowed_bytes} bytes in one message."
        return BadInput(Reason.INVALID_MESSAGE, message, field="payload", value=size_bytes)
    return BadInput(Reason.INVALID_FIELD, f"kind is {kind}: use 0 to {MAX_KIND}.", field="kind", value=kind)

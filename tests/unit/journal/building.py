"""Builds journals for the tests, on the real file system."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from uuid import UUID

from recorder_service.errors import Overloaded, Reason
from recorder_service.journal import Entry, Hole, Journal, JournalSettings, JournalState, Recovery
from recorder_service.journal.groups import KIND_RELEASED, PendingEntry
from recorder_service.journal.ownership import Epoch, read_epoch, write_epoch
from recorder_service.journal.recovery import recover
from recorder_service.journal.replay import replay
from recorder_service.journal.shelf import Shelf

A, B, C = (UUID(int=number << 64 | number) for number in (1, 2, 3))

Read = dict[UUID, list[tuple[int, bytes]]]


def settings(**changes: float) -> JournalSettings:
    """Settings without a reserve and with short times."""
    base: dict[str, float] = {"commit_interval_s": 0.001, "reserve_bytes": 0, "retry_interval_s": 0.02}
    return JournalSettings(**(base | changes))  # type: ignore[arg-type]


@contextmanager
def memory_directory() -> Iterator[Path]:
    """A directory without a disk behind it, for tests with thousands of recoveries."""
    root = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(dir=root) as name:
        yield Path(name)


@contextmanager
def shelf_in(directory: Path, changes: JournalSettings | None = None) -> Iterator[Shelf]:
    """A shelf, opened as `Journal.open` does it; leaving the block is a crash, `seal` a close."""
    epoch = read_epoch(directory)
    found = recover(directory, epoch)
    write_epoch(directory, Epoch(found.report.epoch, epoch.closed_at))
    shelf = Shelf(
        directory,
        settings=changes or settings(),
        holdings=found.holdings,
        epoch=found.report.epoch,
        next_lsn=found.report.next_lsn,
        next_number=found.next_number,
        last=found.last,
    )
    shelf.prepare()
    yield shelf
    shelf.close()


def entry(recording: UUID, index: int, payload: bytes | None = None) -> PendingEntry:
    """An entry whose payload tells where it belongs."""
    return recording.bytes, index, 7, payload if payload is not None else f"{recording.int & 0xF}:{index}".encode()


def release(recording: UUID, index: int = 0) -> PendingEntry:
    """A release."""
    return recording.bytes, index, KIND_RELEASED, b""


def store(shelf: Shelf, *entries: PendingEntry) -> None:
    """Store a group and delete what it releases."""
    shelf.let_go(shelf.store(entries))


def read_all(directory: Path, recordings: Sequence[UUID] = ()) -> tuple[Recovery, Read, list[Hole]]:
    """Recover a directory and replay its recordings: the report, the entries, the holes."""
    found = recover(directory, read_epoch(directory))
    wanted = {name: facts.next_index for name, facts in found.report.recordings.items()}
    segments = [(number, segment.seal) for number, segment in found.holdings.segments.items()]
    entries: Read = {name: [] for name in recordings or wanted}
    holes = []
    for item in replay(directory, segments, wanted):
        if isinstance(item, Entry):
            entries[item.recording].append((item.index, item.payload))
        else:
            holes.append(item)
    return found.report, entries, holes


def copy_to(source: Path, target: Path) -> None:
    """Make `target` a copy of a flat directory."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


@asynccontextmanager
async def running(directory: Path, changes: JournalSettings | None = None) -> AsyncIterator[Journal]:
    """A started journal that is closed in the end."""
    journal = await asyncio.to_thread(Journal.open, directory, settings=changes or settings())
    journal.start(asyncio.get_running_loop())
    try:
        yield journal
    finally:
        await journal.close(5.0)


async def until(journal: Journal, state: JournalState) -> None:
    """Wait until the journal is in a state."""
    async with asyncio.timeout(10):
        while journal.state is not state:  # noqa: ASYNC110 - the state is the writer thread's
            await asyncio.sleep(0.005)


async def fill(journal: Journal, recording: UUID, size_bytes: int = 8000) -> int:
    """Append numbered entries until the journal refuses; return how many it took."""
    for accepted in range(5000):
        try:
            journal.append(recording, 0, b"%08d" % accepted + bytes(size_bytes))
        except Overloaded as error:
            assert error.reason in {Reason.DISK_FULL, Reason.OVERLOADED}  # noqa: PT017 - both are refusals
            return accepted
        await asyncio.sleep(0.001)
    raise AssertionError("the journal never refused")


def payloads(journal: Journal, recording: UUID) -> list[bytes]:
    """What a replay gives, which must have no hole."""
    items = list(journal.replay(recording))
    assert not [item for item in items if isinstance(item, Hole)]
    return [item.payload for item in items if isinstance(item, Entry)]

"""The writer's thread when the disk fails, and when it is full."""

import asyncio
import errno
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.journal.building import A, B, entry, fill, payloads, read_all, running, settings, shelf_in, until

from recorder_service.errors import Overloaded, Reason, Unavailable
from recorder_service.journal import Journal, JournalState
from recorder_service.journal.segments import segment_numbers
from recorder_service.journal.writer import Writer


class FailingSync:
    """An `os.fdatasync` that fails when told to, and remembers which files it was asked for."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.failures = 0
        self.calls: list[tuple[int, bool]] = []
        self._real = os.fdatasync

    def __call__(self, descriptor: int) -> None:
        inode = os.fstat(descriptor).st_ino
        failed = self.failures > 0
        self.calls.append((inode, failed))
        if failed:
            self.failures -= 1
            raise OSError(self.code, "made to fail")
        self._real(descriptor)

    def after_failure(self, inode: int) -> int:
        """How often a file was synced after its sync had failed."""
        calls = [failed for name, failed in self.calls if name == inode]
        return len(calls) - calls.index(True) - 1


@pytest.fixture
def sync(monkeypatch: pytest.MonkeyPatch) -> FailingSync:
    failing = FailingSync(errno.EIO)
    monkeypatch.setattr("recorder_service.journal.segments.os.fdatasync", failing)
    return failing


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("A FULL DISK IS NOT TESTED HERE: mounting a tmpfs needs root")
    yield path
    subprocess.run(["umount", str(path)], check=True)


async def test_failed_sync_is_not_repeated_and_the_group_is_written_elsewhere(
    tmp_path: Path, sync: FailingSync
) -> None:
    """The dead file is never synced again; its group becomes durable in a new segment, once."""
    async with running(tmp_path / "j") as journal:
        await journal.wait_durable(journal.append(A, 0, b"first"), 5)
        sync.failures = 1
        lsn = journal.append(A, 0, b"second")
        await journal.wait_durable(lsn, 5)
        dead = next(inode for inode, failed in sync.calls if failed)
        assert sync.after_failure(dead) == 0
        assert segment_numbers(tmp_path / "j") == [1, 2]
        assert (journal.state, journal.stats.rewrites) == (JournalState.RUNNING, 1)
        await journal.wait_durable(journal.append(A, 0, b"third"), 5)
        assert payloads(journal, A) == [b"first", b"second", b"third"]
    assert sync.after_failure(dead) == 0
    report, entries, holes = read_all(tmp_path / "j")
    assert [payload for _, payload in entries[A]] == [b"first", b"second", b"third"]
    assert (holes, report.damage) == ([], ())
    assert report.abandoned_bytes > 0


async def test_second_failure_ends_the_journal_and_acknowledges_nothing(tmp_path: Path, sync: FailingSync) -> None:
    """Waiters and appends hear JOURNAL_FAILED, the service is told, and what was durable stays."""
    states: list[JournalState] = []
    journal = await asyncio.to_thread(Journal.open, tmp_path / "j", settings=settings())
    journal.start(asyncio.get_running_loop(), on_state=states.append)
    durable = journal.append(A, 0, b"first")
    await journal.wait_durable(durable, 5)
    sync.failures = 100
    with pytest.raises(Unavailable) as caught:
        await journal.wait_durable(journal.append(A, 0, b"second"), 5)
    assert caught.value.reason is Reason.JOURNAL_FAILED
    await until(journal, JournalState.FAILED)
    with pytest.raises(Unavailable):
        journal.append(A, 0, b"third")
    with pytest.raises(Unavailable):
        journal.release(A)
    calls = len(sync.calls)
    await journal.close()
    assert states == [JournalState.FAILED]
    assert journal.durable_lsn == durable
    assert len(sync.calls) == calls
    assert len({inode for inode, failed in sync.calls if failed}) == len([1 for _, failed in sync.calls if failed])
    sync.failures = 0
    async with running(tmp_path / "j") as again:
        assert payloads(again, A)[0] == b"first"


async def test_failed_write_moves_to_a_new_segment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write error is treated like a sync error: the file is left as it is."""
    real, failures = os.pwritev, [OSError(errno.EIO, "made to fail")]

    def failing(descriptor: int, parts: list[bytes], offset: int) -> int:
        if failures and any(b"second" in part for part in parts):
            real(descriptor, [parts[0][:10]], offset)
            raise failures.pop()
        return real(descriptor, parts, offset)

    monkeypatch.setattr("recorder_service.journal.segments.os.pwritev", failing)
    async with running(tmp_path / "j") as journal:
        for text in (b"first", b"second", b"third"):
            await journal.wait_durable(journal.append(A, 0, text), 5)
        assert payloads(journal, A) == [b"first", b"second", b"third"]
    report, _, holes = read_all(tmp_path / "j")
    assert (report.damage, holes, report.abandoned_bytes) == ((), [], 10)


async def test_disk_that_is_slow_is_no_disk_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait that takes too long is OVERLOADED: the entry is on its way, and asking again finds it durable."""
    real, go = os.fdatasync, threading.Event()

    def slow(descriptor: int) -> None:
        go.wait(20)
        real(descriptor)

    async with running(tmp_path / "j") as journal:
        monkeypatch.setattr("recorder_service.journal.segments.os.fdatasync", slow)
        lsn = journal.append(A, 0, b"slow")
        with pytest.raises(Overloaded) as caught:
            await journal.wait_durable(lsn, 0.05)
        assert (caught.value.reason, journal.state) == (Reason.OVERLOADED, JournalState.RUNNING)
        go.set()
        await journal.wait_durable(lsn, 5)


async def test_full_disk_refuses_and_returns_when_freed(small_disk: Path) -> None:
    """DISK_FULL at once, nothing durable is lost, accepted entries are kept, and service returns by itself."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1024 * 1024))
    journal = await asyncio.to_thread(Journal.open, small_disk / "j", settings=settings())
    journal.start(asyncio.get_running_loop())
    accepted = await fill(journal, A)
    assert journal.state is JournalState.DISK_FULL
    assert 0 < journal.durable_lsn < accepted
    with pytest.raises(Overloaded) as caught:
        await journal.wait_durable(accepted, 0.1)
    assert caught.value.reason is Reason.DISK_FULL
    ballast.unlink()
    await until(journal, JournalState.RUNNING)
    await journal.wait_durable(accepted, 5)
    assert [int(payload[:8]) for payload in payloads(journal, A)] == list(range(accepted))
    await journal.wait_durable(journal.append(B, 0, b"again"), 5)
    await journal.close()
    report, entries, holes = read_all(small_disk / "j")
    assert (report.damage, report.torn_bytes, holes) == ((), 0, [])
    assert len(entries[A]) == accepted


async def test_release_on_a_full_disk_makes_room(small_disk: Path) -> None:
    """The reserve lets the release be written; the segments it frees let the rest go on."""
    changes = settings(reserve_bytes=128 * 1024, segment_bytes=256 * 1024)
    journal = await asyncio.to_thread(Journal.open, small_disk / "j", settings=changes)
    journal.start(asyncio.get_running_loop())
    last = await fill(journal, A)
    journal.release(A)
    await until(journal, JournalState.RUNNING)
    await journal.wait_durable(last, 5)
    await journal.wait_durable(journal.append(B, 0, b"room"), 5)
    assert journal.size_bytes < 512 * 1024
    await journal.close()
    report, entries, _ = read_all(small_disk / "j")
    assert set(report.recordings) == {B}
    assert entries[B] == [(0, b"room")]


async def test_close_on_a_full_disk_ends(small_disk: Path) -> None:
    """What is durable stays; what is not was never acknowledged."""
    journal = await asyncio.to_thread(Journal.open, small_disk / "j", settings=settings())
    journal.start(asyncio.get_running_loop())
    await fill(journal, A)
    await journal.close(5)
    durable = journal.durable_lsn
    report, entries, holes = read_all(small_disk / "j")
    assert len(entries[A]) == durable
    assert (report.damage, holes) == ((), [])


async def test_start_on_a_full_disk_recovers_and_waits_for_room(small_disk: Path) -> None:
    """Recovery needs no room; entries are taken as soon as there is some."""
    async with running(small_disk / "j") as journal:
        await journal.wait_durable(journal.append(A, 0, b"kept"), 5)
    ballast = small_disk / "ballast"
    with pytest.raises(OSError, match="No space"):
        ballast.write_bytes(bytes(4 * 1024 * 1024))
    journal = await asyncio.to_thread(Journal.open, small_disk / "j", settings=settings())
    journal.start(asyncio.get_running_loop())
    assert payloads(journal, A) == [b"kept"]
    lsn = journal.append(A, 0, b"later")
    await until(journal, JournalState.DISK_FULL)
    ballast.unlink()
    await journal.wait_durable(lsn, 5)
    assert payloads(journal, A) == [b"kept", b"later"]
    await journal.close()


async def test_unexpected_error_in_the_thread_fails_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug must not leave a journal that accepts and never writes."""

    def broken(*_: object, **__: object) -> None:
        raise ValueError("a bug")

    journal = await asyncio.to_thread(Journal.open, tmp_path / "j", settings=settings())
    journal.start(asyncio.get_running_loop())
    monkeypatch.setattr("recorder_service.journal.segments.encode_group", broken)
    with pytest.raises(Unavailable, match="a bug"):
        await journal.wait_durable(journal.append(A, 0, b""), 5)
    await journal.close()


def test_entry_that_came_before_the_thread_slept_is_not_slept_over(tmp_path: Path) -> None:
    """The event loop saw a thread at work and did not wake it: the thread must look again before it sleeps."""
    with shelf_in(tmp_path) as shelf:
        writer = Writer(shelf, settings())
        writer.queue.append(entry(A, 0))
        began = time.monotonic()
        assert writer._gather() == [entry(A, 0)]
        assert time.monotonic() - began < 0.5

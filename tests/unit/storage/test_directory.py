"""What a store in a directory promises beyond the contract of all stores."""

import asyncio
import errno
import hashlib
import os
import stat
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from recorder_service.errors import Damaged, Reason, StartupError, Unavailable
from recorder_service.storage import disk_files, synced_files
from recorder_service.storage.directory import DirectoryStore

KEY = "app/2026/11/22/file.wav"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
async def store(root: Path) -> AsyncIterator[DirectoryStore]:
    made = DirectoryStore(root)
    await made.check()
    yield made
    await made.aclose()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "spool.wav"
    path.write_bytes(os.urandom(100_000))
    path.chmod(0o644)
    return path


def modes(root: Path, *, directories: bool) -> set[int]:
    paths = (root, *root.rglob("*"))
    return {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_dir() == directories}


def inode(path: Path) -> int:
    return path.stat().st_ino


def content(path: Path) -> bytes:
    return path.read_bytes()


async def put(store: DirectoryStore, source: Path) -> None:
    data = content(source)
    await store.store(KEY, source, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


async def test_files_and_directories_are_private(store: DirectoryStore, root: Path, source: Path) -> None:
    """Files have mode 0600 and directories 0700, whatever the spool file had."""
    await put(store, source)
    assert modes(root, directories=False) == {0o600}
    assert modes(root, directories=True) == {0o700}


async def test_same_file_system_costs_a_link_only(store: DirectoryStore, root: Path, source: Path) -> None:
    """The stored file is the spool file's inode under a second name."""
    await put(store, source)
    assert inode(root / KEY) == inode(source)


async def test_nothing_temporary_remains(store: DirectoryStore, root: Path, source: Path) -> None:
    """Also not after a repeat, where both names lead to one inode and a rename does nothing."""
    await put(store, source)
    (root / KEY).unlink()
    os.link(source, root / KEY)
    await put(store, source)
    assert list((root / disk_files.INCOMING).iterdir()) == []


async def test_everything_is_synced_before_the_answer(
    root: Path, source: Path, monkeypatch: pytest.MonkeyPatch, store: DirectoryStore
) -> None:
    """The file is synced before its rename; every directory up to the root after it."""
    steps: list[str] = []
    real_fsync, real_rename = os.fsync, Path.rename

    def fsync(descriptor: int) -> None:
        steps.append("sync " + str(Path(f"/proc/self/fd/{descriptor}").readlink()).removeprefix(str(root)))
        real_fsync(descriptor)

    def rename(self: Path, target: Path) -> Path:
        steps.append("rename")
        return real_rename(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "rename", rename)
    await put(store, source)
    assert steps[0].startswith("sync /.incoming/")
    assert steps[1:] == [
        "rename", "sync /app/2026/11/22", "sync /app/2026/11", "sync /app/2026", "sync /app", "sync "
    ]  # fmt: skip


async def test_failed_sync_is_reported_and_leaves_no_name(
    root: Path, source: Path, monkeypatch: pytest.MonkeyPatch, store: DirectoryStore
) -> None:
    """An fsync error means not stored: no key, no leftover."""

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(Unavailable, match="Input/output error") as caught:
            await put(store, source)
    assert caught.value.reason is Reason.STORAGE_FAILED
    assert not (root / KEY).exists()
    assert list((root / disk_files.INCOMING).iterdir()) == []


async def test_empty_days_are_removed_and_others_kept(store: DirectoryStore, root: Path, source: Path) -> None:
    """Deleting the last file of a day takes the empty directories along, but never the store."""
    await put(store, source)
    await store.delete(KEY)
    assert not (root / "app").exists()
    assert (root / disk_files.MARKER).exists()


async def test_link_out_of_the_store_is_not_followed(store: DirectoryStore, root: Path, source: Path) -> None:
    """A symbolic link planted under a key opens nothing."""
    (root / "app").mkdir()
    (root / "app" / "link.mp3").symlink_to(source)
    with pytest.raises((Unavailable, Damaged)):
        await store.verify("app/link.mp3", size_bytes=100_000, sha256="")


async def test_directory_that_cannot_be_made_stops_the_start(tmp_path: Path) -> None:
    """The refusal names the directory, the cause and the fix."""
    (tmp_path / "file").write_text("in the way")
    store = DirectoryStore(tmp_path / "file" / "store")
    with pytest.raises(StartupError, match="choose another directory") as caught:
        await store.check()
    assert caught.value.reason is Reason.INVALID_CONFIGURATION
    assert str(tmp_path / "file" / "store") in caught.value.message
    assert "Not a directory" in caught.value.message
    await store.aclose()


def test_only_stale_leftovers_are_cleared(root: Path) -> None:
    """What another node is placing right now stays; what a crash left long ago goes."""
    disk_files.prepare(root)
    leftover = root / disk_files.INCOMING / "leftover"
    leftover.write_bytes(b"half")
    os.utime(leftover, (0, 0))
    disk_files.prepare(root)
    assert leftover.exists()
    disk_files.prepare(root, stale_s=-1)
    assert not leftover.exists()


async def test_slow_disk_counts_as_away_and_its_thread_ends(
    root: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wait has a deadline, and the work nobody waits for ends at its next block."""
    store = DirectoryStore(root, wait_s=0.1)
    await store.check()
    await put(store, source)
    release, ended = threading.Event(), threading.Event()
    real_readv = os.readv

    def slow(descriptor: int, buffers: list[memoryview]) -> int:
        release.wait(5)
        return real_readv(descriptor, buffers)

    def interrupted(stop: threading.Event) -> None:
        ended.set()
        assert stop.is_set()
        raise synced_files.Interrupted

    monkeypatch.setattr(os, "readv", slow)
    monkeypatch.setattr(synced_files, "still_wanted", interrupted)
    started = time.monotonic()
    with pytest.raises(Unavailable, match="too long"):
        await store.verify(KEY, size_bytes=100_000, sha256="")
    assert time.monotonic() - started < 1
    release.set()
    assert await asyncio.to_thread(ended.wait, 2)
    await store.aclose()


async def test_hashing_does_not_hold_up_the_loop(store: DirectoryStore, tmp_path: Path) -> None:
    """While a large file is verified the loop keeps turning."""
    large = tmp_path / "large.wav"
    large.write_bytes(os.urandom(1 << 20) * 48)
    await put(store, large)
    digest = hashlib.sha256(large.read_bytes()).hexdigest()
    job = asyncio.create_task(store.verify(KEY, size_bytes=48 << 20, sha256=digest))
    longest = 0.0
    while not job.done():
        started = time.monotonic()
        await asyncio.sleep(0.001)
        longest = max(longest, time.monotonic() - started)
    await job
    assert longest < 0.1


async def test_threads_carry_the_name_of_the_store(store: DirectoryStore, source: Path) -> None:
    """Work is done in a bounded pool of named threads."""
    await put(store, source)
    async for _ in await store.open(KEY, offset=0, length=10):
        pass
    names = [thread.name for thread in threading.enumerate()]
    assert 1 <= sum(name.startswith("store-write") for name in names) <= 2
    assert 1 <= sum(name.startswith("store-read") for name in names) <= 4

"""What every file store promises. A further store joins by one more entry in `BACKENDS`."""

import asyncio
import hashlib
import io
import os
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.harness.fault_proxy import FaultProxy
from tests.harness.s3_server import S3Server

from recorder_service.errors import BadInput, Damaged, NotFound, Reason, Unavailable
from recorder_service.storage.directory import DirectoryStore
from recorder_service.storage.s3 import S3Store
from recorder_service.storage.s3_settings import S3Settings

KEY = "5d2c/2026/11/22/0b9ecb43-7b51-4c2c-8a33-0d4a4bb2a6cc.mp3"


class FileStore(Protocol):
    """The whole contract, as `recorder_service.storage` describes it."""

    async def store(self, key: str, source: Path, *, size_bytes: int, sha256: str) -> None: ...
    async def verify(self, key: str, *, size_bytes: int, sha256: str) -> None: ...
    async def open(self, key: str, *, offset: int, length: int) -> AsyncGenerator[bytes, None]: ...
    async def delete(self, key: str) -> None: ...
    async def check(self) -> None: ...
    async def aclose(self) -> None: ...


@dataclass(frozen=True)
class Bench:
    """A store and what the tests do behind its back.

    Attributes:
        overwrite: Replace the stored bytes of a key.
        take_away: Make the store unreachable.
    """

    store: FileStore
    overwrite: Callable[[str, bytes], Awaitable[None]]
    take_away: Callable[[], Awaitable[None]]


async def _directory(tmp_path: Path, _: pytest.FixtureRequest | None = None) -> Bench:
    root = tmp_path / "store"

    async def overwrite(key: str, data: bytes) -> None:
        (root / key).unlink()
        (root / key).write_bytes(data)

    async def take_away() -> None:
        root.rename(tmp_path / "elsewhere")
        root.mkdir()

    return Bench(DirectoryStore(root), overwrite, take_away)


async def _directory_without_links(tmp_path: Path, _: pytest.FixtureRequest) -> Bench:
    root = tmp_path / "store"

    def no_link(source: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link", str(source), None, str(target))

    bench = await _directory(tmp_path)
    return Bench(DirectoryStore(root, link=no_link), bench.overwrite, bench.take_away)


async def _seaweedfs(_: Path, request: pytest.FixtureRequest) -> Bench:
    return _s3(request, request.getfixturevalue("seaweedfs_server"))


async def _minio(_: Path, request: pytest.FixtureRequest) -> Bench:
    return _s3(request, request.getfixturevalue("minio_server"))


def _s3(request: pytest.FixtureRequest, server: S3Server) -> Bench:
    proxy = FaultProxy(server.port)
    proxy.__enter__()
    request.addfinalizer(proxy.close)
    settings = S3Settings(
        endpoint=f"http://127.0.0.1:{proxy.port}",
        bucket="contract",
        prefix=f"test-{secrets.token_hex(8)}",
        access_key=server.access_key,
        secret_key=server.secret_key,
        download_threads=1,
    )

    async def overwrite(key: str, data: bytes) -> None:
        await asyncio.to_thread(
            server.client().put_object,
            bucket_name=settings.bucket,
            object_name=f"{settings.prefix}/{key}",
            data=io.BytesIO(data),
            length=len(data),
        )

    async def take_away() -> None:
        proxy.refuse()

    return Bench(S3Store(settings), overwrite, take_away)


BACKENDS: dict[str, Callable[[Path, pytest.FixtureRequest], Awaitable[Bench]]] = {
    "directory": _directory,
    "directory-without-links": _directory_without_links,
    "seaweedfs": _seaweedfs,
    "minio": _minio,
}


@pytest.fixture(params=BACKENDS)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    made = await BACKENDS[request.param](tmp_path, request)
    await made.store.check()
    yield made
    await made.store.aclose()


@pytest.fixture
def data() -> bytes:
    return os.urandom(700_001)


@pytest.fixture
def source(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "spool.mp3"
    path.write_bytes(data)
    return path


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def content(path: Path) -> bytes:
    return path.read_bytes()


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def put(store: FileStore, source: Path, key: str = KEY) -> None:
    data = content(source)
    await store.store(key, source, size_bytes=len(data), sha256=sha256(data))


async def read(
    store: FileStore, offset: int, length: int, key: str = KEY, *, into: list[bytes] | None = None
) -> list[bytes]:
    chunks: list[bytes] = [] if into is None else into
    async with aclosing(await store.open(key, offset=offset, length=length)) as stream:
        async for chunk in stream:
            chunks.append(chunk)  # noqa: PERF401 - what came before an error counts too
    return chunks


async def test_stored_file_verifies_and_reads_back(bench: Bench, source: Path, data: bytes) -> None:
    """What went in comes out, and the source is untouched."""
    await put(bench.store, source)
    await bench.store.verify(KEY, size_bytes=len(data), sha256=sha256(data))
    assert b"".join(await read(bench.store, 0, len(data))) == data
    assert content(source) == data


async def test_storing_again_changes_nothing(bench: Bench, source: Path, data: bytes) -> None:
    """A repeat after a lost answer is harmless."""
    await put(bench.store, source)
    await put(bench.store, source)
    await bench.store.verify(KEY, size_bytes=len(data), sha256=sha256(data))


async def test_storing_again_works_when_the_source_is_gone(bench: Bench, source: Path, data: bytes) -> None:
    """The stored file itself is proof enough that there is nothing left to do."""
    await put(bench.store, source)
    await bench.store.store(KEY, source.with_name("gone.mp3"), size_bytes=len(data), sha256=sha256(data))


async def test_storing_again_mends_a_damaged_file(bench: Bench, source: Path, data: bytes) -> None:
    """Other bytes under the key are replaced."""
    await put(bench.store, source)
    await bench.overwrite(KEY, data[:-1] + bytes([data[-1] ^ 1]))
    await put(bench.store, source)
    await bench.store.verify(KEY, size_bytes=len(data), sha256=sha256(data))


async def test_many_stores_at_once_all_arrive(bench: Bench, source: Path, data: bytes) -> None:
    """Parallel work on one directory, and twice on one key, does not collide."""
    keys = [f"app/2026/11/{number % 3}/{number % 20}.mp3" for number in range(40)]
    async with asyncio.TaskGroup() as group:
        for key in keys:
            group.create_task(put(bench.store, source, key))
    for key in set(keys):
        await bench.store.verify(key, size_bytes=len(data), sha256=sha256(data))


async def test_store_and_delete_side_by_side_do_not_fail(bench: Bench, source: Path) -> None:
    """Removing the last file of a day while the next one of that day arrives breaks neither."""

    async def cycle(name: str) -> None:
        for _ in range(15):
            await put(bench.store, source, f"app/2026/{name}")
            await bench.store.delete(f"app/2026/{name}")

    async with asyncio.TaskGroup() as group:
        for name in ("a", "b", "c"):
            group.create_task(cycle(name))


async def test_missing_source_is_damaged(bench: Bench, tmp_path: Path) -> None:
    """A spool file that is not there cannot be stored."""
    with pytest.raises(Damaged, match="missing"):
        await bench.store.store(KEY, tmp_path / "none", size_bytes=1, sha256=sha256(b"x"))


async def test_source_of_another_size_is_damaged_and_leaves_nothing(bench: Bench, source: Path, data: bytes) -> None:
    """A file shorter than promised never takes the key."""
    with pytest.raises(Damaged, match=str(len(data) + 1)):
        await bench.store.store(KEY, source, size_bytes=len(data) + 1, sha256=sha256(data))
    with pytest.raises(NotFound):
        await read(bench.store, 0, 1)


async def test_changed_byte_is_damaged(bench: Bench, source: Path, data: bytes) -> None:
    """One flipped bit in the middle is found."""
    await put(bench.store, source)
    middle = len(data) // 2
    await bench.overwrite(KEY, data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :])
    with pytest.raises(Damaged) as caught:
        await bench.store.verify(KEY, size_bytes=len(data), sha256=sha256(data))
    assert caught.value.reason is Reason.DAMAGED


@pytest.mark.parametrize("extra", [-1, 1])
async def test_other_size_is_damaged(bench: Bench, source: Path, data: bytes, extra: int) -> None:
    """A byte more or less is found."""
    await put(bench.store, source)
    await bench.overwrite(KEY, (data + b"x")[: len(data) + extra])
    with pytest.raises(Damaged):
        await bench.store.verify(KEY, size_bytes=len(data), sha256=sha256(data))


async def test_missing_file_does_not_verify(bench: Bench) -> None:
    """Nothing stored is damage, since the store itself answered."""
    with pytest.raises(Damaged, match="missing"):
        await bench.store.verify(KEY, size_bytes=1, sha256=sha256(b"x"))


async def test_missing_file_is_not_found(bench: Bench) -> None:
    """Opening what is not there says so."""
    with pytest.raises(NotFound) as caught:
        await read(bench.store, 0, 1)
    assert caught.value.reason is Reason.FILE_NOT_FOUND


async def test_chunks_are_bounded(bench: Bench, source: Path, data: bytes) -> None:
    """All chunks but the last have 64 to 256 KiB."""
    await put(bench.store, source)
    *full, last = map(len, await read(bench.store, 0, len(data)))
    assert all(64 * 1024 <= size <= 256 * 1024 for size in full)
    assert 0 < last <= 256 * 1024


@pytest.mark.parametrize(
    ("offset", "length"), [(0, 0), (0, 1), (700_000, 1), (700_001, 0), (262_143, 2), (1, 700_000), (65_536, 262_144)]
)
async def test_part_is_exact(bench: Bench, source: Path, data: bytes, offset: int, length: int) -> None:
    """Any part comes out to the byte."""
    await put(bench.store, source)
    assert b"".join(await read(bench.store, offset, length)) == data[offset : offset + length]


async def test_short_body_is_an_error_and_never_padded(bench: Bench, source: Path, data: bytes) -> None:
    """Asking beyond the stored end gives at most the stored bytes, then an error."""
    await put(bench.store, source)
    await bench.overwrite(KEY, data[:300_000])
    chunks: list[bytes] = []
    with pytest.raises(Damaged):
        await read(bench.store, 0, len(data), into=chunks)
    assert data[:300_000].startswith(b"".join(chunks))


async def test_file_that_shrinks_while_read_is_an_error(bench: Bench, source: Path, data: bytes) -> None:
    """A body that turns out shorter half-way ends with an error too."""
    await put(bench.store, source)
    async with aclosing(await bench.store.open(KEY, offset=0, length=len(data))) as stream:
        received = await anext(stream)
        await bench.overwrite(KEY, data[:300_000])
        with pytest.raises((Damaged, NotFound)):
            received += b"".join([chunk async for chunk in stream])
    assert len(received) < len(data)


async def test_deleted_file_is_gone_and_deleting_again_is_no_error(bench: Bench, source: Path) -> None:
    """Removal is final and repeatable, also of what never was."""
    await put(bench.store, source)
    await bench.store.delete(KEY)
    await bench.store.delete(KEY)
    await bench.store.delete("never/there.mp3")
    with pytest.raises(NotFound):
        await read(bench.store, 0, 1)


async def test_check_may_be_repeated_and_keeps_the_files(bench: Bench, source: Path, data: bytes) -> None:
    """A restart finds everything."""
    await put(bench.store, source)
    await bench.store.check()
    await bench.store.verify(KEY, size_bytes=len(data), sha256=sha256(data))


async def test_store_that_is_away_is_unavailable_not_damaged(bench: Bench, source: Path, data: bytes) -> None:
    """An outage is never taken for lost files: every operation says STORAGE_FAILED and when to ask again."""
    await put(bench.store, source)
    await bench.take_away()
    for operation in (
        bench.store.verify(KEY, size_bytes=len(data), sha256=sha256(data)),
        put(bench.store, source, "other.mp3"),
        read(bench.store, 0, 1),
        bench.store.delete(KEY),
    ):
        with pytest.raises(Unavailable) as caught:
            await operation
        assert caught.value.reason is Reason.STORAGE_FAILED
        assert caught.value.retry_after_s


HOSTILE_KEYS = (
    "", "/", "/etc/passwd", "..", "../x", "a/../b", "a/..", "a//b", "a/", "./a", "a/.hidden", ".incoming/x",
    ".recorder-store", "a\0b", "a\nb", "a\\b", "C:x", "a b", "ä", "a" * 129, "/".join("a" * 17), "x/" * 300, "%2e%2e/a",
)  # fmt: skip


@pytest.mark.parametrize("key", HOSTILE_KEYS)
async def test_hostile_key_is_refused_everywhere(bench: Bench, source: Path, key: str) -> None:
    """No name can lead out of the store, to a hidden file, or need quoting; nothing is read, written or removed."""
    for operation in (
        put(bench.store, source, key),
        bench.store.verify(key, size_bytes=1, sha256=""),
        read(bench.store, 0, 1, key),
        bench.store.delete(key),
    ):
        with pytest.raises(BadInput) as caught:
            await operation
        assert caught.value.reason is Reason.INVALID_FIELD


async def test_reader_that_stops_early_leaks_no_file(bench: Bench, source: Path, data: bytes) -> None:
    """Dropping, closing and cancelling a reader leave no descriptor behind."""
    await put(bench.store, source)
    await read(bench.store, 0, len(data))
    before = open_descriptors()
    for _ in range(50):
        stream = await bench.store.open(KEY, offset=0, length=len(data))
        await anext(stream)
        await stream.aclose()
        task = asyncio.create_task(read(bench.store, 0, len(data)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await asyncio.sleep(0.05)
    assert open_descriptors() <= before


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(part=st.tuples(st.integers(0, 700_001), st.integers(0, 700_001)))
def test_any_part_equals_the_slice(source: Path, tmp_path: Path, data: bytes, part: tuple[int, int]) -> None:
    """Offset and length behave as a slice of the bytes."""
    offset, length = part[0], min(part[1], 700_001 - part[0])

    async def run() -> bytes:
        bench = await _directory(tmp_path)
        await bench.store.check()
        await put(bench.store, source)
        try:
            return b"".join(await read(bench.store, offset, length))
        finally:
            await bench.store.aclose()

    assert asyncio.run(run()) == data[offset : offset + length]

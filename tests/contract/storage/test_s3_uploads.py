"""Uploads in parts, and what stays behind when they fail. Real servers, real connections."""

import asyncio
import threading
from pathlib import Path

import pytest
from minio.datatypes import Part
from tests.harness.fault_proxy import Way
from tests.harness.s3_bench import KEY, File, S3Bench, busy_threads, make_file

from recorder_service.errors import Damaged, Unavailable
from recorder_service.storage import s3_client
from recorder_service.storage.s3_client import S3Client
from recorder_service.storage.s3_settings import MIB
from recorder_service.storage.s3_uploads import Uploads


@pytest.fixture
def file(tmp_path: Path) -> File:
    return make_file(tmp_path, 10 * MIB + 1)


async def test_large_file_goes_up_in_parts_and_comes_back(s3: S3Bench, file: File) -> None:
    """Three parts, one object, its hash in the metadata, the exact bytes."""
    async with s3.store() as store:
        await store.store(KEY, file.path, **file.promise)
        assert sorted(line.split("partNumber=")[1][0] for line in s3.sent("partNumber=")) == ["1", "2", "3"]
        await store.verify(KEY, **file.promise)
        chunks = [chunk async for chunk in await store.open(KEY, offset=5 * MIB - 1, length=3 * MIB)]
        assert b"".join(chunks) == file.data[5 * MIB - 1 : 8 * MIB - 1]
        found = s3.server.client().stat_object(bucket_name=s3.settings.bucket, object_name=s3.name())
        assert found.metadata is not None
        assert found.metadata["x-amz-meta-sha256"] == file.promise["sha256"]
        assert found.content_type == "audio/mpeg"


async def test_large_file_that_is_there_is_not_sent_again(s3: S3Bench, file: File) -> None:
    """One look is all a repeat costs: nothing is overwritten in a locked bucket."""
    async with s3.store() as store:
        await store.store(KEY, file.path, **file.promise)
        s3.proxy.requests.clear()
        await store.store(KEY, file.path, **file.promise)
        assert [line.split()[0] for line in s3.proxy.requests] == ["HEAD"]


@pytest.mark.parametrize("only", ["partNumber=2", "^POST .*uploadId="])
async def test_failed_upload_leaves_no_parts(s3: S3Bench, file: File, only: str) -> None:
    """A part that is refused, and parts that cannot be joined, are forgotten; the next try succeeds."""
    async with s3.store() as store:
        s3.proxy.answer(503, only=only)
        with pytest.raises(Unavailable):
            await store.store(KEY, file.path, **file.promise)
        assert s3.unfinished() == []
        assert s3.names() == []
        s3.proxy.pass_through()
        await store.store(KEY, file.path, **file.promise)
        await store.verify(KEY, **file.promise)


async def test_success_that_turns_into_a_failure_is_a_failure(s3: S3Bench, file: File) -> None:
    """Status 200 with an error in its body is no success."""
    async with s3.store() as store:
        body = "<Error><Code>InternalError</Code><Message>no</Message></Error>"
        s3.proxy.answer(200, only="^POST .*uploadId=", body=body, headers="Content-Type: application/xml\r\n")
        with pytest.raises(Unavailable, match="joined"):
            await store.store(KEY, file.path, **file.promise)
        assert s3.unfinished() == []


async def test_lost_answer_to_the_last_step_is_found_out_by_the_next_try(s3: S3Bench, file: File) -> None:
    """The object was made, nobody heard of it: the next `store` finds it and sends nothing."""
    async with s3.store() as store:
        s3.proxy.cut(0, only="^POST .*uploadId=", way=Way.DOWN)
        with pytest.raises(Unavailable):
            await store.store(KEY, file.path, **file.promise)
        s3.proxy.pass_through()
        s3.proxy.requests.clear()
        await store.store(KEY, file.path, **file.promise)
        assert [line.split()[0] for line in s3.proxy.requests] == ["HEAD"]
        await store.verify(KEY, **file.promise)


async def test_file_with_another_hash_never_takes_the_key(s3: S3Bench, file: File) -> None:
    """Parts of a file that is not what was promised are forgotten."""
    async with s3.store() as store:
        with pytest.raises(Damaged, match="SHA-256"):
            await store.store(KEY, file.path, size_bytes=len(file.data), sha256="0" * 64)
        assert s3.unfinished() == []
        assert s3.names() == []


async def test_small_file_with_another_hash_is_not_sent(s3: S3Bench, tmp_path: Path) -> None:
    """What fits into one piece is hashed before it is sent."""
    file = make_file(tmp_path, 1000)
    async with s3.store() as store:
        with pytest.raises(Damaged, match="SHA-256"):
            await store.store(KEY, file.path, size_bytes=1000, sha256="0" * 64)
        assert s3.sent("PUT ") == []


async def test_empty_file_is_stored(s3: S3Bench, tmp_path: Path) -> None:
    """No bytes are bytes too."""
    file = make_file(tmp_path, 0)
    async with s3.store() as store:
        await store.store(KEY, file.path, **file.promise)
        await store.verify(KEY, **file.promise)


async def test_cancelled_upload_leaves_no_parts(s3: S3Bench, file: File) -> None:
    """Whoever gives up half-way leaves nothing to pay for."""
    async with s3.store(parallel_parts=1) as store:
        s3.proxy.slow(4 * MIB, way=Way.UP, only="partNumber")
        task = asyncio.create_task(store.store(KEY, file.path, **file.promise))
        while not s3.sent("partNumber"):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        s3.proxy.pass_through()
        for _ in range(100):
            if s3.sent("DELETE "):
                break
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.1)
        assert s3.unfinished() == []
        assert s3.names() == []


class Collapse(BaseException):
    """What no `except Exception` catches."""


async def test_no_kind_of_failure_leaves_parts(one_s3: S3Bench, file: File, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even one that is no `Exception`."""
    send = S3Client.upload_part

    def fail(self: S3Client, bucket: str, name: str, upload_id: str, number: int, data: bytes) -> Part:
        if number == 2:
            raise Collapse
        return send(self, bucket, name, upload_id, number, data)

    async with one_s3.store() as store:
        monkeypatch.setattr(s3_client.S3Client, "upload_part", fail)
        with pytest.raises(Collapse):
            await store.store(KEY, file.path, **file.promise)
        assert one_s3.unfinished() == []


async def test_parts_in_memory_are_bounded_over_all_files(
    one_s3: S3Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many files are stored, no more than `parallel_parts` parts are read and not yet sent."""
    read, send, lock, held = Uploads._next_part, S3Client.upload_part, threading.Lock(), [0, 0]

    def taken(self: Uploads, descriptor: int, offset: int, length: int) -> bytes:
        with lock:
            held[0] += 1
            held[1] = max(held)
        return read(self, descriptor, offset, length)

    def given(self: S3Client, bucket: str, name: str, upload_id: str, number: int, data: bytes) -> Part:
        part = send(self, bucket, name, upload_id, number, data)
        with lock:
            held[0] -= 1
        return part

    monkeypatch.setattr(Uploads, "_next_part", taken)
    monkeypatch.setattr(S3Client, "upload_part", given)
    file = make_file(tmp_path, 5 * MIB + 1)
    async with one_s3.store(parallel_parts=2, upload_threads=4) as store:
        await asyncio.gather(*(store.store(f"{number}.wav", file.path, **file.promise) for number in range(4)))
        assert held == [0, 2]
        assert busy_threads("s3-part") == 2
        assert busy_threads("s3-write") == 4
    assert busy_threads("s3-part") == busy_threads("s3-write") == busy_threads("s3-read") == 0


async def test_parts_that_could_not_be_forgotten_are_swept(s3: S3Bench, file: File) -> None:
    """The store is away for the abort too: parts stay until a sweep finds them old enough. The first error counts."""
    bench = s3.with_settings(prefix="")
    key = f"{s3.settings.prefix}/{KEY}"
    async with bench.store(stale_upload_s=3600) as store:
        s3.proxy.answer(503, only="partNumber=2|^DELETE")
        with pytest.raises(Unavailable, match="storing"):
            await store.store(key, file.path, **file.promise)
        assert len(bench.unfinished(key)) == 1
        s3.proxy.pass_through()
        assert await store.sweep() == 0
        assert len(bench.unfinished(key)) == 1
    await asyncio.sleep(1.1)
    async with bench.store(stale_upload_s=1):
        assert bench.unfinished(key) == []


async def test_sweep_spares_what_others_put_into_the_bucket(s3: S3Bench) -> None:
    """Only uploads below the prefix are ours."""
    client = S3Client(
        f"127.0.0.1:{s3.server.port}",
        access_key=s3.server.access_key,
        secret_key=s3.server.secret_key,
        secure=False,
        region="us-east-1",
    )
    async with s3.store():
        pass
    foreign = f"{s3.settings.prefix}-foreign/file"
    upload_id = client.begin_upload(s3.settings.bucket, foreign, {})
    await asyncio.sleep(0.02)
    async with s3.store(stale_upload_s=0.001) as store:
        await store.sweep()
    found = [one.upload_id for one in client.unfinished_uploads(s3.settings.bucket, foreign)]
    client.abort_upload(s3.settings.bucket, foreign, upload_id)
    assert found == [upload_id]


def test_sdk_is_the_one_whose_inner_steps_are_used() -> None:
    """The steps of a multipart upload are no public part of the SDK: another release may rename them."""
    for step in ("_create_multipart_upload", "_upload_part", "_complete_multipart_upload", "_abort_multipart_upload"):
        assert callable(getattr(S3Client, step))
    assert callable(S3Client._list_multipart_uploads)

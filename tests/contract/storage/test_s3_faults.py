"""How the S3 store bears a server that is away, slow, broken or not what it should be. All servers are real."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from tests.harness.fault_proxy import Way
from tests.harness.s3_bench import KEY, File, S3Bench, make_file
from tests.harness.s3_server import free_ports

from recorder_service.errors import Damaged, NotFound, Reason, StartupError, Unavailable
from recorder_service.storage.s3 import S3Store

BIG_BYTES = 10 * 1024 * 1024
IMPATIENT = {"connect_timeout_s": 0.5, "read_timeout_s": 2.0}


@pytest.fixture
def file(tmp_path: Path) -> File:
    return make_file(tmp_path, 700_001)


@pytest.fixture
def big_file(tmp_path: Path) -> File:
    return make_file(tmp_path, BIG_BYTES)


async def read(store: S3Store, length: int, into: list[bytes]) -> None:
    async with aclosing(await store.open(KEY, offset=0, length=length)) as stream:
        await drain(stream, into)


async def drain(stream: AsyncGenerator[bytes, None], into: list[bytes]) -> None:
    async for chunk in stream:
        into.append(chunk)  # noqa: PERF401 - what came before an error counts too


def operations(store: S3Store, file: File) -> dict[str, Callable[[], Awaitable[object]]]:
    return {
        "store": lambda: store.store("other.mp3", file.path, **file.promise),
        "verify": lambda: store.verify(KEY, **file.promise),
        "open": lambda: read(store, len(file.data), []),
        "delete": lambda: store.delete(KEY),
        "sweep": store.sweep,
    }


async def refused(operation: Awaitable[object]) -> Unavailable:
    with pytest.raises(Unavailable) as caught:
        await operation
    assert caught.value.reason is Reason.STORAGE_FAILED
    assert caught.value.retry_after_s
    return caught.value


async def test_store_that_cannot_serve_now_is_unavailable(s3: S3Bench, file: File) -> None:
    """503, to everything, twice per request and no more."""
    async with s3.store() as store:
        await store.store(KEY, file.path, **file.promise)
        s3.proxy.answer(503)
        for name, operation in operations(store, file).items():
            s3.proxy.requests.clear()
            await refused(operation())
            assert len(s3.proxy.requests) == 2, name


async def test_store_says_when_to_ask_again(s3: S3Bench, file: File) -> None:
    """Retry-After is passed on, up to a minute, and never slept through in a thread."""
    body = "<Error><Code>SlowDown</Code><Message>later</Message></Error>"
    async with s3.store() as store:
        await store.store(KEY, file.path, **file.promise)
        for said_s, told_s in ((7, 7), (3600, 60)):
            s3.proxy.answer(503, body=body, headers=f"Content-Type: application/xml\r\nRetry-After: {said_s}\r\n")
            began_s = time.monotonic()
            error = await refused(store.verify(KEY, **file.promise))
            assert error.retry_after_s == told_s
            assert "SlowDown" in error.message
            assert time.monotonic() - began_s < 5


async def test_one_failure_is_tried_again(s3: S3Bench, file: File) -> None:
    """A single 503, and a single lost connection, go unnoticed."""
    async with s3.store() as store:
        s3.proxy.answer(503, only="^PUT ", times=1)
        await store.store(KEY, file.path, **file.promise)
        assert len(s3.sent("PUT ")) == 2
        s3.proxy.cut(100_000, way=Way.UP, times=1)
        await store.store("other.mp3", file.path, **file.promise)
        await store.verify("other.mp3", **file.promise)


async def test_idle_connection_that_was_reset_goes_unnoticed(s3: S3Bench, file: File) -> None:
    """Stores and firewalls end idle connections."""
    async with s3.store() as store:
        await store.store(KEY, file.path, **file.promise)
        s3.proxy.reset()
        await store.verify(KEY, **file.promise)


@pytest.mark.parametrize("fault", ["black_hole", "unreachable"])
async def test_silent_store_holds_threads_no_longer_than_the_limits(one_s3: S3Bench, file: File, fault: str) -> None:
    """After the set limits every operation has ended, and so has its thread: all are free when the store is back."""
    bench = one_s3.with_settings(upload_threads=4, download_threads=1, **IMPATIENT)
    limit_s = bench.settings.longest_request_s
    async with bench.store() as store:
        await store.store(KEY, file.path, **file.promise)
        getattr(one_s3.proxy, fault)()
        began_s = time.monotonic()
        await asyncio.gather(*(refused(operation()) for operation in operations(store, file).values()))
        assert time.monotonic() - began_s < limit_s + 1
        one_s3.proxy.pass_through()
        began_s = time.monotonic()
        await asyncio.gather(*(store.verify(KEY, **file.promise) for _ in range(4)), read(store, len(file.data), []))
        assert time.monotonic() - began_s < limit_s / 2


async def test_silent_store_in_mid_upload_ends_within_the_limits(one_s3: S3Bench, big_file: File) -> None:
    """The parts, and the attempt to abort, are bounded too."""
    async with one_s3.store(retries=0, **IMPATIENT) as store:
        one_s3.proxy.black_hole(only="partNumber|^DELETE")
        began_s = time.monotonic()
        await refused(store.store(KEY, big_file.path, **big_file.promise))
        # Parts: time to send plus time to answer. Then the abort.
        assert time.monotonic() - began_s < 2 * (0.5 + 2.0) + 3


async def test_caller_who_gives_up_frees_the_thread(one_s3: S3Bench, file: File) -> None:
    """A trickling store is given up after `wait_s`, and its thread ends at its next bytes."""
    async with one_s3.store(upload_threads=1, wait_s=2) as store:
        await store.store(KEY, file.path, **file.promise)
        one_s3.proxy.slow(50_000, only="^GET")
        error = await refused(store.verify(KEY, **file.promise))
        assert "took too long" in error.message
        one_s3.proxy.pass_through()
        began_s = time.monotonic()
        await store.delete(KEY)
        assert time.monotonic() - began_s < 2


async def test_slow_line_is_not_a_dead_line(one_s3: S3Bench, tmp_path: Path) -> None:
    """A piece that takes far longer to send than any one wait may last goes through."""
    file = make_file(tmp_path, 16 * 1024 * 1024)
    async with one_s3.store(part_bytes=len(file.data), connect_timeout_s=1.5, retries=0) as store:
        one_s3.proxy.slow(4 * 1024 * 1024, way=Way.UP, only="^PUT")
        began_s = time.monotonic()
        await store.store(KEY, file.path, **file.promise)
        assert time.monotonic() - began_s > 3
        await store.verify(KEY, **file.promise)


async def test_answer_cut_short_is_an_outage_not_damage(s3: S3Bench, file: File) -> None:
    """A body that ends early says nothing about the object."""
    async with s3.store() as store:
        await store.store(KEY, file.path, **file.promise)
        s3.proxy.cut(100_000)
        await refused(store.verify(KEY, **file.promise))


async def test_download_cut_short_is_an_error_and_never_padded(s3: S3Bench, file: File) -> None:
    """What came before the cut is right, and then there is an error."""
    async with s3.store() as store:
        await store.store(KEY, file.path, **file.promise)
        chunks: list[bytes] = []
        async with aclosing(await store.open(KEY, offset=0, length=len(file.data))) as stream:
            chunks.append(await anext(stream))
            s3.proxy.cut(100_000)
            with pytest.raises(Unavailable):
                await drain(stream, chunks)
        received = b"".join(chunks)
        assert file.data.startswith(received)
        assert 0 < len(received) < len(file.data)


async def test_server_that_ignores_ranges_is_noticed(s3: S3Bench, file: File) -> None:
    """The whole object instead of a part must not pass as that part."""
    async with s3.store() as store:
        await store.store(KEY, file.path, **file.promise)
        async with aclosing(await store.open(KEY, offset=10, length=20)) as stream:
            s3.proxy.answer(200, only="^GET", body="x" * 20)
            with pytest.raises(Unavailable, match="range"):
                await anext(stream)


async def test_upload_cut_short_leaves_nothing(s3: S3Bench, file: File) -> None:
    """A file that did not go up whole does not exist."""
    async with s3.store() as store:
        s3.proxy.cut(300_000, way=Way.UP)
        await refused(store.store(KEY, file.path, **file.promise))
        s3.proxy.pass_through()
        with pytest.raises(NotFound):
            await read(store, 1, [])


async def test_missing_bucket_is_an_outage_not_a_lost_file(s3: S3Bench, file: File) -> None:
    """A store that lost, or never had, the bucket is not the right one: no recording counts as missing."""
    bench = s3.with_settings(bucket="vanishing")
    async with bench.store() as store:
        s3.server.client().remove_bucket(bucket_name="vanishing")
        for operation in (
            store.verify(KEY, **file.promise),
            read(store, 1, []),
            store.store(KEY, file.path, **file.promise),
        ):
            error = await refused(operation)
            assert "bucket" in error.message


async def test_removed_while_read_is_not_found(s3: S3Bench, file: File) -> None:
    """An erased file does not go on to be served."""
    async with s3.store() as store:
        await store.store(KEY, file.path, **file.promise)
        async with aclosing(await store.open(KEY, offset=0, length=len(file.data))) as stream:
            await anext(stream)
            await store.delete(KEY)
            with pytest.raises(NotFound):
                await anext(stream)


async def test_flood_of_downloads_does_not_hold_up_uploads(one_s3: S3Bench, file: File) -> None:
    """Downloads and uploads share neither threads nor connections."""
    async with one_s3.store(download_threads=2, wait_s=5) as store:
        await store.store(KEY, file.path, **file.promise)
        one_s3.proxy.slow(200_000, only="^GET")
        flood = [asyncio.create_task(read(store, len(file.data), [])) for _ in range(20)]
        await asyncio.sleep(0.2)
        began_s = time.monotonic()
        await store.store("other.mp3", file.path, **file.promise)
        took_s = time.monotonic() - began_s
        for task in flood:
            task.cancel()
        await asyncio.gather(*flood, return_exceptions=True)
        assert took_s < 2


async def startup_error(s3: S3Bench, **changes: object) -> StartupError:
    with pytest.raises(StartupError) as caught:
        async with s3.with_settings(**changes).store():
            pass
    assert s3.settings.secret_key not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("field", ["access_key", "secret_key"])
async def test_wrong_keys_are_named_at_start(s3: S3Bench, field: str) -> None:
    """The message says which of the two to correct."""
    error = await startup_error(s3, **{field: "0123456789abcdef"})
    assert error.reason is Reason.INVALID_CONFIGURATION
    assert f"correct {field}" in error.message


async def test_missing_bucket_is_named_when_it_may_not_be_made(s3: S3Bench) -> None:
    """Without `create_bucket` nothing is made."""
    error = await startup_error(s3, bucket="not-there", create_bucket=False)
    assert error.reason is Reason.INVALID_CONFIGURATION
    assert "not-there" in error.message
    assert "make it" in error.message
    assert not s3.server.client().bucket_exists(bucket_name="not-there")


async def test_missing_bucket_is_made(s3: S3Bench) -> None:
    """By default the first start makes it."""
    async with s3.with_settings(bucket="made-at-start").store():
        assert s3.server.client().bucket_exists(bucket_name="made-at-start")


async def test_missing_right_to_make_the_bucket_is_named(one_s3: S3Bench, file: File) -> None:
    """Keys that may only read and write say so when the bucket is missing, and do when it is there."""
    few = {"access_key": f"{one_s3.server.access_key}-few", "bucket": "few-rights"}
    error = await startup_error(one_s3, **few)
    assert error.reason is Reason.INVALID_CONFIGURATION
    assert "few-rights" in error.message
    assert "s3:CreateBucket" in error.message
    one_s3.server.client().make_bucket(bucket_name="few-rights")
    async with one_s3.store(**few) as store:
        await store.store(KEY, file.path, **file.promise)
        await store.verify(KEY, **file.promise)


async def test_right_that_was_taken_away_is_named(one_s3: S3Bench, file: File) -> None:
    """A refusal while running is an outage with a fix, and is not asked again every ten seconds."""
    async with one_s3.store() as store:
        await store.store(KEY, file.path, **file.promise)
        body = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
        one_s3.proxy.answer(403, body=body, headers="Content-Type: application/xml\r\n")
        error = await refused(store.verify(KEY, **file.promise))
        assert "s3:GetObject" in error.message
        assert error.retry_after_s == 60


@pytest.mark.parametrize("fault", ["refuse", "black_hole", "unreachable"])
async def test_store_that_is_not_reached_at_start_may_be_waited_for(one_s3: S3Bench, fault: str) -> None:
    """It is told apart from a wrong setting by its reason: whoever starts the service may go on without the store."""
    store = S3Store(one_s3.with_settings(**IMPATIENT).settings)
    getattr(one_s3.proxy, fault)()
    with pytest.raises(StartupError) as caught:
        await store.check()
    await store.aclose()
    assert caught.value.reason is Reason.STORAGE_FAILED
    assert one_s3.settings.endpoint in caught.value.message
    assert "endpoint" in caught.value.message


async def test_store_that_cannot_serve_at_start_may_be_waited_for(one_s3: S3Bench) -> None:
    """A proxy in front of a store that is still starting says 503."""
    one_s3.proxy.answer(503)
    assert (await startup_error(one_s3)).reason is Reason.STORAGE_FAILED


async def test_something_that_is_no_s3_store_is_refused_at_start(s3: S3Bench) -> None:
    """A web page is no bucket."""
    s3.proxy.answer(404, body="<html>hello</html>", headers="Content-Type: text/html\r\n")
    error = await startup_error(s3)
    assert error.reason is Reason.INVALID_CONFIGURATION
    assert "html>" not in error.message


async def test_store_that_drops_metadata_is_refused_at_start(s3: S3Bench) -> None:
    """The test object must come back as it went in."""
    s3.proxy.answer(200, only=r"^GET \S+recorder-store", body="x" * 64)
    error = await startup_error(s3)
    assert "SHA-256" in error.message


async def test_endpoint_that_nobody_listens_on_is_named(s3: S3Bench) -> None:
    """Connection refused, with the endpoint to correct."""
    error = await startup_error(s3, endpoint=f"http://127.0.0.1:{free_ports(1)[0]}")
    assert "refused" in error.message


async def test_damaged_object_is_replaced_by_the_next_store(s3: S3Bench, file: File) -> None:
    """Metadata that is right over bytes that are wrong does not make `store` believe that there is nothing to do."""
    async with s3.store() as store:
        await store.store(KEY, file.path, **file.promise)
        await asyncio.to_thread(s3.put, b"x" * len(file.data), KEY, {"sha256": file.promise["sha256"]})
        with pytest.raises(Damaged):
            await store.verify(KEY, **file.promise)
        await store.store(KEY, file.path, **file.promise)
        await store.verify(KEY, **file.promise)

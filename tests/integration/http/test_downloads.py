"""Downloads over a real server, from a real directory."""

import asyncio
import hashlib
import http.client
import itertools
import os
import random
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from tests.integration.http.site import (
    APPLICATION_B,
    LARGE_BYTES,
    SMALL_BYTES,
    Answer,
    Site,
    hang_up,
    running_site,
    until,
)

from recorder_service.access.tokens import TokenVerifier as RealTokenVerifier
from recorder_service.domain.options import FileFormat
from recorder_service.domain.recording import RecordingFile, RecordingState
from recorder_service.error_table import ERROR_TABLE
from recorder_service.errors import Reason
from recorder_service.http.authorisation import TokenVerifier
from recorder_service.http.body import DownloadOutcome
from recorder_service.http.downloads import DownloadLimits

DATA = random.Random(1).randbytes(SMALL_BYTES)
LARGE = random.Random(2).randbytes(1 << 20) * (LARGE_BYTES >> 20)
CONSTANT_HEADERS = {"cache-control": "private, no-store", "x-content-type-options": "nosniff"}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with running_site(tmp_path, DownloadLimits(stall_s=0.4)) as running:
        yield running


def url(file: RecordingFile, version: int = 1) -> str:
    return f"/v{version}/files/{file.file_id}"


def replace_bytes(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def verifier(real: RealTokenVerifier) -> TokenVerifier:
    """Let the type checker prove that the real verifier fits."""
    return real


@pytest.mark.parametrize(
    ("file_format", "content_type"), [(FileFormat.MP3, "audio/mpeg"), (FileFormat.WAV, "audio/wav")]
)
async def test_whole_file_comes_with_all_its_headers(site: Site, file_format: FileFormat, content_type: str) -> None:
    """Both paths give the same bytes; HEAD gives the same headers without them."""
    file = await site.add(DATA, file_format=file_format)
    expected = CONSTANT_HEADERS | {
        "content-length": str(SMALL_BYTES),
        "content-type": content_type,
        "content-disposition": f'attachment; filename="{file.file_id}.{file_format.value}"',
        "etag": f'"{hashlib.sha256(DATA).hexdigest()}"',
        "last-modified": "Sun, 22 Nov 2026 09:00:00 GMT",
        "accept-ranges": "bytes",
    }
    for version in (1, 3):
        answer = await site.get(url(file, version))
        assert (answer.status, answer.body) == (200, DATA)
        assert {name: value for name, value in answer.headers.items() if name != "date"} == expected
    head = await site.get(url(file), method="HEAD", headers={"Range": "bytes=0-9"})
    assert (head.status, head.body) == (200, b"")
    assert {name: value for name, value in head.headers.items() if name != "date"} == expected
    await site.settled()
    assert site.meter.sent_bytes == 2 * SMALL_BYTES
    assert site.meter.outcomes == {DownloadOutcome.COMPLETE: 2}


@pytest.mark.parametrize(
    ("value", "start", "end"),
    [
        ("bytes=0-0", 0, 1), ("bytes=0-", 0, SMALL_BYTES), ("bytes=300000-", 300_000, SMALL_BYTES),
        ("bytes=-1", 300_000, SMALL_BYTES), ("bytes=-9999999", 0, SMALL_BYTES), ("bytes=10-9999999", 10, SMALL_BYTES),
        ("bytes=262143-262144", 262_143, 262_145),
    ],
)  # fmt: skip
async def test_range_gives_exactly_that_part(site: Site, value: str, start: int, end: int) -> None:
    """206 with the part, its length and its place."""
    file = await site.add(DATA)
    answer = await site.get(url(file), headers={"Range": value})
    assert (answer.status, answer.body) == (206, DATA[start:end])
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{SMALL_BYTES}"
    assert answer.headers["content-length"] == str(end - start)


@pytest.mark.parametrize("value", ["bytes=300001-", "bytes=-0", "bytes=999999-9999999"])
async def test_range_beyond_the_end_is_refused(site: Site, value: str) -> None:
    """416 names the size."""
    file = await site.add(DATA)
    answer = await site.get(url(file), headers={"Range": value})
    assert (answer.status, answer.headers["content-range"]) == (416, f"bytes */{SMALL_BYTES}")
    assert answer.problem["status"] == 416


@pytest.mark.parametrize("value", ["bytes=0-1,5-6", "bytes=5-1", "lines=0-1", "bytes=abc"])
async def test_several_or_malformed_ranges_give_the_whole_file(site: Site, value: str) -> None:
    """200, not an error and not a multipart body."""
    file = await site.add(DATA)
    answer = await site.get(url(file), headers={"Range": value})
    assert (answer.status, answer.body) == (200, DATA)


async def test_conditions_are_honoured(site: Site) -> None:
    """Known versions are not sent again; a part of another version never is."""
    file = await site.add(DATA)
    etag = f'"{file.sha256}"'
    known = await site.get(url(file), headers={"If-None-Match": etag})
    assert (known.status, known.body, known.headers["etag"]) == (304, b"", etag)
    assert "content-type" not in known.headers
    assert (await site.get(url(file), headers={"If-Match": '"other"'})).status == 412
    part = await site.get(url(file), headers={"Range": "bytes=1-2", "If-Range": etag})
    assert (part.status, part.body) == (206, DATA[1:3])
    other = await site.get(url(file), headers={"Range": "bytes=1-2", "If-Range": '"other"'})
    assert (other.status, other.body) == (200, DATA)


async def test_many_ranges_on_one_connection_join_to_the_file(site: Site) -> None:
    """Keep-alive holds over 200 and 206, and the parts fit together."""
    file = await site.add(DATA)
    cuts = sorted({0, SMALL_BYTES, *random.Random(3).sample(range(SMALL_BYTES), 60)})

    def fetch() -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", site.server.port, timeout=10)
        parts = []
        for start, end in itertools.pairwise(cuts):
            headers = {"Authorization": "Bearer a", "Range": f"bytes={start}-{end - 1}"}
            connection.request("GET", url(file), headers=headers)
            parts.append(connection.getresponse().read())
        connection.close()
        return b"".join(parts)

    assert await asyncio.to_thread(fetch) == DATA


async def test_tenants_see_their_own_files_only(site: Site) -> None:
    """The whole matrix of tokens, methods, paths and files; every refusal of a lookup is the same to the byte."""
    states = {state: await site.add(DATA) for state in RecordingState}
    for state, file in states.items():
        site.catalog.set_state(file.file_id, state)
    foreign = {
        state: await site.add(DATA, APPLICATION_B) for state in (RecordingState.AVAILABLE, RecordingState.DELETED)
    }
    for state, file in foreign.items():
        site.catalog.set_state(file.file_id, state)
    removed = {RecordingState.DELETED: 410, RecordingState.EXPIRED: 410}
    own = {
        str(file.file_id): {RecordingState.AVAILABLE: 200, **removed}.get(state, 404) for state, file in states.items()
    }
    others = {str(file.file_id): {RecordingState.AVAILABLE: 200, **removed}[state] for state, file in foreign.items()}
    nowhere = dict.fromkeys(
        ["", "x", str(uuid4()), uuid4().hex, f"{{{uuid4()}}}", "a%2Fb", "%00", "..%2f..", "é".encode().hex()], 404
    )
    hidden = dict.fromkeys
    matrix = {
        None: hidden([*own, *others, *nowhere], 401),
        "wrong": hidden([*own, *others, *nowhere], 401),
        "a": own | hidden(others, 404) | nowhere,
        "a-files": own | hidden(others, 404) | hidden([name for name in nowhere if name not in {"", "..%2f.."}], 404),
        "b": hidden(own, 404) | others | nowhere,
        "admin": own | others | nowhere,
        "a-users": hidden([*own, *others, *nowhere], 403),
        "nobody": hidden([*own, *others, *nowhere], 403),
    }
    seen: dict[int, set[tuple[bytes, tuple[tuple[str, str], ...]]]] = {}
    for token, cells in matrix.items():
        for name, status in cells.items():
            for version, method in ((1, "GET"), (3, "GET"), (1, "HEAD")):
                answer = await site.get(f"/v{version}/files/{name}", token, method)
                assert answer.status == status, (token, name, method)
                if method == "GET" and status != 200:
                    seen.setdefault(status, set()).add((answer.body, steady_headers(answer)))
    assert {status: len(bodies) for status, bodies in seen.items()} == {401: 2, 403: 2, 404: 1, 410: 1}
    ((not_found, _headers),) = seen[404]
    assert b"FILE_NOT_FOUND" in not_found
    assert b"instance" not in not_found


def steady_headers(answer: Answer) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in answer.headers.items() if name != "date"))


async def test_token_for_get_opens_head_too(site: Site) -> None:
    """HEAD tells less than GET."""
    file = await site.add(DATA)
    assert (await site.get(url(file), "a-get", "HEAD")).status == 200


async def test_token_is_checked_before_anything_is_looked_up(site: Site) -> None:
    """Without a good token the catalog is never asked, and the answer challenges."""
    file = await site.add(DATA)
    missing = await site.get(url(file), None)
    assert (missing.status, missing.headers["www-authenticate"]) == (401, "Bearer")
    assert missing.problem["reason"] == "MISSING_TOKEN"
    assert (await site.get(url(file), "a-users")).problem["reason"] == "NOT_PERMITTED"
    assert site.catalog.asked == 0


async def test_two_tokens_are_none(site: Site) -> None:
    """A repeated Authorization header is refused, whichever of both would do."""
    file = await site.add(DATA)
    reader, writer = await asyncio.open_connection("127.0.0.1", site.server.port)
    writer.write(
        f"GET {url(file)} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n".encode()
    )
    assert (await reader.readline()).startswith(b"HTTP/1.1 401")
    await hang_up(writer)


async def test_other_methods_are_refused(site: Site) -> None:
    """405 says which ones are allowed."""
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        answer = await site.get(f"/v1/files/{uuid4()}", method=method)
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD"), method
        assert answer.problem["title"] == "Method Not Allowed"


async def test_other_paths_are_not_there(site: Site) -> None:
    """404 as a problem, and never a redirect."""
    for path in ("/", "/v1/files", "/v2/files/x", "/v1", "/openapi.json", "/metrics", "/healthz"):
        assert (await site.get(path)).problem["status"] == 404, path


async def test_store_that_is_away_is_told_before_the_body(site: Site) -> None:
    """503 with a time, and not a word about where the files are."""
    file = await site.add(DATA)
    (site.root / "store").rename(site.root / "away")
    answer = await site.get(url(file))
    assert (answer.status, answer.problem["reason"]) == (503, "STORAGE_FAILED")
    assert int(answer.headers["retry-after"]) > 0
    assert str(site.root).encode() not in answer.body
    assert site.meter.outcomes == {DownloadOutcome.REFUSED: 1}


async def test_file_lost_by_the_store_is_damage_not_absence(site: Site) -> None:
    """What the catalog promises and the store has not is a fault of the service: 500 without the key."""
    file = await site.add(DATA)
    await site.store.delete(file.object_key)
    answer = await site.get(url(file))
    assert (answer.status, answer.problem["reason"]) == (500, "DAMAGED")
    assert str(file.file_id).encode() not in answer.body


async def test_file_removed_between_look_up_and_opening_is_gone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deletion that overtakes a request is told as what it is."""
    file = await site.add(DATA)
    real_open = site.store.open

    async def overtaken(key: str, *, offset: int, length: int) -> object:
        site.catalog.set_state(file.file_id, RecordingState.DELETED)
        await site.store.delete(key)
        return await real_open(key, offset=offset, length=length)

    monkeypatch.setattr(site.store, "open", overtaken)
    assert (await site.get(url(file))).status == 410


async def test_file_shorter_than_recorded_is_never_begun(site: Site) -> None:
    """Known before the first byte: 500 instead of a broken body."""
    file = await site.add(DATA)
    replace_bytes(site.path_of(file), DATA[:-1])
    assert (await site.get(url(file))).problem["reason"] == "DAMAGED"


async def test_changed_byte_breaks_the_connection_before_the_end(site: Site) -> None:
    """A whole file whose hash is wrong never arrives whole, and the server goes on."""
    file = await site.add(DATA)
    replace_bytes(site.path_of(file), DATA[:1000] + bytes([DATA[1000] ^ 1]) + DATA[1001:])
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        await site.get(url(file))
    await site.settled()
    assert site.meter.outcomes == {DownloadOutcome.BROKEN: 1}
    assert (await site.get(url(await site.add(DATA)))).status == 200


async def test_file_that_shrinks_on_the_way_breaks_the_connection(site: Site) -> None:
    """The body ends short of Content-Length, and holds stored bytes only."""
    file = await site.add(LARGE, file_format=FileFormat.WAV)
    reader, writer = await site.connect(url(file))
    head = await reader.readuntil(b"\r\n\r\n")
    assert f"content-length: {LARGE_BYTES}".encode() in head.lower()
    replace_bytes(site.path_of(file), LARGE[: LARGE_BYTES // 2])
    received = bytearray()
    try:
        while data := await reader.read(1 << 20):
            received += data
    except ConnectionResetError:
        pass
    assert len(received) <= LARGE_BYTES // 2
    assert LARGE.startswith(bytes(received))
    await site.settled()
    assert site.meter.outcomes == {DownloadOutcome.BROKEN: 1}
    await hang_up(writer)


@pytest.mark.parametrize("extra", [-1, 1])
async def test_store_that_gives_another_length_breaks_the_connection(
    site: Site, monkeypatch: pytest.MonkeyPatch, extra: int
) -> None:
    """Whatever a store does, a body is never cut short unnoticed, and never longer than announced."""
    file = await site.add(DATA)
    real_open = site.store.open

    async def other_length(key: str, *, offset: int, length: int) -> object:
        return await real_open(key, offset=offset, length=length + extra)

    monkeypatch.setattr(site.store, "open", other_length)
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        await site.get(url(file), headers={"Range": "bytes=0-299999"})
    await site.settled()
    assert site.meter.outcomes == {DownloadOutcome.BROKEN: 1}


async def test_client_that_leaves_half_way_leaks_nothing(site: Site) -> None:
    """No slot, no open body, no descriptor and no task stays behind."""
    file = await site.add(LARGE)
    await site.get(url(file), headers={"Range": "bytes=0-0"})
    await site.settled()
    descriptors, tasks = open_descriptors(), len(asyncio.all_tasks())
    for number in range(20):
        reader, writer = await site.connect(url(file))
        await reader.readexactly(1000 * (number + 1))
        if number % 2:
            await hang_up(writer)
        else:
            writer.close()
            await writer.wait_closed()
    await site.settled()
    await asyncio.sleep(0.1)
    assert site.meter.outcomes[DownloadOutcome.DISCONNECTED] == 20
    assert site.meter.sent_bytes < 20 * LARGE_BYTES / 2
    assert open_descriptors() <= descriptors
    assert len(asyncio.all_tasks()) <= tasks


async def test_client_that_takes_nothing_is_cut(site: Site) -> None:
    """After the stall time its slot and its connection are gone."""
    file = await site.add(LARGE)
    descriptors = open_descriptors()
    _reader, writer = await site.connect(url(file))
    await until(lambda: bool(site.meter.outcomes))
    assert site.meter.outcomes == {DownloadOutcome.STALLED: 1}
    assert site.downloads.running == 0
    await asyncio.sleep(0.05)
    # Only the client's own end remains.
    assert open_descriptors() <= descriptors + 1
    await hang_up(writer)


async def test_two_hundred_at_once_stay_within_the_bound(tmp_path: Path) -> None:
    """16 run, 184 are refused at once with a time, nobody gets a wrong byte, and afterwards there is room again."""
    async with running_site(tmp_path, DownloadLimits(total=16, per_application=16, stall_s=20)) as site:
        file = await site.add(LARGE)
        connections = await asyncio.gather(*(site.connect(url(file)) for _ in range(200)))
        heads = await asyncio.gather(*(reader.readuntil(b"\r\n\r\n") for reader, _ in connections))
        running = [pair for pair, head in zip(connections, heads, strict=True) if head.startswith(b"HTTP/1.1 200")]
        refused = [head for head in heads if not head.startswith(b"HTTP/1.1 200")]
        assert len(running) == site.downloads.running == site.store.most_open_bodies == 16
        status = ERROR_TABLE[Reason.OVERLOADED].http
        assert all(head.startswith(f"HTTP/1.1 {status}".encode()) for head in refused)
        assert all(b"\r\nretry-after: 5\r\n" in head.lower() for head in refused)
        for body in await asyncio.gather(*(reader.readexactly(LARGE_BYTES) for reader, _ in running)):
            assert body == LARGE
        for _, writer in connections:
            await hang_up(writer)
        await site.settled()
        assert site.store.most_open_bodies == 16
        assert (await site.get(url(file), headers={"Range": "bytes=0-0"})).status == 206


async def test_unexpected_error_tells_nothing(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """500 without details; the log has them."""
    site.catalog.broken = True
    answer = await site.get(f"/v1/files/{uuid4()}")
    assert (answer.status, answer.problem["reason"]) == (500, "INTERNAL")
    assert b"secret" not in answer.body
    assert "secret of the catalog" in caplog.text


async def test_log_of_a_refusal_holds_no_token(
    site: Site, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is logged, credentials are not."""
    caplog.set_level("DEBUG")
    await site.get(f"/v1/files/{uuid4()}", "hush-hush-token")
    replace_bytes(site.path_of(file := await site.add(DATA)), os.urandom(SMALL_BYTES - 1))
    await site.get(url(file), "a")
    told = caplog.text + capsys.readouterr().out
    assert "http_request_failed" in told
    assert "hush-hush-token" not in told
    assert "Bearer" not in told

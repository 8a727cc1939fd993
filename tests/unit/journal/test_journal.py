"""The journal as the event loop uses it."""

import asyncio
import subprocess
import sys
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from tests.unit.journal.building import A, B, C, payloads, running, settings

from recorder_service.errors import BadInput, Conflict, Overloaded, Reason, Unavailable
from recorder_service.journal import Entry, Journal, JournalState
from recorder_service.journal.segments import segment_numbers


async def test_entries_come_back_in_order_while_running_and_after_a_restart(tmp_path: Path) -> None:
    """Each recording has its own order; kinds and payloads are as given."""
    async with running(tmp_path / "j") as journal:
        for number in range(100):
            journal.append(A, 1, b"a%d" % number)
            lsn = journal.append(B, 65, [b"b", memoryview(b"%d" % number), bytearray()])
        await journal.wait_durable(lsn, 5)
        assert journal.durable_lsn == lsn == 200
        assert payloads(journal, A) == [b"a%d" % number for number in range(100)]
    async with running(tmp_path / "j") as journal:
        assert journal.recordings() == [A, B]
        assert journal.recovered.epoch == 2
        items = [item for item in journal.replay(B) if isinstance(item, Entry)]
        assert [(item.index, item.kind, item.payload) for item in items] == [
            (number, 65, b"b%d" % number) for number in range(100)
        ]
        assert journal.append(A, 1, b"more") == 201


async def test_one_replay_serves_several_recordings(tmp_path: Path) -> None:
    """Entries come in the order in which they were appended, over all asked for."""
    async with running(tmp_path / "j") as journal:
        for number in range(30):
            lsn = journal.append((A, B, C)[number % 3], 0, b"")
        await journal.wait_durable(lsn, 5)
        items = [item for item in journal.replay(A, C) if isinstance(item, Entry)]
    assert [item.lsn for item in items] == [lsn for lsn in range(1, 31) if lsn % 3 != 2]


async def test_reused_buffer_does_not_change_an_entry(tmp_path: Path) -> None:
    """Buffers are copied when they are appended."""
    async with running(tmp_path / "j") as journal:
        buffer = bytearray(b"before")
        lsn = journal.append(A, 0, [buffer])
        buffer[:] = b"after!"
        await journal.wait_durable(lsn, 5)
        assert payloads(journal, A) == [b"before"]


async def test_commit_listener_hears_how_long_the_first_entry_of_a_group_waited(tmp_path: Path) -> None:
    """Twice the interval apart: two groups, each of whose first entries waited for the interval at least."""
    heard: list[float] = []
    journal = await asyncio.to_thread(Journal.open, tmp_path / "j", settings=settings(commit_interval_s=0.05))
    assert journal.refusal() is not None
    journal.start(asyncio.get_running_loop(), on_commit=heard.append)
    try:
        assert journal.refusal() is None
        for _ in range(2):
            for _ in range(10):
                journal.append(A, 0, b"entry")
            await asyncio.sleep(0.2)
    finally:
        await journal.close()
    assert 2 <= len(heard) <= 20
    assert max(heard) >= 0.05
    assert min(heard) > 0


async def test_sync_listener_hears_how_long_each_group_took(tmp_path: Path) -> None:
    """Once a group, from the writer's thread; the thread is alive until the journal is closed."""
    heard: list[float] = []
    journal = await asyncio.to_thread(Journal.open, tmp_path / "j", settings=settings())
    alive = [journal.writing]
    journal.start(asyncio.get_running_loop(), on_sync=heard.append)
    for _ in range(2):
        await journal.wait_durable(journal.append(A, 0, b"entry"), 5)
    alive.append(journal.writing)
    await journal.close()
    assert (len(heard), [*alive, journal.writing]) == (2, [False, True, False])
    assert min(heard) > 0


async def test_listener_hears_of_groups_not_of_entries(tmp_path: Path) -> None:
    """One call a group, on the loop's thread, with growing numbers that end at the last entry."""
    heard: list[int] = []
    journal = await asyncio.to_thread(Journal.open, tmp_path / "j", settings=settings(commit_interval_s=0.05))
    journal.start(asyncio.get_running_loop(), on_durable=heard.append)
    for _ in range(1000):
        lsn = journal.append(A, 0, b"x" * 100)
    async with asyncio.timeout(5):
        while journal.durable_lsn < lsn:  # noqa: ASYNC110 - waiting for the listener, not by the journal's own means
            await asyncio.sleep(0.01)
    await journal.close()
    assert heard == sorted(set(heard))
    assert heard[-1] == lsn
    assert len(heard) <= 3
    assert journal.stats.entries == 1000


async def test_wait_commits_at_once(tmp_path: Path) -> None:
    """A stop does not sit out the commit interval."""
    async with running(tmp_path / "j", settings(commit_interval_s=1.0)) as journal:
        await asyncio.wait_for(journal.wait_durable(journal.append(A, 0, b""), 5), 0.7)


async def test_close_makes_everything_durable(tmp_path: Path) -> None:
    """What was appended before a close is there after it; afterwards nothing is taken."""
    journal = await asyncio.to_thread(Journal.open, tmp_path / "j", settings=settings(commit_interval_s=1.0))
    states: list[JournalState] = []
    journal.start(asyncio.get_running_loop(), on_state=states.append)
    lsn = journal.append(A, 0, b"last words")
    await journal.close()
    assert journal.durable_lsn == lsn
    assert states[-1] is JournalState.CLOSED
    with pytest.raises(Unavailable):
        journal.append(A, 0, b"too late")
    async with running(tmp_path / "j") as again:
        assert payloads(again, A) == [b"last words"]


async def test_release_deletes_segments_and_survives_a_restart(tmp_path: Path) -> None:
    """A segment goes when all in it are released, and not one moment earlier."""
    changes = settings(segment_bytes=4096)
    async with running(tmp_path / "j", changes) as journal:
        for _ in range(20):
            journal.append(A, 0, b"a" * 1000)
            await journal.wait_durable(journal.append(B, 0, b"b" * 1000), 5)
        before = len(segment_numbers(tmp_path / "j"))
        assert before > 5
        await journal.wait_durable(journal.release(A), 5)
        assert len(segment_numbers(tmp_path / "j")) >= before
        assert journal.recordings() == [B]
    async with running(tmp_path / "j", changes) as journal:
        assert journal.recordings() == [B]
        assert len(payloads(journal, B)) == 20
        await journal.wait_durable(journal.release(B), 5)
        assert journal.recordings() == []
        assert journal.oldest_unreleased is None
    assert len(segment_numbers(tmp_path / "j")) == 1
    async with running(tmp_path / "j", changes) as journal:
        assert journal.recordings() == []


async def test_release_is_idempotent_and_final(tmp_path: Path) -> None:
    """A second release costs nothing; a released recording takes no entry while its entries lie here."""
    async with running(tmp_path / "j") as journal:
        journal.append(A, 0, b"")
        journal.append(B, 0, b"")
        lsn = journal.release(A)
        assert journal.release(A) == lsn
        assert journal.release(C) == lsn
        with pytest.raises(Conflict):
            journal.append(A, 0, b"")


async def test_forgotten_recordings_leave_no_memory_behind(tmp_path: Path) -> None:
    """The index does not grow with the number of recordings ever made."""
    async with running(tmp_path / "j") as journal:
        for _ in range(50):
            recording = uuid4()
            journal.append(recording, 0, b"x")
            await journal.wait_durable(journal.release(recording), 5)
        await asyncio.sleep(0.2)
        assert len(journal._intake._streams) <= 1
        assert len(segment_numbers(tmp_path / "j")) <= 2


async def test_full_queue_refuses_and_recovers(tmp_path: Path) -> None:
    """The bound is in bytes; once the disk has caught up entries are taken again."""
    async with running(tmp_path / "j", settings(queue_bytes=4096, commit_interval_s=0.2)) as journal:
        for _ in range(3):
            lsn = journal.append(A, 0, bytes(1000))
        with pytest.raises(Overloaded) as caught:
            journal.append(A, 0, bytes(1000))
        assert caught.value.reason is Reason.OVERLOADED
        assert journal.queued_bytes <= 4096
        await journal.wait_durable(lsn, 5)
        await journal.wait_durable(journal.append(A, 0, bytes(1000)), 5)
        assert len(payloads(journal, A)) == lsn + 1


@pytest.mark.parametrize(("kind", "payload"), [(0x10000, b""), (0xFFFF, b""), (-1, b""), (0, bytes(5000))])
async def test_unfit_entry_is_refused(tmp_path: Path, kind: int, payload: bytes) -> None:
    """Nothing the format cannot hold, and none of the journal's own kinds."""
    async with running(tmp_path / "j", settings(entry_bytes=4096)) as journal:
        with pytest.raises(BadInput):
            journal.append(A, kind, payload)


async def test_journal_that_is_not_started_takes_nothing(tmp_path: Path) -> None:
    """Append before start is refused; close without start gives the directory up."""
    journal = Journal.open(tmp_path / "j", settings=settings())
    with pytest.raises(Unavailable, match="not started"):
        journal.append(A, 0, b"")
    await journal.close()
    async with running(tmp_path / "j"):
        pass


async def test_second_process_is_refused(tmp_path: Path) -> None:
    """The message names the directory, who holds it, and the fix."""
    program = (
        "import sys; from pathlib import Path; from recorder_service.journal import Journal\n"
        "try: Journal.open(Path(sys.argv[1]))\n"
        "except Exception as error: print(error.reason.value, error)"
    )
    async with running(tmp_path / "j"):
        command = [sys.executable, "-c", program, str(tmp_path / "j")]
        found = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=30)
    assert found.stdout.startswith(Reason.DIRECTORY_LOCKED.value)
    assert str(tmp_path / "j") in found.stdout
    assert "stop that process" in found.stdout


async def test_oldest_unreleased_and_size_are_known(tmp_path: Path) -> None:
    """Both feed the disk's alarms."""
    async with running(tmp_path / "j") as journal:
        await journal.wait_durable(journal.append(A, 0, bytes(10_000)), 5)
        assert journal.size_bytes == sum(path.stat().st_size for path in (tmp_path / "j").glob("*.journal"))
        since = journal.oldest_unreleased
        assert since is not None
        journal.append(B, 0, b"")
        assert journal.oldest_unreleased == since


async def test_wait_for_what_never_comes_ends(tmp_path: Path) -> None:
    """Every wait has its deadline."""
    async with running(tmp_path / "j") as journal:
        with pytest.raises(Overloaded, match=r"Entry 99 was not durable within 0\.05 s"):
            await journal.wait_durable(99, 0.05)


async def test_many_recordings_and_groups_are_read_back_whole(tmp_path: Path) -> None:
    """A group limit far below the load makes many groups and segments; none is lost between them."""
    names = [UUID(int=number + 1) for number in range(40)]
    async with running(tmp_path / "j", settings(group_bytes=4096, segment_bytes=16_384)) as journal:
        for index in range(50):
            for name in names:
                lsn = journal.append(name, 3, b"%d:%d" % (name.int, index))
        await journal.wait_durable(lsn, 10)
        for name in names:
            assert payloads(journal, name) == [b"%d:%d" % (name.int, index) for index in range(50)]
    assert len(segment_numbers(tmp_path / "j")) > 3

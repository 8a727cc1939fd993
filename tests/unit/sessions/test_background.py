"""Tasks that no RPC owns."""

import asyncio

from recorder_service.sessions.background import BackgroundTasks


async def test_work_goes_on_when_its_caller_is_cancelled() -> None:
    background, go, done = BackgroundTasks(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await go.wait()
        done.set()

    caller = asyncio.create_task(background.run(work(), "work"))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait((caller,), timeout=1)
    go.set()
    assert await background.wait(1)
    assert done.is_set()


async def test_closing_cancels_what_runs() -> None:
    background, cancelled = BackgroundTasks(), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    background.spawn(work(), "work")
    await asyncio.sleep(0)
    await background.close()
    assert cancelled.is_set()
    assert len(background) == 0


async def test_nothing_begins_after_the_closing() -> None:
    """The end of a call whose time to come back is over while the node goes down: the next start ends it."""
    background, begun = BackgroundTasks(), asyncio.Event()
    await background.close()

    async def work() -> None:
        begun.set()

    task = background.spawn(work(), "end")
    await asyncio.wait((task,), timeout=1)
    assert task.cancelled()
    assert not begun.is_set()
    assert len(background) == 0

"""Render processes: the same bytes as rendering here, streamed, and an end that is noticed."""

import asyncio
import gc
import os
import random
import signal
from collections.abc import Sequence

import numpy as np
import pytest
from tests.harness.processes import render_processes

from recorder_service.audio.finished import Finished
from recorder_service.audio.formats import Encoding, LegFormat
from recorder_service.audio.plan import Plan, Progress
from recorder_service.audio.rendition import Rendition
from recorder_service.audio.slips import Slip
from recorder_service.audio.steps import CutBegin, CutEnd, Hold, PathLeg, SlipLeg, Step
from recorder_service.audio.timeline import Block, Timeline
from recorder_service.audio.wav import WavEncoder
from recorder_service.errors import Unavailable
from recorder_service.rendering.pool import RenderProcesses
from recorder_service.rendering.process import RemoteRendition, RenderProcess

PHONE = LegFormat(Encoding.MULAW, 8_000)
WIDE = LegFormat(Encoding.LINEAR16, 16_000)
SECONDS = 12
MP3 = Plan(1, 3600 * 16_000, bitrate_kbps=32, quality=5)
PLANS = {
    "mono MP3": MP3,
    "split MP3": Plan(2, 3600 * 16_000, bitrate_kbps=64, quality=5),
    "WAV with a beep and a limit": Plan(2, 10 * 16_000, beeps=True),
    "MP3 that silence ends": Plan(1, 3600 * 16_000, bitrate_kbps=32, quality=5, silence_s=3),
}


def steps(channels: int) -> list[Step]:
    """Write what a timeline says of two legs: 20 ms at a time, a gap, audio that came late, a slip, a cut."""
    chance = random.Random(1)
    timeline = Timeline()
    sources = {"phone": PHONE, "wide": WIDE}
    legs = [PathLeg(name, source, (min(at, channels - 1),)) for at, (name, source) in enumerate(sources.items())]
    for leg in legs:
        timeline.add_leg(leg.leg_id, leg.format, joined_frame=0)
    chunks = []
    for at in range((SECONDS - 4) * 50):
        for leg in legs:
            if not (leg.leg_id == "phone" and 100 < at < 117):
                pcm = np.random.default_rng(at).normal(0, 3000, leg.format.sample_rate_hz // 50).astype(np.int16)
                chunks.append((at + chance.random() * 4, leg.leg_id, at * len(pcm), leg.format.encode(pcm)))
    for _, leg_id, start_frame, payload in sorted(chunks):
        timeline.place(leg_id, start_frame, payload)
    blocks = timeline.finish(SECONDS * 16_000)
    found: list[Step] = [*legs, Hold(16_000), SlipLeg("wide", Slip(3 * 16_000 + 800, 2)), *blocks]
    found.insert(7, CutBegin(5 * 16_000 + 77))
    found.insert(9, CutEnd(7 * 16_000 + 5))
    return found


def outcome(rendition: Rendition | RemoteRendition, todo: Sequence[Step]) -> tuple[bytes, Finished, list[Progress]]:
    """Render in batches of three, the last of them with the end."""
    data = bytearray()
    seen = [rendition.progress]
    *batches, rest = [todo[at : at + 3] for at in range(0, len(todo), 3)]
    seen += [rendition.take(batch, data.extend) for batch in batches]
    finished, last = rendition.finish(rest, SECONDS * 16_000, data.extend)
    rendition.release()
    return bytes(data), finished, [_without_clock(progress) for progress in (*seen, last)]


def _without_clock(progress: Progress) -> Progress:
    return Progress(
        progress.end_frame,
        progress.output_frames,
        progress.ended,
        progress.silent_frame,
        progress.silence_deadline_frame,
    )


async def test_render_process_gives_way_to_the_service(process: RenderProcess) -> None:
    """Where processors are short, receiving and acknowledging go first."""
    await asyncio.to_thread(process.begin, MP3)
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, process._process.pid) == min(19, ours + 10)


@pytest.mark.parametrize("name", PLANS)
async def test_process_gives_the_bytes_that_rendering_here_gives(name: str, process: RenderProcess) -> None:
    """Every byte, the header, and all that is told on the way."""
    plan = PLANS[name]
    here = outcome(Rendition(plan), steps(plan.channels))
    remote = await asyncio.to_thread(process.begin, plan)
    there = await asyncio.to_thread(outcome, remote, steps(plan.channels))
    assert there == here
    assert len(here[0]) > 10_000


async def test_recordings_of_one_process_do_not_touch_each_other(process: RenderProcess) -> None:
    """Four at once, from four threads."""
    here = outcome(Rendition(MP3), steps(1))
    remotes = [await asyncio.to_thread(process.begin, MP3) for _ in range(4)]
    assert process.renditions == 4
    found = await asyncio.gather(*(asyncio.to_thread(outcome, remote, steps(1)) for remote in remotes))
    assert all(there == here for there in found)
    assert process.renditions == 0


async def test_long_silence_comes_in_pieces(process: RenderProcess) -> None:
    """An hour of nothing in eight channels is 920 MB: no more than a part of it is ever in memory."""
    remote = await asyncio.to_thread(process.begin, Plan(8, 7200 * 16_000))
    sizes: list[int] = []
    block = Block(0, 3600 * 16_000, {})
    progress = await asyncio.to_thread(remote.take, [block], lambda data: sizes.append(len(data)))
    assert sum(sizes) == len(WavEncoder(8).header) + progress.output_frames * 16
    assert max(sizes) < 1 << 20


async def test_disk_that_refuses_a_piece_leaves_the_line_in_order(process: RenderProcess) -> None:
    """The error comes through, and the next request gets its own answer."""

    def refuse(data: bytes) -> None:
        raise OSError(28, "No space left on device")

    refused = await asyncio.to_thread(process.begin, Plan(8, 7200 * 16_000))
    with pytest.raises(OSError, match="No space left"):
        await asyncio.to_thread(refused.take, [Block(0, 600 * 16_000, {})], refuse)
    other = await asyncio.to_thread(process.begin, MP3)
    assert await asyncio.to_thread(outcome, other, steps(1)) == outcome(Rendition(MP3), steps(1))


async def test_mistake_in_one_recording_is_told_and_harms_no_other(process: RenderProcess) -> None:
    """A block that does not follow the one before."""
    wrong = await asyncio.to_thread(process.begin, MP3)
    other = await asyncio.to_thread(process.begin, MP3)
    with pytest.raises(RuntimeError, match="block starts at frame 16000; expected 0"):
        await asyncio.to_thread(wrong.take, [Block(16_000, 16_000, {})], lambda _: None)
    assert await asyncio.to_thread(outcome, other, steps(1)) == outcome(Rendition(MP3), steps(1))


async def test_rendition_that_nobody_has_any_more_is_given_up(process: RenderProcess) -> None:
    """That of a recording whose end failed, say."""
    kept = await asyncio.to_thread(process.begin, MP3)
    before = await asyncio.to_thread(outcome, kept, steps(1))
    for _ in range(50):
        await asyncio.to_thread(process.begin, MP3)
    # The thread that made the last one may still hold it; it does not once it does something else.
    await asyncio.to_thread(gc.collect)
    assert process.renditions == 0
    assert before == outcome(Rendition(MP3), steps(1))


async def test_memory_is_told_as_long_as_the_process_lives() -> None:
    """Tens of MB for Python and numpy, and nothing of a process that is gone."""
    process = await RenderProcess.start()
    await asyncio.to_thread(process.begin, MP3)
    assert 10e6 < process.resident_bytes < 200e6
    await process.close()
    assert process.resident_bytes == 0


async def test_closing_wakes_whoever_waits() -> None:
    """A thread in the middle of a long request gets an error, not silence."""
    process = await RenderProcess.start()
    remote = await asyncio.to_thread(process.begin, Plan(32, 7200 * 16_000))
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()
    block = Block(0, 7000 * 16_000, {})

    def began(_data: bytes) -> None:
        loop.call_soon_threadsafe(begun.set)

    long = asyncio.create_task(asyncio.to_thread(remote.take, [block], began))
    await asyncio.wait_for(begun.wait(), 20)
    await asyncio.wait_for(process.close(), 10)
    with pytest.raises((Unavailable, RuntimeError)):
        await asyncio.wait_for(long, 10)


async def started(count: int) -> tuple[RenderProcesses, list[int]]:
    """Start some; a server of other tests may have some, too, and is to keep them."""
    others = await asyncio.to_thread(render_processes, os.getpid())
    processes = await RenderProcesses.start(count)
    # They show by their command line, which a process has a moment after its start.
    begun = [await asyncio.to_thread(processes.begin, MP3) for _ in range(count)]
    children = [child for child in await asyncio.to_thread(render_processes, os.getpid()) if child not in others]
    assert len(children) == len(begun)
    return processes, children


async def test_process_that_is_killed_is_noticed() -> None:
    """By whoever waits for it, and by whoever asks it."""
    processes, children = await started(2)
    lost = asyncio.create_task(processes.lost())
    try:
        remotes = [await asyncio.to_thread(processes.begin, MP3) for _ in range(2)]
        assert not lost.done()
        os.kill(children[0], signal.SIGKILL)
        await asyncio.wait_for(lost, 10)
        answers = await asyncio.gather(
            *(asyncio.to_thread(outcome, remote, steps(1)) for remote in remotes), return_exceptions=True
        )
        assert sum(isinstance(answer, Unavailable) for answer in answers) == 1
    finally:
        await processes.close()


async def test_process_ends_with_the_service() -> None:
    """Closing ends it, whatever it has; SIGTERM, which a terminal sends to all, does not."""
    processes, (child,) = await started(1)
    os.kill(child, signal.SIGTERM)
    await asyncio.to_thread(processes.begin, MP3)
    await processes.close()
    assert child not in await asyncio.to_thread(render_processes, os.getpid())


async def test_fault_that_leaves_answers_unread_ends_the_process(process: RenderProcess) -> None:
    """They would be taken for those of the next recording."""
    first, second = [await asyncio.to_thread(process.begin, MP3) for _ in range(2)]
    with pytest.raises(ZeroDivisionError):
        await asyncio.to_thread(first.take, steps(1), _broken)
    with pytest.raises(Unavailable):
        await asyncio.to_thread(second.take, steps(1), lambda data: None)
    await asyncio.wait_for(process.ended(), 5)


def _broken(_: bytes) -> None:
    raise ZeroDivisionError

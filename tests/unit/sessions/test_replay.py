"""The core of durability: what is replayed from the journal is, bit for bit, what an undisturbed call would give."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.unit.journal.building import memory_directory
from tests.unit.sessions.recordings import a_recording
from tests.unit.sessions.stage import Actor, Outcome, Piece, acting, written

from recorder_service.domain.event import KeyPress
from recorder_service.domain.options import EncoderOptions, FileFormat, RecordOptions
from recorder_service.domain.recording import PauseMode, Recording, StopReason
from recorder_service.sessions import entries
from recorder_service.sessions.entries import EntryKind

WORKERS = ThreadPoolExecutor(2)
RATES_HZ = {"caller": 8000, "callee": 16_000}
BYTES_PER_FRAME = {"caller": 1, "callee": 2}


@dataclass(frozen=True, slots=True)
class Step:
    """One request of the stream, or of the clock (`advance`)."""

    kind: str
    values: tuple[Any, ...] = ()


@pytest.fixture(autouse=True, scope="module")
def _workers() -> Iterator[None]:
    yield
    WORKERS.shutdown()


@cache
def _noise(size_bytes: int) -> bytes:
    return np.random.default_rng(7).integers(0, 256, size_bytes, dtype=np.uint8).tobytes()


def _piece(leg_id: str, at_ms: int, length_ms: int, loud: bool) -> Piece:
    rate, size = RATES_HZ[leg_id], BYTES_PER_FRAME[leg_id]
    count = rate * length_ms // 1000 * size
    quiet = bytes(count) if size == 2 else b"\xff" * count
    return Piece(leg_id, max(0, rate * at_ms // 1000), _noise(count) if loud else quiet)


_positions_ms = st.integers(0, 9000)
_pieces = st.builds(_piece, st.sampled_from(sorted(RATES_HZ)), _positions_ms, st.integers(0, 1500), st.booleans())
_frames = st.integers(0, 160_000)
_steps = st.one_of(
    st.builds(lambda pieces: Step("audio", tuple(pieces)), st.lists(_pieces, min_size=1, max_size=3)),
    st.builds(lambda pieces: Step("audio", tuple(pieces)), st.lists(_pieces, min_size=1, max_size=3)),
    st.builds(lambda mode, frame: Step("pause", (mode, frame)), st.sampled_from(PauseMode), _frames),
    st.builds(lambda frame: Step("resume", (frame,)), _frames),
    st.builds(lambda digit, frame: Step("key", (digit, frame)), st.sampled_from("12#"), _frames),
    st.builds(lambda frame: Step("advance", (frame,)), _frames),
)
_options = st.sampled_from(
    [
        RecordOptions(format=FileFormat.WAV, split=True),
        RecordOptions(format=FileFormat.WAV, split=True, beep_start=True),
        RecordOptions(format=FileFormat.WAV, split=True, time_out_s=5),
        RecordOptions(format=FileFormat.WAV, split=True, end_on_silence_s=3),
        RecordOptions(format=FileFormat.WAV, split=True, end_on_key="#"),
        RecordOptions(format=FileFormat.MP3, split=True),
    ]
)
_ends = st.none() | st.integers(0, 160_000)


def _recording(options: RecordOptions) -> Recording:
    encoder = EncoderOptions(64, 9) if options.file_format is FileFormat.MP3 else EncoderOptions()
    return a_recording(options=options, encoder=encoder)


async def _act(actor: Actor, step: Step, sequence: int) -> bool:
    """Do one step; say whether it used up the sequence."""
    live, values = actor.live, step.values
    match step.kind:
        case "audio":
            live.receive_audio(sequence, values)
        case "pause":
            await live.pause(values[0], values[1], sequence)
        case "resume":
            await live.resume(values[0], sequence)
        case "key":
            live.receive_key(sequence, KeyPress("caller", values[0], values[1]))
        case "advance":
            while not live._parts.queue.idle:  # noqa: ASYNC110 - a thread's
                await asyncio.sleep(0.001)
            if live.ending is None:
                live._settle_silence(values[0])
            return False
    while live.congested():
        await live.room()
    return True


async def _undisturbed(
    directory: Path, recording: Recording, steps: list[Step], end_frame: int | None
) -> tuple[Outcome, list[entries.Entry]]:
    async with acting(directory, recording, WORKERS) as actor:
        actor.live.begin()
        for step in steps:
            await _act(actor, step, actor.live.next_sequence)
        actor.live.stop(StopReason.HANGUP, end_frame, actor.live.next_sequence)
        outcome = await actor.outcome()
    return outcome, await written(directory, recording.recording_id)


async def _restored(directory: Path, recording: Recording, told: list[entries.Entry], end_frame: int | None) -> Outcome:
    """Crash after everything in `told` was durable, start again, and hang up if that had not been said."""
    async with acting(directory, recording, WORKERS) as actor:
        for entry in told:
            await asyncio.to_thread(actor.live.restore, entry)
        actor.live.go_on()
        if actor.live.ending is None:
            actor.live.stop(StopReason.HANGUP, end_frame, actor.live.next_sequence)
        return await actor.outcome()


@given(options=_options, steps=st.lists(_steps, max_size=14), end_frame=_ends)
@example(
    options=RecordOptions(format=FileFormat.WAV, split=True, end_on_silence_s=3),
    steps=[Step("audio", (_piece("callee", 8000, 1000, loud=False),))],
    end_frame=None,
)
@example(
    options=RecordOptions(format=FileFormat.WAV, split=True),
    steps=[Step("audio", (_piece("callee", 0, 1500, loud=True),)), Step("pause", (PauseMode.CUT, 30_000))],
    end_frame=50_000,
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_replay_after_the_end_gives_the_same_file_and_statistics(
    options: RecordOptions, steps: list[Step], end_frame: int | None
) -> None:
    """The end was durable and told to nobody: the next start makes the very same recording."""

    async def run() -> None:
        recording = _recording(options)
        with memory_directory() as first, memory_directory() as second:
            undisturbed, told = await _undisturbed(first, recording, steps, end_frame)
            again = await _restored(second, recording, told, end_frame)
        assert again == undisturbed

    asyncio.run(run())


@given(options=_options, steps=st.lists(_steps, max_size=14), end_frame=_ends, data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_crash_anywhere_and_resume_gives_the_same_file(
    options: RecordOptions, steps: list[Step], end_frame: int | None, data: st.DataObject
) -> None:
    """Any part of the journal is restored, the client goes on from the next expected sequence, as if nothing was."""

    async def run() -> None:
        recording = _recording(options)
        with memory_directory() as first, memory_directory() as second:
            undisturbed, told = await _undisturbed(first, recording, steps, end_frame)
            kept = told[: data.draw(st.integers(1, len(told)))]
            assert await _crashed(second, recording, kept, steps, end_frame) == undisturbed.data

    asyncio.run(run())


async def _crashed(
    directory: Path, recording: Recording, kept: list[entries.Entry], steps: list[Step], end_frame: int | None
) -> bytes:
    advances = sum(isinstance(entry, entries.Advance) for entry in kept)
    async with acting(directory, recording, WORKERS) as actor:
        for entry in kept:
            await asyncio.to_thread(actor.live.restore, entry)
        actor.live.go_on()
        sequence = 2
        due = actor.live.next_sequence
        for step in steps:
            if step.kind == "advance":
                # One of those that are in the journal already changes nothing, as the timeline is past it.
                advances -= 1
                if advances < 0 and sequence >= due:
                    await _act(actor, step, 0)
                continue
            if sequence >= due:
                await _act(actor, step, sequence)
            sequence += 1
        actor.live.stop(StopReason.HANGUP, end_frame, actor.live.next_sequence)
        return (await actor.outcome()).data


async def test_journal_holds_no_audio_of_a_pause() -> None:
    """Nor a key: what must not be kept is nowhere."""
    recording = _recording(RecordOptions(format=FileFormat.WAV, split=True))
    steps = [
        Step("audio", (_piece("callee", 0, 500, loud=True),)),
        Step("pause", (PauseMode.SILENCE, 8000)),
        Step("audio", (_piece("callee", 500, 500, loud=True),)),
        Step("key", ("1", 12_000)),
        Step("resume", (16_000,)),
    ]
    with memory_directory() as directory:
        outcome, told = await _undisturbed(directory, recording, steps, 16_000)
    kinds = [entries.encode(entry)[0] for entry in told]
    wanted = ["SKIP", "AUDIO", "PAUSE", "SKIP", "SKIP", "RESUME", "STOP"]
    assert [EntryKind(kind).name for kind in kinds] == wanted
    assert outcome.frames == 16_000
    assert outcome.data[-16_000 * 2 :] == bytes(16_000 * 2)

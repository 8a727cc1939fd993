"""Every frame lies where its position says, however it came: late, twice, out of order, or not at all."""

import random

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.e2e.conftest import Figure
from tests.harness.client import Call, Client, Tenant, leg
from tests.harness.files import Pcm, download, mp3_channels, wav_channels
from tests.harness.server import Server
from tests.harness.speech import speech

from recorder.v1 import recording_pb2

LEFT = speech(5)
RIGHT = speech(5, first=7)
CHUNK = 320
SPLIT_WAV = {"action": "record", "format": "wav", "split": "conversation"}
TEN_MINUTES = 600 * 16_000


def silenced(pcm: Pcm, *gaps: tuple[int, int]) -> Pcm:
    """Return a copy with zeros where nothing is sent."""
    kept = pcm.copy()
    for begin, end in gaps:
        kept[begin:end] = 0
    return kept


def in_gap(at: int, gaps: tuple[tuple[int, int], ...]) -> bool:
    return any(begin <= at < end for begin, end in gaps)


def parts(pcm: Pcm, at: int) -> tuple[int, bytes]:
    return at, pcm[at : at + CHUNK].tobytes()


async def finish(call: Call, tenant: Tenant) -> tuple[recording_pb2.Recording, NDArray[np.int16]]:
    recording = await call.hang_up()
    return recording, wav_channels(download(recording, tenant))


async def test_gaps_are_filled_with_silence_and_counted(client: Client, tenant: Tenant) -> None:
    """Gaps on one side, on both, at block borders: zeros there, all else sample for sample."""
    left_gaps = ((8000, 12_800), (30_400, 33_600), (64_000, 70_400))
    right_gaps = ((9600, 16_000), (64_000, 70_400))
    call = await client.call(tenant, ncco=SPLIT_WAV)
    for at in range(0, len(LEFT), CHUNK):
        chunks = {"caller": (LEFT, left_gaps), "callee": (RIGHT, right_gaps)}
        sent = {name: parts(pcm, at) for name, (pcm, gaps) in chunks.items() if not in_gap(at, gaps)}
        if sent:
            await call.audio(**sent)
    recording, channels = await finish(call, tenant)
    np.testing.assert_array_equal(channels, np.stack([silenced(LEFT, *left_gaps), silenced(RIGHT, *right_gaps)]))
    assert [part.gap_frames for part in recording.legs] == [4800 + 3200 + 6400, 6400 + 6400]
    assert [part.frames for part in recording.legs] == [80_000 - 14_400, 80_000 - 12_800]


async def test_leg_that_starts_late_stays_in_its_place(client: Client, tenant: Tenant) -> None:
    """The callee answers after 1.5 s: the caller is heard from the start, the callee from there."""
    call = await client.call(tenant, ncco=SPLIT_WAV)
    for at in range(0, len(LEFT), CHUNK):
        both = {"caller": parts(LEFT, at)} | ({"callee": parts(RIGHT, at)} if at >= 24_000 else {})
        await call.audio(**both)
    recording, channels = await finish(call, tenant)
    np.testing.assert_array_equal(channels, np.stack([LEFT, silenced(RIGHT, (0, 24_000))]))
    assert [part.first_frame for part in recording.legs] == [0, 24_000]
    assert [part.gap_frames for part in recording.legs] == [0, 24_000]


async def test_recording_that_starts_in_the_middle_begins_with_silence(client: Client, tenant: Tenant) -> None:
    """Position 0 is where the recording began, not where the first chunk lies."""
    call = await client.call(tenant, legs=[leg()], ncco=SPLIT_WAV)
    await call.stream(caller=LEFT[:16_000].tobytes(), from_ms=700)
    _, channels = await finish(call, tenant)
    np.testing.assert_array_equal(channels[0], np.concatenate([np.zeros(11_200, np.int16), LEFT[:16_000]]))


async def test_chunks_out_of_order_by_up_to_200_ms_find_their_place(client: Client, tenant: Tenant) -> None:
    """Every run of nine 20 ms chunks is shuffled, each leg on its own."""
    shuffle = random.Random(4).shuffle
    call = await client.call(tenant, ncco=SPLIT_WAV)
    for begin in range(0, len(LEFT), 9 * CHUNK):
        left = list(range(begin, min(begin + 9 * CHUNK, len(LEFT)), CHUNK))
        right = list(left)
        shuffle(left)
        shuffle(right)
        for one, other in zip(left, right, strict=True):
            await call.audio(caller=parts(LEFT, one), callee=parts(RIGHT, other))
    recording, channels = await finish(call, tenant)
    np.testing.assert_array_equal(channels, np.stack([LEFT, RIGHT]))
    assert [(part.frames, part.gap_frames, part.late_frames) for part in recording.legs] == [(80_000, 0, 0)] * 2


async def test_repeated_chunks_are_kept_once(client: Client, tenant: Tenant) -> None:
    """Every tenth chunk of the caller comes again; what came first stays."""
    call = await client.call(tenant, ncco=SPLIT_WAV)
    for index, at in enumerate(range(0, len(LEFT), CHUNK)):
        await call.audio(caller=parts(LEFT, at), callee=parts(RIGHT, at))
        if index % 10 == 0:
            await call.audio(caller=(at, bytes(2 * CHUNK)))
    recording, channels = await finish(call, tenant)
    np.testing.assert_array_equal(channels, np.stack([LEFT, RIGHT]))
    assert [part.repeated_frames for part in recording.legs] == [25 * CHUNK, 0]
    assert [part.frames for part in recording.legs] == [80_000, 80_000]


async def test_overlapping_chunks_keep_what_came_first(client: Client, tenant: Tenant) -> None:
    """Chunks of 30 ms every 20 ms: the 10 ms that overlap are repeats."""
    call = await client.call(tenant, legs=[leg()], ncco=SPLIT_WAV)
    for at in range(0, 16_000, CHUNK):
        await call.audio(caller=(at, LEFT[at : at + CHUNK + CHUNK // 2].tobytes()))
    recording, channels = await finish(call, tenant)
    np.testing.assert_array_equal(channels[0], LEFT[: 16_000 + CHUNK // 2])
    assert recording.legs[0].repeated_frames == 49 * CHUNK // 2


async def test_audio_after_its_block_was_closed_is_counted_as_late(client: Client, tenant: Tenant) -> None:
    """A chunk that comes three seconds late is dropped and counted; the file has silence there."""
    gap = (8000, 8000 + CHUNK)
    call = await client.call(tenant, ncco=SPLIT_WAV)
    for at in range(0, len(LEFT), CHUNK):
        await call.audio(callee=parts(RIGHT, at), **({} if at == gap[0] else {"caller": parts(LEFT, at)}))
        if at == 56_000:
            await call.audio(caller=parts(LEFT, gap[0]))
    recording, channels = await finish(call, tenant)
    np.testing.assert_array_equal(channels, np.stack([silenced(LEFT, gap), RIGHT]))
    assert [part.late_frames for part in recording.legs] == [CHUNK, 0]
    assert recording.legs[0].gap_frames == CHUNK


async def test_ten_minutes_of_nothing_are_ten_minutes_of_silence(
    server: Server, client: Client, tenant: Tenant, figure: Figure
) -> None:
    """A second of audio, nothing for ten minutes, a second of audio: all in place, and cheap."""
    before_s = server.cpu_s()
    call = await client.call(tenant, ncco={"action": "record"})
    await call.stream(caller=LEFT[:16_000].tobytes(), callee=RIGHT[:16_000].tobytes())
    await call.stream(caller=LEFT[:16_000].tobytes(), callee=RIGHT[:16_000].tobytes(), from_ms=600_000)
    recording = await call.hang_up()
    used_s = server.cpu_s() - before_s
    figure("CPU of the server for ten minutes of silence in MP3", used_s, "s")
    assert recording.file.frames == TEN_MINUTES + 16_000
    assert [part.gap_frames for part in recording.legs] == [TEN_MINUTES - 16_000] * 2
    decoded = mp3_channels(download(recording, tenant))[0]
    assert len(decoded) == TEN_MINUTES + 16_000
    assert not decoded[32_000 : TEN_MINUTES - 16_000].any()
    assert np.abs(decoded[TEN_MINUTES:].astype(int)).max() > 1000
    assert used_s < 3


@pytest.mark.parametrize("chunk_ms", [10, 20, 100, 500])
async def test_length_of_the_chunks_does_not_matter(client: Client, tenant: Tenant, chunk_ms: int) -> None:
    """The same call in other pieces is the same file, MP3 too."""
    call = await client.call(tenant, ncco={"action": "record"})
    await call.stream(caller=LEFT[:32_000].tobytes(), callee=RIGHT[:32_000].tobytes(), chunk_ms=chunk_ms)
    recording = await call.hang_up()
    whole = await client.call(tenant, ncco={"action": "record"})
    await whole.stream(caller=LEFT[:32_000].tobytes(), callee=RIGHT[:32_000].tobytes(), chunk_ms=1000)
    assert recording.file.sha256 == (await whole.hang_up()).file.sha256


async def test_silence_sent_for_frames_after_the_last_audio_is_kept(client: Client, tenant: Tenant) -> None:
    """`close.frame` says that the call went on after the last audio."""
    call = await client.call(tenant, ncco=SPLIT_WAV)
    await call.stream(caller=LEFT[:16_000].tobytes(), callee=RIGHT[:16_000].tobytes())
    recording = await call.hang_up(frame=40_000)
    channels = wav_channels(download(recording, tenant))
    assert channels.shape == (2, 40_000)
    np.testing.assert_array_equal(channels[:, :16_000], np.stack([LEFT[:16_000], RIGHT[:16_000]]))
    assert not channels[:, 16_000:].any()

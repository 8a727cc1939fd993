"""Several senders with clocks of their own, one timeline: where their channels lie, and for how long."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tests.unit.sessions.conference_stage import KeptFile, Sender, Stage, alignment_errors_s, play

from recorder_service.audio.formats import Encoding, LegFormat

MU_LAW = LegFormat(Encoding.MULAW, 8000)
SENDERS = (
    Sender("true"),
    Sender("fast", ppm=200, lost=0.02, stalls=0.005),
    Sender("quiet", ppm=100, joined_s=3.0, silent=True),
    Sender("slow", ppm=-200, joined_s=40.0, lost=0.02, stalls=0.005, format=MU_LAW),
)


@pytest.fixture(scope="module")
def workers() -> Iterator[ThreadPoolExecutor]:
    """Threads that render."""
    with ThreadPoolExecutor(2) as workers:
        yield workers


async def test_channels_stay_within_five_milliseconds_of_the_truth(workers: ThreadPoolExecutor) -> None:
    """200 ppm of drift either way, lost chunks, stalls, a late joiner and one that sends only when it speaks."""
    stage, seconds = Stage(workers, len(SENDERS)), 300.0
    streams = await play(stage, SENDERS, seconds)
    for sender in SENDERS[1:]:
        await streams[sender.leg_id].close(streams[sender.leg_id].next_sequence)
    last = streams["true"]
    # The sender whose clock is the conference's says where it left: that is the length of the file.
    await last.leave(last.next_sequence, "true", int(seconds) * 16_000)
    recording = await stage.ended()
    for channel, sender in enumerate(SENDERS):
        errors_s = alignment_errors_s(stage.files[0], channel, sender.joined_s + 30)
        assert len(errors_s) >= (seconds - sender.joined_s - 40) / 5 * 0.85, sender.leg_id
        assert np.abs(errors_s).max() < 0.005, (sender.leg_id, errors_s)
    assert abs(stage.files[0].frames - int(seconds) * 16_000) <= 1
    drift_ppb = {leg.leg_id: leg.drift_ppb for leg in recording.legs}
    assert drift_ppb["fast"] == pytest.approx(200_000, abs=40_000)
    assert drift_ppb["slow"] == pytest.approx(-200_000, abs=40_000)
    assert await stage.background.wait(5)


async def test_corrected_clock_is_replayed_bit_for_bit(workers: ThreadPoolExecutor) -> None:
    """What moved the frames of a sender is in the journal: after a restart the same frames move."""
    stage = Stage(workers, 2, keep=True)
    senders = (Sender("true", stalls=0.01), Sender("fast", ppm=300, lost=0.02, format=MU_LAW))
    streams = await play(stage, senders, 90)
    await streams["fast"].close(streams["fast"].next_sequence)
    await streams["true"].close(streams["true"].next_sequence)
    recording = await stage.ended()
    assert stage.lives[0].roster.sources[2].clock.shift_frames < -100
    again = await stage.replay()
    first, second = stage.files
    assert isinstance(first, KeptFile)
    assert isinstance(second, KeptFile)
    assert len(first.data) > 80 * 16_000 * 4
    assert first.data == second.data
    assert again.legs == recording.legs
    assert await stage.background.wait(5)


async def test_stream_whose_clock_is_given_is_never_moved(workers: ThreadPoolExecutor) -> None:
    """With an origin of its own nothing is measured: what it sends lies where it says."""
    stage = Stage(workers, 1)
    stream = await stage.join([Sender("a").leg], origin_frame=0)
    for arrived_s, piece in Sender("a", ppm=500, jitter_s=0.001).messages(60, __import__("random").Random(1)):
        stage.now_s = arrived_s
        stream.receive_audio(stream.next_sequence, [piece])
        if stream.congested():
            await stream.room()
    await stream.close(stream.next_sequence)
    recording = await stage.ended()
    assert recording.legs[0].drift_ppb is None
    pulses = stage.files[0].pulses(0)
    # 500 ppm are 2.5 ms in five seconds.
    np.testing.assert_allclose(np.diff(pulses[1:]), 80_040, atol=1)
    assert await stage.background.wait(5)

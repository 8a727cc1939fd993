"""Pauses, judged sample by sample."""

from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recorder_service.audio.formats import RECORDING_RATE_HZ, SAMPLE_RATES_HZ, Encoding, LegFormat
from recorder_service.domain.recording import PauseInterval, PauseMode
from recorder_service.sessions.pauses import Pauses

_formats = st.builds(LegFormat, st.sampled_from(Encoding), st.sampled_from(SAMPLE_RATES_HZ))
_stretches = st.lists(st.tuples(st.integers(0, 900), st.integers(0, 400)), max_size=4)


def _with(stretches: list[tuple[int, int]]) -> Pauses:
    pauses = Pauses()
    for start_frame, length in stretches:
        begun = pauses.begin(start_frame, PauseMode.CUT)
        pauses.end(begun.start_frame + length)
    return pauses


def _is_paused(leg_format: LegFormat, leg_frame: int, intervals: tuple[PauseInterval, ...]) -> bool:
    """Say whether any of the time that a leg frame lasts falls into a pause, in exact fractions of a second."""
    begins = Fraction(leg_frame, leg_format.sample_rate_hz)
    ends = Fraction(leg_frame + 1, leg_format.sample_rate_hz)
    for interval in intervals:
        start = Fraction(interval.start_frame, RECORDING_RATE_HZ)
        end = Fraction(interval.end_frame or 0, RECORDING_RATE_HZ)
        if start < end and begins < end and start < ends:
            return True
    return False


@settings(deadline=None)
@given(leg_format=_formats, start=st.integers(0, 3000), frames=st.integers(0, 600), stretches=_stretches)
@example(leg_format=LegFormat(Encoding.LINEAR16, 8000), start=0, frames=1, stretches=[(1, 0)])
def test_what_is_kept_is_what_touches_no_pause_sample_by_sample(
    leg_format: LegFormat, start: int, frames: int, stretches: list[tuple[int, int]]
) -> None:
    """Every rate and encoding: no sample of a pause is kept, no other is lost, none moves."""
    pauses = _with(stretches)
    size = leg_format.bytes_per_frame
    payload = b"".join((index % 251).to_bytes(size, "little") for index in range(frames))
    kept = pauses.keep(leg_format, start, payload)
    found = {
        at + index: bytes(part[index * size : (index + 1) * size])
        for at, part in kept
        for index in range(len(part) // size)
    }
    expected = {
        start + index: payload[index * size : (index + 1) * size]
        for index in range(frames)
        if not _is_paused(leg_format, start + index, pauses.intervals)
    }
    assert found == expected
    assert all(len(part) and len(part) % size == 0 for _, part in kept) or not frames
    assert [at for at, _ in kept] == sorted(at for at, _ in kept)


def test_everything_is_dropped_while_paused_whatever_its_position() -> None:
    """A late chunk from before the pause may hold what must not be kept."""
    pauses = Pauses()
    pauses.begin(16_000, PauseMode.SILENCE)
    leg_format = LegFormat(Encoding.LINEAR16, 16_000)
    assert pauses.active
    assert pauses.keep(leg_format, 0, bytes(640)) == []
    assert pauses.keep(leg_format, 1_000_000, bytes(640)) == []


def test_pause_begins_where_the_one_before_it_ended_at_the_earliest() -> None:
    """Pauses follow each other."""
    pauses = _with([(1000, 500)])
    assert pauses.begin(200, PauseMode.CUT) == PauseInterval(1500, None, PauseMode.CUT)


def test_end_before_the_begin_ends_it_at_its_begin() -> None:
    """An empty pause."""
    pauses = Pauses()
    pauses.begin(1000, PauseMode.SILENCE)
    assert pauses.end(10) == PauseInterval(1000, 1000, PauseMode.SILENCE)
    assert not pauses.active


@pytest.mark.parametrize("sample_rate_hz", SAMPLE_RATES_HZ)
def test_empty_pause_drops_nothing_at_frames_both_clocks_share(sample_rate_hz: int) -> None:
    """10 ms is a whole number of frames at every rate."""
    leg_format = LegFormat(Encoding.MULAW, sample_rate_hz)
    payload = bytes(sample_rate_hz // 50)
    assert b"".join(bytes(p) for _, p in _with([(160, 0)]).keep(leg_format, 0, payload)) == payload

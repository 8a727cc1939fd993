"""Windows, samples and the audio under them."""

from dataclasses import replace

import numpy as np
import pytest
from tests.bench.audio import mixed_blocks
from tests.bench.load import Load, Window
from tests.bench.messages import ConferenceRequest, Form, Request, opening, script
from tests.bench.traffic import CallTimes, Quantiles, Traffic
from tests.harness.commits import Commits
from tests.harness.processes import Sample, Usage

SECOND_NS = 1_000_000_000


def traffic(calls: list[CallTimes], late_p99_ms: float = 1.0) -> Traffic:
    """Return what a generator might have seen."""
    nothing = Quantiles(0, 0, 0)
    return Traffic(tuple(calls), 0, 0, 0, Quantiles(0, late_p99_ms, late_p99_ms), nothing, nothing, 0.0)


def times(began_s: float, closed_s: float) -> CallTimes:
    """Return a call's times."""
    return CallTimes(round(began_s * SECOND_NS), 0, round(closed_s * SECOND_NS), 0, 0, 0)


def test_window_lies_between_the_last_begin_and_the_first_end() -> None:
    """All calls live in it, and have settled."""
    load = Load(Form(100, 20.0), 2, 1000.0)
    window = Window.steady(traffic([times(1, 21), times(2, 22)]), load)
    assert (window.start_ns, window.end_ns) == (4.5 * SECOND_NS, 21 * SECOND_NS)


def test_window_of_short_calls_lies_where_one_ends_as_another_begins() -> None:
    """From the first call's end to the last one's begin."""
    load = Load(Form(100, 3.0), 10, 1000.0)
    window = Window.steady(traffic([times(at, at + 3) for at in range(10)]), load)
    assert (window.start_ns, window.end_ns) == (3 * SECOND_NS, 9 * SECOND_NS)


def test_generator_that_is_later_than_half_a_message_has_not_kept_pace() -> None:
    """Its run does not count."""
    load = Load(Form(100, 3.0), 1, 0.0)
    assert load.kept_pace(traffic([], late_p99_ms=50.0))
    assert not load.kept_pace(traffic([], late_p99_ms=50.1))


def test_use_between_two_samples_is_shared_out_by_time() -> None:
    """Half of the interval has half of the use."""
    usage = Usage([Sample(0, 1.0, 10), Sample(100, 2.0, 30), Sample(200, 5.0, 20)])
    assert usage.cpu_s(50, 150) == pytest.approx(2.0)
    assert usage.rss_bytes(0, 150) == 30


def test_script_holds_both_legs_in_each_message_and_hangs_up() -> None:
    """Sequences have no holes, positions follow each other."""
    form = Form(100, 1.0)
    messages = [Request.FromString(data) for data in script(form, 0)]
    assert Request.FromString(opening(form, "")).sequence == 1
    assert [message.sequence for message in messages] == list(range(2, 13))
    assert [message.WhichOneof("payload") for message in messages] == ["audio"] * 10 + ["close"]
    chunks = messages[3].audio.chunks
    assert [(chunk.leg_id, chunk.start_frame, len(chunk.payload)) for chunk in chunks] == [
        ("caller", 4800, 3200),
        ("callee", 4800, 3200),
    ]


def test_conference_whose_legs_are_apart_has_a_stream_for_each() -> None:
    """All join the same conference under ids of their own, and each script brings its leg only."""
    form = Form(100, 1.0, legs=3, conference=True, apart=True)
    joins = [ConferenceRequest.FromString(opening(form, "x", stream)).open.join for stream in range(3)]
    assert {join.name for join in joins} == {"bench x"}
    assert len({join.stream_id for join in joins}) == 3
    assert [[member.leg.leg_id for member in join.legs] for join in joins] == [["leg-0"], ["leg-1"], ["leg-2"]]
    first, *_, last = [ConferenceRequest.FromString(data) for data in script(form, 0, 2)]
    assert [chunk.leg_id for chunk in first.audio.chunks] == ["leg-2"]
    assert (last.sequence, last.WhichOneof("payload")) == (12, "close")


def test_conference_is_completed_when_one_of_its_streams_hears_so() -> None:
    """The others were closed before."""
    heard, closed = replace(times(1, 2), completed=1), times(1, 2)
    assert traffic([closed, heard, closed, closed, heard, heard]).completed(streams=2) == 2


def test_blocks_of_the_encoder_floor_are_the_mix_of_both_voices() -> None:
    """A second each, one channel or two, and not silent."""
    (mono, *_), (split, *_) = (list(mixed_blocks(0, 2, split=split)) for split in (False, True))
    assert mono.dtype == split.dtype == np.int16
    assert (mono.shape[0], split.shape[0]) == (1, 2)
    assert np.abs(mono).max() > 1000


def test_quantile_of_a_histogram_lies_within_its_bucket() -> None:
    """Evenly spread within it; beyond the last bound there is only that bound."""
    commits = Commits({0.01: 50.0, 0.02: 100.0, float("inf"): 100.0})
    assert commits.quantile_s(0.75) == pytest.approx(0.015)
    assert Commits({0.01: 0.0, float("inf"): 4.0}).quantile_s(0.5) == 0.01

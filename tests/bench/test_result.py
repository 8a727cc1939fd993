"""Results as lines, medians, comparison, goals and picture."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from tests.bench import result
from tests.bench.comparison import changes
from tests.bench.goals import verdicts
from tests.bench.plot import draw
from tests.bench.result import Result, median

LEVELS = {
    name: Result(name, {"cores": calls / 200, "durable_p99_ms": 20.0, "cpu_s_per_call_hour": 20.0 - calls / 50})
    for calls, name in ((calls, f"mono_mp3_100ms_{calls}") for calls in (50, 100, 200, 400))
}


def test_lines_are_read_as_they_were_written(tmp_path: Path) -> None:
    """One line of JSON a scenario, there and back."""
    results = [Result("one", {"cores": 1.5}, ("late",), 3), Result("two", {})]
    result.write(results, tmp_path / "new" / "results.jsonl")
    assert list(result.read(tmp_path / "new" / "results.jsonl").values()) == results


def test_line_of_something_else_is_refused_with_its_number(tmp_path: Path) -> None:
    """The message names file and line."""
    path = tmp_path / "results.jsonl"
    path.write_text(Result("one", {}).line() + "\n{}\n")
    with pytest.raises(ValueError, match=r"results\.jsonl:2"):
        result.read(path)


def test_median_leaves_out_runs_that_do_not_count() -> None:
    """A run in which the generator was late says nothing."""
    runs = [Result("x", {"cores": 9.0}, ("late",)), *(Result("x", {"cores": cores}) for cores in (1.0, 3.0, 2.0))]
    assert median(runs) == Result("x", {"cores": 2.0}, (), 3)


def test_median_of_runs_that_do_not_count_does_not_count() -> None:
    """What is left is marked."""
    assert median([Result("x", {"cores": 9.0}, ("late",))]).faults == ("late",)


def test_cost_that_rose_is_worse_and_latency_that_rose_is_only_shown() -> None:
    """Latencies move with whatever else the machine does."""
    old = {"x": Result("x", {"us_per_message": 100.0, "ack_p99_ms": 10.0, "cores": 1.0})}
    new = {"x": Result("x", {"us_per_message": 120.0, "ack_p99_ms": 30.0, "rss_mb": 5.0})}
    found = list(changes(old, new))
    assert [(change.figure, change.worse) for change in found] == [("us_per_message", True), ("ack_p99_ms", False)]
    assert found[0].share == pytest.approx(0.2)


def test_cost_of_a_run_that_does_not_count_is_not_worse() -> None:
    """It is shown all the same."""
    old = {"x": Result("x", {"us_per_message": 100.0})}
    assert not any(change.worse for change in changes(old, {"x": Result("x", {"us_per_message": 200.0}, ("late",))}))


def test_goals_are_judged_where_their_scenarios_were_run() -> None:
    """The cost of a call may not rise from level to level."""
    found = {verdict.name: verdict for verdict in verdicts(LEVELS | {"peers": Result("peers", {})})}
    assert list(found) == ["cost per call, most from one level to the next"]
    assert all(verdict.met and verdict.counts for verdict in found.values())


def test_picture_has_a_point_for_each_level_in_both_panels() -> None:
    """It is well-formed, and runs that do not count are left out."""
    late = Result("mono_mp3_20ms_100", {"cores": 1.0, "durable_p99_ms": 20.0}, ("late",))
    root = ET.fromstring(draw(LEVELS | {late.name: late}))
    assert len(root.findall(".//{*}circle")) == 2 * len(LEVELS)
    assert len(root.findall(".//{*}polyline")) == 2

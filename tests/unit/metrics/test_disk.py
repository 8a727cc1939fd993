"""How long the disk lasts, and what waits in the spool."""

from pathlib import Path

import pytest

from recorder_service.metrics.disk import LONGEST_S, DiskForecast, spool_state

GIB = 1 << 30


def test_disk_that_fills_steadily_is_full_when_the_forecast_says() -> None:
    """1 GiB a minute, 60 GiB left: an hour."""
    forecast = DiskForecast()
    left_s = [forecast.left_s(60.0 * minute, (70 - minute) * GIB) for minute in range(11)]
    assert left_s[0] == LONGEST_S
    assert left_s[-1] == pytest.approx(3600)


@pytest.mark.parametrize("room", [[5, 5, 5], [5, 6, 7]], ids=["steady", "growing"])
def test_disk_that_does_not_fill_lasts_as_long_as_can_be_told(room: list[int]) -> None:
    """The figure has an upper bound, so that it can be drawn."""
    forecast = DiskForecast()
    assert [forecast.left_s(60.0 * index, free * GIB) for index, free in enumerate(room)][-1] == LONGEST_S


def test_first_seconds_foretell_nothing() -> None:
    """A burst right after the start would be taken for the rule."""
    forecast = DiskForecast()
    forecast.left_s(0, 10 * GIB)
    assert forecast.left_s(10, 9 * GIB) == LONGEST_S
    assert forecast.left_s(40, 9 * GIB) == pytest.approx(360)


def test_only_the_last_quarter_of_an_hour_counts() -> None:
    """What was written before, at another load, is forgotten."""
    forecast = DiskForecast()
    for minute in range(60):
        forecast.left_s(60.0 * minute, (100 - min(minute, 40)) * GIB)
    assert forecast.left_s(3600.0, 60 * GIB) == LONGEST_S


def test_disk_at_its_mark_has_no_time_left() -> None:
    """Whether it fills or not."""
    assert DiskForecast().left_s(0, 0) == 0.0


def test_spool_counts_all_bytes_but_only_sealed_files_wait(tmp_path: Path) -> None:
    """A file under construction waits for nobody."""
    (tmp_path / "a.spool").write_bytes(bytes(1000))
    assert spool_state(tmp_path).oldest is None
    (tmp_path / "b.spool").write_bytes(bytes(500))
    (tmp_path / "b.sealed").write_bytes(bytes(10))
    state = spool_state(tmp_path)
    assert (state.files, state.size_bytes) == (1, 1510)
    assert state.oldest is not None
    assert state.oldest.timestamp() == pytest.approx((tmp_path / "b.sealed").stat().st_mtime)

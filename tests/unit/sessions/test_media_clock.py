"""The clock between and after messages, on a clock of the test's own."""

from types import SimpleNamespace

import pytest

from recorder_service.sessions import media_clock
from recorder_service.sessions.media_clock import MediaClock


@pytest.fixture
def clock_s(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Seconds that pass when the test says so."""
    now = SimpleNamespace(s=1000.0)
    monkeypatch.setattr(media_clock, "time", SimpleNamespace(monotonic=lambda: now.s))
    return now


def test_clock_runs_on_while_nothing_arrives(clock_s: SimpleNamespace) -> None:
    """16,000 frames a second from where it started."""
    clock = MediaClock()
    assert clock.now_frame() == 0
    clock_s.s += 1.5
    assert clock.now_frame() == 24_000


def test_sender_faster_than_real_time_moves_it_ahead(clock_s: SimpleNamespace) -> None:
    """It goes on from the audio."""
    clock = MediaClock()
    clock.saw(160_000)
    assert clock.now_frame() == 160_000
    clock_s.s += 1
    assert clock.now_frame() == 176_000


def test_old_audio_does_not_move_it_back(clock_s: SimpleNamespace) -> None:
    """Nor does it start its second anew."""
    clock = MediaClock()
    clock.saw(16_000)
    clock_s.s += 0.5
    clock.saw(8_000)
    clock.saw(16_000)
    assert clock.now_frame() == 24_000


def test_restart_forgets_the_time_without_a_stream(clock_s: SimpleNamespace) -> None:
    """What the sender kept meanwhile is still to come."""
    clock = MediaClock()
    clock.saw(16_000)
    clock_s.s += 3600
    clock.restart(16_000)
    assert clock.now_frame() == 16_000
    clock_s.s += 1
    assert clock.now_frame() == 32_000

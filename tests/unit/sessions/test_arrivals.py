"""What is kept of the arrivals of a second."""

from recorder_service.sessions.arrivals import Arrivals
from recorder_service.sessions.membership import Observe

SECOND = 16_000


def test_least_late_arrival_of_each_second_is_told_when_it_is_over() -> None:
    """The one whose audio ends nearest to the clock."""
    arrivals = Arrivals()
    assert arrivals.saw(3, 0, 900) is None
    assert arrivals.saw(3, 8000, 8100) is None
    assert arrivals.saw(3, 12_000, 12_500) is None
    assert arrivals.saw(3, 17_000, 17_500) == Observe(0, 3, 8000, 8100)
    assert arrivals.saw(3, 40_000, 40_001) == Observe(0, 3, 17_000, 17_500)


def test_sender_that_is_silent_for_long_is_observed_each_time_it_speaks() -> None:
    """Each message is a second of its own."""
    arrivals = Arrivals()
    seen = [arrivals.saw(1, at * 5 * SECOND, at * 5 * SECOND + 10 * at) for at in range(4)]
    assert seen == [None, *(Observe(0, 1, at * 5 * SECOND, at * 5 * SECOND + 10 * at) for at in range(3))]

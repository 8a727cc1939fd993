"""Bugs that the scenarios of conferences must notice; see `planted.py` for how they get in."""

from tests.robustness.planted import replace

from recorder_service.sessions.conference_stream import ConferenceStream
from recorder_service.sessions.notices import Outlet
from recorder_service.sessions.sender_clock import Observation, SenderClock

_LAZY_S = 1.0


def streams_choose_their_own_interval() -> None:
    """Acknowledge once a second, whatever was asked for."""
    real = ConferenceStream.attach

    def attach(stream: ConferenceStream, outlet: Outlet, _ack_interval_s: float) -> None:
        real(stream, outlet, _LAZY_S)

    replace(ConferenceStream, "attach", attach)


def drift_is_measured_but_not_corrected() -> None:
    """Follow the senders' clocks, and move nothing."""
    real = SenderClock.observe

    def observe(clock: SenderClock, seen: Observation) -> int:
        real(clock, seen)
        return 0

    replace(SenderClock, "observe", observe)

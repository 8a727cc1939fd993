"""Bugs that the scenarios of conferences must notice; see `planted.py` for how they get in."""

from tests.robustness.planted import replace

from recorder_service.sessions.conference_stream import ConferenceStream
from recorder_service.sessions.conferences import Conferences
from recorder_service.sessions.entries import Entry
from recorder_service.sessions.live_recording import LiveRecording
from recorder_service.sessions.membership import Mute
from recorder_service.sessions.notices import Outlet
from recorder_service.sessions.replaying import Replaying
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


def mutes_are_forgotten() -> None:
    """Go on after a restart as if nobody had been muted before."""
    real = Replaying.do

    def do(replaying: Replaying, entry: Entry) -> None:
        if not isinstance(entry, Mute):
            real(replaying, entry)

    replace(Replaying, "do", do)


def only_one_stream_is_known_again() -> None:
    """Forget in a restart all streams of a conference but the first."""
    real = Conferences._restore

    async def restore(conferences: Conferences, live: LiveRecording) -> None:
        await real(conferences, live)
        for stream_id in list(conferences._streams)[1:]:
            del conferences._streams[stream_id]

    replace(Conferences, "_restore", restore)

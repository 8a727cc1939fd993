"""Which legs of a stream are in the conference, as far as the server has said that it knows."""

from collections.abc import Iterable

from recorder.packing import RECORDING_RATE_HZ
from recorder.v1.recorder_service_pb2 import JoinLeg, RecordConferenceRequest

ALIGNED_FRAMES = RECORDING_RATE_HZ // 100
"""Positions at 16 kHz that are a multiple of this are whole frames at every sample rate."""


class Membership:
    """What of a stream has to be said anew if the server has forgotten it; the rest is still to be sent anyway."""

    def __init__(self, legs: Iterable[JoinLeg]) -> None:
        """Begin with the legs that the stream is opened with."""
        self._legs = {leg.leg.leg_id: leg for leg in legs}

    def note(self, request: RecordConferenceRequest) -> None:
        """Take a request that was acknowledged."""
        match request.WhichOneof("payload"):
            case "join_leg":
                self._legs[request.join_leg.leg.leg_id] = request.join_leg
            case "leave_leg":
                self._legs.pop(request.leave_leg.leg_id, None)
            case "mute_leg":
                self._mute(request.mute_leg.leg_id, muted=request.mute_leg.muted)

    def returning(self, media_frame: int) -> list[JoinLeg]:
        """Describe the legs as they are, joining at a position at 16 kHz, which must be aligned."""
        return [_at(leg, media_frame) for leg in self._legs.values()]

    def _mute(self, leg_id: str, *, muted: bool) -> None:
        if leg_id in self._legs:
            leg = JoinLeg()
            leg.CopyFrom(self._legs[leg_id])
            leg.muted = muted
            self._legs[leg_id] = leg


def _at(leg: JoinLeg, media_frame: int) -> JoinLeg:
    joining = JoinLeg()
    joining.CopyFrom(leg)
    joining.frame = media_frame * leg.leg.sample_rate_hz // RECORDING_RATE_HZ
    return joining

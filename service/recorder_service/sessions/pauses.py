"""Pauses: what must not be kept, and what takes its place."""

from dataclasses import replace

from recorder_service.audio.formats import LegFormat, Payload
from recorder_service.domain.recording import PauseInterval, PauseMode


class Pauses:
    """The pauses of one recording.

    While paused everything that arrives is dropped, whatever its position: a late chunk may hold what must not be kept.
    After a pause, what is stamped within it and comes late is dropped too.

    Attributes:
        any: Whether there is or was any. Read for every message, hence no property.
    """

    def __init__(self) -> None:
        """Start without pauses."""
        self.any = False
        self._intervals: list[PauseInterval] = []

    @property
    def active(self) -> bool:
        """Whether audio is dropped now."""
        return bool(self._intervals) and self._intervals[-1].end_frame is None

    @property
    def intervals(self) -> tuple[PauseInterval, ...]:
        """All pauses so far, in order; the last may be without end."""
        return tuple(self._intervals)

    def begin(self, start_frame: int, mode: PauseMode) -> PauseInterval:
        """Start a pause; the caller has made sure that none is active."""
        after_last = self._intervals[-1].end_frame if self._intervals else None
        interval = PauseInterval(max(start_frame, after_last or 0), None, mode)
        self._intervals.append(interval)
        self.any = True
        return interval

    def end(self, end_frame: int) -> PauseInterval:
        """End the active pause, at its begin if `end_frame` lies before that."""
        started = self._intervals[-1]
        ended = replace(started, end_frame=max(started.start_frame, end_frame))
        self._intervals[-1] = ended
        return ended

    def keep(self, leg_format: LegFormat, start_frame: int, payload: Payload) -> list[tuple[int, Payload]]:
        """Cut a chunk down to what may be kept.

        Args:
            leg_format: The leg's format.
            start_frame: First frame in the leg's own rate.
            payload: Whole frames.

        Returns:
            Start frames and payloads of what is left, in order; empty while paused.
        """
        if self.active:
            return []
        kept = [(start_frame, payload)]
        for interval in self._intervals:
            if interval.start_frame == interval.end_frame:
                continue  # it lasted no time, and would take the leg's frame around it
            kept = [part for start, piece in kept for part in _without(leg_format, start, piece, interval)]
        return kept


def _without(
    leg_format: LegFormat, start_frame: int, payload: Payload, interval: PauseInterval
) -> list[tuple[int, Payload]]:
    """Remove one ended pause from a chunk; frames that only touch it are removed too."""
    size = leg_format.bytes_per_frame
    end_frame = start_frame + len(payload) // size
    cut_start = min(max(leg_format.leg_frame(interval.start_frame), start_frame), end_frame)
    cut_end = max(min(leg_format.leg_frame_ceil(interval.end_frame or 0), end_frame), cut_start)
    if cut_start == cut_end:
        return [(start_frame, payload)]
    parts = [
        (start_frame, payload[: (cut_start - start_frame) * size]),
        (cut_end, payload[(cut_end - start_frame) * size :]),
    ]
    return [(start, part) for start, part in parts if len(part)]

"""Following a sender's media clock: how far it has drifted from the conference's, through a network that delays.

What arrives can be late but never early: the least lateness seen is what the clocks differ by, and everything above it
is the network. The line that lies below all observations of two minutes and as close to them as possible gives the
drift and where the clock stands now.

All of it is integers and a few divisions over observations that are in the journal, so that a replay decides the same.

Source: S. Moon, P. Skelly, D. Towsley, "Estimation and removal of clock skew from network delay measurements", IEEE
INFOCOM 1999 (the line under the points that minimises the area is the hull's edge over their mean time).
"""

import itertools
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from recorder_service.audio.formats import RECORDING_RATE_HZ

STEP_FRAMES = 2
"""What one slip moves a leg by, in recording frames: 125 us, a whole frame at 8 kHz."""

_WINDOW_FRAMES = 120 * RECORDING_RATE_HZ
# A sender that speaks seldom is seen seldom: a line under few observations lies anywhere.
_LONGEST_WINDOW_FRAMES = 600 * RECORDING_RATE_HZ
_ENOUGH_OBSERVATIONS = 60
_SLOPE_SPAN_FRAMES = 30 * RECORDING_RATE_HZ
_RECENT_FRAMES = 8 * RECORDING_RATE_HZ
_FIRST_OBSERVATIONS = 5
_LEAST_OBSERVATIONS = 3
# A quartz that is further off is broken, or what is sent does not follow a clock at all.
_MAX_DRIFT_PPB = 1_000_000
# Further off than this, the sender or the server jumped: that is no drift.
_JUMP_FRAMES = RECORDING_RATE_HZ
_TOLERANCE_FRAMES = 16
# In a second. Who speaks seldom is observed seldom, and has to catch up with all that passed; it lies in silence.
_MAX_STEPS = 8
_MAX_STEPS_AT_ONCE = 24
_PPB = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Observation:
    """One arrival, in recording frames.

    Attributes:
        clock_frame: Where the conference's clock stood.
        lateness_frames: How much later that is than the media clock says, from the stream's origin on.
    """

    clock_frame: int
    lateness_frames: int


class SenderClock:
    """The clock of one stream.

    Attributes:
        shift_frames: By how much the stream's audio is moved so far, in recording frames; positive is later.
        drift_ppb: By how many parts in 10**9 the sender's clock runs fast; None while that is not known.
        next_cell: The first cell for the next slip; the caller counts it on.
    """

    def __init__(self) -> None:
        """Start without observations."""
        self.shift_frames = 0
        self.drift_ppb: int | None = None
        self.next_cell = 0
        self._seen: deque[Observation] = deque()
        self._clock_sum = 0
        self._settled = False
        self._baseline_frames: int | None = None

    def observe(self, seen: Observation) -> int:
        """Take the least late arrival of about a second, and say by how many steps to move the stream now.

        Returns:
            Steps of `STEP_FRAMES`; negative moves it earlier. The caller moves it and adds to `shift_frames`.
        """
        passed_frames = seen.clock_frame - self._seen[-1].clock_frame if self._seen else 0
        self._seen.append(seen)
        self._clock_sum += seen.clock_frame
        while self._too_long(seen.clock_frame - self._seen[0].clock_frame):
            self._clock_sum -= self._seen.popleft().clock_frame
            self._settled = True
        slope_ppb, first_frames, lateness_frames = self._line()
        plausible = slope_ppb is None or abs(slope_ppb) <= _MAX_DRIFT_PPB
        self.drift_ppb = -slope_ppb if plausible and slope_ppb is not None else None
        if self._baseline_frames is None:
            self._begin(lateness_frames)
            return 0
        if slope_ppb is not None and plausible and not self._settled and self._baseline_frames > 0:
            # The first few observations may all have been late; the line knows better where it began.
            self._baseline_frames = max(0, first_frames)
        # Half of what it will drift until it is seen again: on average it is then right.
        ahead_frames = 0 if slope_ppb is None else slope_ppb * passed_frames // (2 * _PPB)
        error_frames = lateness_frames + ahead_frames - self._baseline_frames - self.shift_frames
        if not plausible or abs(error_frames) > _JUMP_FRAMES:
            self._baseline_frames = lateness_frames - self.shift_frames
            self._settled = True
            return 0
        if abs(error_frames) < _TOLERANCE_FRAMES:
            return 0
        most = min(_MAX_STEPS_AT_ONCE, _MAX_STEPS * max(1, passed_frames // RECORDING_RATE_HZ))
        steps = min(most, abs(error_frames) // STEP_FRAMES)
        return steps if error_frames > 0 else -steps

    def _too_long(self, span_frames: int) -> bool:
        if len(self._seen) > _ENOUGH_OBSERVATIONS:
            return span_frames > _WINDOW_FRAMES
        return span_frames > _LONGEST_WINDOW_FRAMES

    def _begin(self, lateness_frames: int) -> None:
        """Take the first observations as the rule; what came early shows that the stream's begin was told late."""
        span_frames = self._seen[-1].clock_frame - self._seen[0].clock_frame
        if len(self._seen) >= _FIRST_OBSERVATIONS or span_frames >= _RECENT_FRAMES:
            early = -_JUMP_FRAMES <= lateness_frames < 0
            self._baseline_frames = 0 if early else lateness_frames

    def _line(self) -> tuple[int | None, int, int]:
        """Return the slope of the line under the observations, in parts in 10**9, and its heights at first and now."""
        first, last = self._seen[0].clock_frame, self._seen[-1].clock_frame
        if last - first < _SLOPE_SPAN_FRAMES:
            recent = [seen for seen in self._seen if last - seen.clock_frame <= _RECENT_FRAMES]
            few = list(self._seen)[-_LEAST_OBSERVATIONS:]
            least_frames = min(seen.lateness_frames for seen in max(recent, few, key=len))
            return None, least_frames, least_frames
        hull = _lower_hull(self._seen)
        mean = self._clock_sum / len(self._seen)
        left, right = next((a, b) for a, b in itertools.pairwise(hull) if b[0] >= mean)
        rise, run = right[1] - left[1], right[0] - left[0]
        height = left[1] + rise * (first - left[0]) // run
        return rise * _PPB // run, height, left[1] + rise * (last - left[0]) // run


def _lower_hull(seen: Iterable[Observation]) -> list[tuple[int, int]]:
    """Return the lower convex hull of observations in the order of time (Andrew's monotone chain, 1979).

    Once a second for each stream: a function and four attributes for each turn would cost three times as much.

    Returns:
        Clock frame and lateness of each corner.
    """
    hull: list[tuple[int, int]] = []
    for point in seen:
        clock, late = point.clock_frame, point.lateness_frames
        if hull and clock <= hull[-1][0]:
            continue
        while len(hull) > 1:
            (a_clock, a_late), (b_clock, b_late) = hull[-2], hull[-1]
            if (b_late - a_late) * (clock - a_clock) < (late - a_late) * (b_clock - a_clock):
                break
            hull.pop()
        hull.append((clock, late))
    return hull

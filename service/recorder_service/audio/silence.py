"""The silence gate: the exact frame at which every leg of a recording has been silent for long enough."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from recorder_service.audio.speech import WINDOW_FRAMES, WINDOWS_PER_S, SpeechDetector

_LOUDNESS_MARGIN_S = 1


class SilenceGate:
    """Decides `endOnSilence` on the recording's own timeline: windows of 20 ms, frames [320 w, 320 w + 320) at 16 kHz.

    How to call it, block by block:

    1. `observe` for each leg that has audio in the block, in any order of legs. A leg's pieces come in order and do not
       overlap; what lies between two of them (nothing sent, muted, paused) is silence.
    2. `close_to(end of the block)`: from now on no leg will give anything before that frame. Only this moves the
       decision on.
    3. Ask `stop_frame`.

    `observe_nothing` stands for 1 and 2 where no leg has anything. All legs must be silent at once; a leg never heard
    is silent. The outcome depends on the audio and its place alone, never on how it was cut into pieces or blocks, nor
    on how far `close_to` ran past the decision. Once there is a `stop_frame`, it stays, and further audio is ignored.

    All windows count for learning the noise of the line, those before `start_frame` too; silence is counted from there.
    """

    def __init__(self, timeout_s: int, start_frame: int = 0) -> None:
        """Count silence from `start_frame` on.

        Args:
            timeout_s: Silence that ends the recording, in seconds (endOnSilence: 3 to 10).
            start_frame: Where counting starts, say after the beep; rounded up to the 20 ms grid.
        """
        self._timeout_s = timeout_s
        self._legs: dict[str, _Leg] = {}
        self._start_window = -(-start_frame // WINDOW_FRAMES)
        self._speech_end = self._start_window
        self._closed_window = 0
        self._stop_window: int | None = None

    @property
    def stop_frame(self) -> int | None:
        """The end of the last speech (or the start) plus the timeout, on the 20 ms grid; None while undecided."""
        return None if self._stop_window is None else self._stop_window * WINDOW_FRAMES

    @property
    def last_speech_frame(self) -> int | None:
        """The frame after the last speech known so far, on the 20 ms grid; None if nobody has spoken yet."""
        return None if self._speech_end == self._start_window else self._speech_end * WINDOW_FRAMES

    @property
    def deadline_frame(self) -> int:
        """The frame at which the recording stops if nobody is found to speak before; grows while somebody does."""
        return self._deadline() * WINDOW_FRAMES

    def hold(self, frame: int) -> None:
        """Count silence from `frame` on at the earliest, rounded up to the grid: nobody was asked to speak before.

        To be called before `close_to` moves past the present deadline; afterwards it changes nothing.
        """
        if self._stop_window is None:
            self._speech_end = max(self._speech_end, -(-frame // WINDOW_FRAMES))

    def observe(self, leg_id: str, start_frame: int, pcm: NDArray[np.int16]) -> None:
        """Take a piece of one leg.

        Args:
            leg_id: Whose audio it is; a new one starts a leg.
            start_frame: Place of the first frame on the recording's timeline.
            pcm: int16, shape (frames,), 16 kHz; read only during the call.

        Raises:
            ValueError: If the piece begins before the end of the leg's last one or of what is closed.
        """
        if self._stop_window is not None:
            return
        if leg_id not in self._legs:
            detector = SpeechDetector(self._timeout_s + _LOUDNESS_MARGIN_S)
            self._legs[leg_id] = _Leg(detector, self._closed_window * WINDOW_FRAMES)
        self._legs[leg_id].take(start_frame, pcm)

    def observe_nothing(self, start_frame: int, frames: int) -> None:
        """Take a stretch in which no leg has anything, however long, at the cost of one block."""
        self.close_to(start_frame + frames)

    def close_to(self, frame: int) -> None:
        """Declare all legs known before `frame`; whole windows before it are decided."""
        if self._stop_window is not None:
            return
        window = self._closed_window = max(self._closed_window, frame // WINDOW_FRAMES)
        runs = sorted(run for leg in self._legs.values() for run in leg.runs_before(window))
        for first, end in runs:
            if first >= self._deadline():
                break
            self._speech_end = max(self._speech_end, end)
        if window >= self._deadline():
            self._stop_window = self._deadline()

    def _deadline(self) -> int:
        return self._speech_end + self._timeout_s * WINDOWS_PER_S


@dataclass(slots=True)
class _Leg:
    """One leg's windows: cut to the grid, judged when whole, their speech kept as runs until they are closed.

    Attributes:
        detector: What tells speech.
        end_frame: Where the leg is known to; all before it is judged except `rest`.
        rest: int16, the frames of the window not yet whole.
        runs: Speech as (first window, window after the last), in order.
    """

    detector: SpeechDetector
    end_frame: int
    rest: NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, np.int16))
    runs: list[tuple[int, int]] = field(default_factory=list)

    def take(self, start_frame: int, pcm: NDArray[np.int16]) -> None:
        if start_frame < self.end_frame:
            raise ValueError(f"audio at frame {start_frame} comes after that up to {self.end_frame}; give it in order")
        if start_frame > self.end_frame:
            self._pass_silence(start_frame)
        self._append(pcm)

    def runs_before(self, window: int) -> list[tuple[int, int]]:
        """Give and forget the speech before `window`, which from here on is past."""
        if self.end_frame < window * WINDOW_FRAMES:
            self._pass_silence(window * WINDOW_FRAMES)
        past = [(first, min(end, window)) for first, end in self.runs if first < window]
        self.runs = [(max(first, window), end) for first, end in self.runs if end > window]
        return past

    def _pass_silence(self, to_frame: int) -> None:
        gap = to_frame - self.end_frame
        fill = min(gap, -self.end_frame % WINDOW_FRAMES)
        self._append(np.zeros(fill, np.int16))
        whole = (gap - fill) // WINDOW_FRAMES
        self._note(self.detector.skip(whole))
        self.end_frame += whole * WINDOW_FRAMES
        self._append(np.zeros(to_frame - self.end_frame, np.int16))

    def _append(self, pcm: NDArray[np.int16]) -> None:
        joined = np.concatenate((self.rest, pcm)) if len(self.rest) else pcm
        whole = len(joined) // WINDOW_FRAMES * WINDOW_FRAMES
        self.end_frame -= len(self.rest)
        self._note(self.detector.detect(joined[:whole].reshape(-1, WINDOW_FRAMES)))
        self.end_frame += len(joined)
        self.rest = joined[whole:].copy()

    def _note(self, speech: NDArray[np.bool_]) -> None:
        """Add the runs of some windows of which the first begins at `end_frame`."""
        if not speech.any():
            return
        base = self.end_frame // WINDOW_FRAMES
        edges = np.flatnonzero(np.diff(speech, prepend=False, append=False)) + base
        self.runs.extend(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))

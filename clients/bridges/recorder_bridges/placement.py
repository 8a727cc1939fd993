"""Where the audio of a sender belongs on the recording's time line, in frames of the sender's own rate."""

from dataclasses import dataclass

TOLERANCE_MS = 60
SETTLE_MS = 250
FRAME_BYTES = 2


@dataclass(frozen=True, slots=True)
class Placed:
    """Samples and the frame at which they begin."""

    start_frame: int
    payload: bytes


class ArrivalPlacement:
    """Places linear samples that carry no time of their own by when they arrive.

    Samples follow each other while the sender keeps up. A sender that is late was either silent, or held up on the way:
    then a burst follows that makes up for it. So late samples are held for 250 ms, and only what they are late by at
    the least in that time becomes silence. Samples that come early move the beginning, as they cannot have been heard
    before they were spoken.

    Source: the minimum filter of arrival delays, as in jitter buffers; G.1020 (07/2006), clause 6, names the delay
    variation relative to the minimum.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        """Begin at frame 0 with the first samples.

        Args:
            sample_rate_hz: Rate of the samples.
        """
        self._rate_hz = sample_rate_hz
        self._tolerance = sample_rate_hz * TOLERANCE_MS // 1000
        self._settle_s = SETTLE_MS / 1000
        self._began_s: float | None = None
        self._next_frame = 0
        self._rest = b""
        self._held = bytearray()
        self._held_since_s = 0.0
        self._least_late = 0

    def push(self, payload: bytes, now_s: float) -> list[Placed]:
        """Take samples that have just arrived, any number of bytes, and give those whose place is known.

        Args:
            payload: 16 bit samples; half a sample at the end waits for its other half.
            now_s: The monotonic clock.
        """
        placed = self.settle(now_s)
        data = self._rest + payload
        whole = len(data) - len(data) % FRAME_BYTES
        samples, self._rest = data[:whole], data[whole:]
        if not samples:
            return placed
        late = self._late(len(self._held) + len(samples), now_s)
        if not self._held:
            self._held_since_s, self._least_late = now_s, late
        self._held += samples
        self._least_late = min(self._least_late, late)
        return placed + (self._place(0) if self._least_late <= self._tolerance else [])

    def settle(self, now_s: float) -> list[Placed]:
        """Give what was held long enough: after as much silence as it was late by at the least."""
        if not self._held or now_s - self._held_since_s < self._settle_s:
            return []
        return self._place(self._least_late)

    def flush(self) -> list[Placed]:
        """Give what is held: nothing more will come. Half a sample is dropped."""
        return self._place(self._least_late) if self._held else []

    def frame_at(self, now_s: float) -> int:
        """Give the frame of this moment: what arrives now ends here."""
        if self._began_s is None:
            return 0
        return max(self._next_frame, round((now_s - self._began_s) * self._rate_hz))

    def end_frame(self, now_s: float) -> int:
        """Give the frame at which a call ends that is hung up now: after its last samples, or the silence since."""
        now_frame = self.frame_at(now_s)
        return now_frame if now_frame - self._next_frame > self._tolerance else self._next_frame

    def _late(self, held_bytes: int, now_s: float) -> int:
        """Give by how many frames the newest sample came later than it would have without any delay."""
        end_s = (self._next_frame + held_bytes // FRAME_BYTES) / self._rate_hz
        if self._began_s is None or now_s - end_s < self._began_s:
            self._began_s = now_s - end_s
        return round((now_s - self._began_s - end_s) * self._rate_hz)

    def _place(self, silent_frames: int) -> list[Placed]:
        start_frame = self._next_frame + silent_frames
        payload, self._held = bytes(self._held), bytearray()
        self._next_frame = start_frame + len(payload) // FRAME_BYTES
        return [Placed(start_frame, payload)]


class TimestampPlacement:
    """Places samples that carry the sender's own time; small disagreements with the running count are jitter.

    Attributes:
        next_frame: The frame after the last one placed.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        """Begin at frame 0.

        Args:
            sample_rate_hz: Rate of the samples.
        """
        self.next_frame = 0
        self._rate_hz = sample_rate_hz
        self._tolerance = sample_rate_hz * TOLERANCE_MS // 1000

    def place(self, payload: bytes, frames: int, timestamp_ms: int | None) -> Placed:
        """Place a run of samples.

        Args:
            payload: The samples.
            frames: How many they are.
            timestamp_ms: When they begin; None follows the last ones.
        """
        start_frame = self.next_frame
        if timestamp_ms is not None and abs(timestamp_ms * self._rate_hz // 1000 - start_frame) > self._tolerance:
            start_frame = timestamp_ms * self._rate_hz // 1000
        self.next_frame = max(self.next_frame, start_frame + frames)
        return Placed(start_frame, payload)

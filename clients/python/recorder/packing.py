"""Packing what legs write into few messages: a message costs more than its bytes."""

from collections.abc import Iterator, Sequence

from recorder.v1.media_pb2 import Audio, AudioChunk
from recorder.v1.recording_pb2 import AUDIO_ENCODING_LINEAR16, Leg

MAX_CHUNK_BYTES = 65_536
RECORDING_RATE_HZ = 16_000


class Packer:
    """Collects the chunks of all legs until one leg holds `message_ms`, and keeps every leg's position.

    Consecutive chunks of a leg become one; a jump in its frames, or 64 KiB, begins another.
    """

    def __init__(self, legs: Sequence[Leg], message_ms: int) -> None:
        """Begin at frame 0 of every leg; others may be added.

        Raises:
            ValueError: If `message_ms` is not within 1 to 5000.
        """
        if not 1 <= message_ms <= 5_000:
            raise ValueError(f"message_ms is {message_ms}; 1 to 5000 are possible")
        self._message_ms = message_ms
        self._frame_bytes: dict[str, int] = {}
        self._rates_hz: dict[str, int] = {}
        self._due_bytes: dict[str, int] = {}
        self._next_frame: dict[str, int] = {}
        self._held: dict[str, list[tuple[int, bytearray]]] = {}
        self._due = False
        for leg in legs:
            self.add_leg(leg)

    def add_leg(self, leg: Leg, frame: int = 0) -> None:
        """Let a leg in; what is written of it begins at a frame."""
        frame_bytes = 2 if leg.encoding == AUDIO_ENCODING_LINEAR16 else 1
        self._frame_bytes[leg.leg_id] = frame_bytes
        self._rates_hz[leg.leg_id] = leg.sample_rate_hz
        self._due_bytes[leg.leg_id] = max(1, leg.sample_rate_hz * self._message_ms // 1000) * frame_bytes
        self._next_frame[leg.leg_id] = frame

    def remove_leg(self, leg_id: str) -> None:
        """Let a leg go; what is held of it must have been taken. What was taken can still be measured.

        Raises:
            ValueError: If the leg is unknown.
        """
        del self._next_frame[self._known(leg_id)], self._due_bytes[leg_id]

    @property
    def due(self) -> bool:
        """Whether a leg holds enough for a message."""
        return self._due

    @property
    def empty(self) -> bool:
        """Whether nothing is held."""
        return not self._held

    def position(self, leg_id: str) -> int:
        """Give the frame after the last one written of a leg, in the leg's own rate."""
        return self._next_frame[self._known(leg_id)]

    @property
    def furthest_frame(self) -> int:
        """The frame after the last one written of any leg, at 16 kHz."""
        return max((self.media_frame(leg_id, frame) for leg_id, frame in self._next_frame.items()), default=0)

    def media_frame(self, leg_id: str, frame: int) -> int:
        """Turn a position in a leg's own rate into one at 16 kHz, rounded down."""
        return frame * RECORDING_RATE_HZ // self._rates_hz[leg_id]

    def end_frame(self, chunk: AudioChunk) -> int:
        """Give the frame after a chunk's last one."""
        return chunk.start_frame + len(chunk.payload) // self._frame_bytes[chunk.leg_id]

    def pieces(self, leg_id: str, payload: bytes) -> Iterator[bytes]:
        """Cut a payload into pieces of at most one message.

        Raises:
            ValueError: If the leg is unknown or the payload is not a whole number of frames.
        """
        if len(payload) % self._frame_bytes[self._known(leg_id)]:
            raise ValueError(f"payload of leg {leg_id} has {len(payload)} bytes; a LINEAR16 frame has 2")
        piece_bytes = min(self._due_bytes[leg_id], MAX_CHUNK_BYTES)
        return (payload[start : start + piece_bytes] for start in range(0, len(payload), piece_bytes))

    def add(self, leg_id: str, payload: bytes, frame: int | None = None) -> None:
        """Hold a piece; without `frame` it follows the leg's last one."""
        start_frame = self.position(leg_id) if frame is None else frame
        held = self._held.setdefault(leg_id, [])
        follows = bool(held) and start_frame == self._next_frame[leg_id]
        if follows and len(held[-1][1]) + len(payload) <= MAX_CHUNK_BYTES:
            held[-1][1].extend(payload)
        else:
            held.append((start_frame, bytearray(payload)))
        self._next_frame[leg_id] = start_frame + len(payload) // self._frame_bytes[leg_id]
        self._due = self._due or sum(len(data) for _, data in held) >= self._due_bytes[leg_id]

    def take(self) -> Audio:
        """Give everything held as one message and hold nothing."""
        chunks = (
            AudioChunk(leg_id=leg_id, start_frame=start_frame, payload=bytes(data))
            for leg_id, held in self._held.items()
            for start_frame, data in held
        )
        audio = Audio(chunks=chunks)
        self._held, self._due = {}, False
        return audio

    def _known(self, leg_id: str) -> str:
        if leg_id not in self._next_frame:
            raise ValueError(f"leg {leg_id!r} is not one of this call's: {', '.join(self._next_frame)}")
        return leg_id

"""One leg, or one stay of a leg, as an input of a recording: where its sender's positions lie on the timeline."""

import itertools
from dataclasses import dataclass
from typing import NamedTuple

from recorder_service.audio.formats import LegFormat, Payload
from recorder_service.sessions.pauses import Pauses

_MOVES_KEPT = 32


class Part(NamedTuple):
    """A part of a chunk at its place.

    Attributes:
        start_frame: Leg frame of the recording.
        payload: Whole frames.
    """

    start_frame: int
    payload: Payload


@dataclass(frozen=True, slots=True)
class Move:
    """From a sender's frame on, a leg is moved by some frames more.

    Attributes:
        media_frame: The sender's first frame that is moved; those taken out begin here.
        place_frame: Where that frame would have lain without the move.
        by_frames: How far, in leg frames; negative takes that many frames out.
    """

    media_frame: int
    place_frame: int
    by_frames: int


class Leg:
    """A stay and its place on the timeline.

    Attributes:
        index: Its place in the recording's list of stays.
        leg_id: The leg's name.
        track: The name of its track; of its first stay, the leg's name.
        format: How its payloads are encoded.
        channel: Its channel in the file.
        feed: The stream it is on.
        end_on_exit: Whether its leaving ends the recording.
        joined_frame: Where it joined, in recording frames.
        left_frame: Where it left; None while it is there.
        mutes: When it was muted.
        moved: Whether its positions differ from the sender's.
        shift_frames: By how much what comes now is moved, in leg frames.
        settled_frame: The sender's frame from which on that is all there is to it: a whole chunk goes to one place.
    """

    __slots__ = (
        "_moves",
        "_offset_frames",
        "channel",
        "end_on_exit",
        "feed",
        "format",
        "index",
        "joined_frame",
        "left_frame",
        "leg_id",
        "moved",
        "mutes",
        "settled_frame",
        "shift_frames",
        "track",
    )

    def __init__(
        self,
        index: int,
        leg_id: str,
        leg_format: LegFormat,
        channel: int,
        *,
        track: str = "",
        feed: int = 0,
        offset_frames: int = 0,
        joined_frame: int = 0,
        end_on_exit: bool = False,
    ) -> None:
        """Take a stay; `offset_frames` is where the sender's position 0 lies, in leg frames of the recording."""
        self.index = index
        self.leg_id = leg_id
        self.track = track or leg_id
        self.format = leg_format
        self.channel = channel
        self.feed = feed
        self.end_on_exit = end_on_exit
        self.joined_frame = joined_frame
        self.left_frame: int | None = None
        self.mutes = Pauses()
        self._offset_frames = offset_frames
        self._moves: list[Move] = []
        self.moved = offset_frames != 0
        self.shift_frames = offset_frames
        self.settled_frame = max(0, -offset_frames)

    def place(self, media_frame: int) -> int:
        """Turn a sender's position into a leg frame of the recording; it may be negative."""
        if media_frame >= self.settled_frame:
            return media_frame + self.shift_frames
        place = media_frame + self._offset_frames
        for move in self._moves:
            if media_frame >= move.media_frame:
                place += move.by_frames
        return place

    def recording_frame(self, media_frame: int) -> int:
        """Turn a sender's position into a recording frame, not before the recording's first."""
        return max(0, self.format.recording_frame(self.place(media_frame)))

    def move(self, place_frame: int, by_frames: int) -> None:
        """Move what is to come: from a leg frame of the recording on, which nothing was placed at or after."""
        media_frame = place_frame - self.shift_frames
        self._moves.append(Move(media_frame, place_frame, by_frames))
        self.shift_frames += by_frames
        self.settled_frame = max(self.settled_frame, media_frame + max(0, -by_frames))
        if len(self._moves) > _MOVES_KEPT:
            # Audio that is so late as to come before it lies a fraction of a millisecond off.
            self._offset_frames += self._moves.pop(0).by_frames
        self.moved = True

    def parts(self, media_frame: int, payload: Payload) -> list[Part]:
        """Say where a chunk goes; what lies before the recording, or is taken out by a move, is left away."""
        size = self.format.bytes_per_frame
        end_frame = media_frame + len(payload) // size
        cuts = [media_frame, end_frame]
        for move in self._moves:
            cuts += (move.media_frame, move.media_frame + max(0, -move.by_frames))
        cuts = sorted({cut for cut in cuts if media_frame <= cut <= end_frame})
        view = memoryview(payload)
        found: list[Part] = []
        for first, last in itertools.pairwise(cuts):
            if not self._is_taken_out(first):
                piece = view[(first - media_frame) * size : (last - media_frame) * size]
                found += self._on_timeline(self.place(first), piece)
        return found

    def taken_out(self, media_frame: int, payload: Payload) -> list[Part]:
        """Give the frames of a chunk that a move takes out, each run with the place of that move."""
        size = self.format.bytes_per_frame
        end_frame = media_frame + len(payload) // size
        return [
            Part(move.place_frame, payload[(move.media_frame - media_frame) * size :][: -move.by_frames * size])
            for move in self._moves
            if move.by_frames < 0 and media_frame <= move.media_frame <= end_frame + move.by_frames
        ]

    def _is_taken_out(self, media_frame: int) -> bool:
        return any(move.media_frame <= media_frame < move.media_frame - move.by_frames for move in self._moves)

    def _on_timeline(self, place: int, payload: Payload) -> list[Part]:
        early = max(0, -place) * self.format.bytes_per_frame
        return [Part(max(0, place), payload[early:])] if early < len(payload) else []

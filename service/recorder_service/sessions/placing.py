"""From chunks, as the journal has them, to their places on the timeline."""

from collections.abc import Sequence

from recorder_service.sessions.audio_path import AudioPath
from recorder_service.sessions.entries import Chunk
from recorder_service.sessions.leg import Leg
from recorder_service.sessions.lost_stretches import LostStretches
from recorder_service.sessions.media_clock import MediaClock
from recorder_service.sessions.roster import Roster


class Placing:
    """Places the chunks of one recording, new ones and replayed ones alike."""

    def __init__(self, path: AudioPath, roster: Roster, lost: LostStretches, clock: MediaClock) -> None:
        """Place into `path`, by what `roster` knows of each leg."""
        self._path = path
        self._roster = roster
        self._lost = lost
        self._clock = clock

    def place(self, chunks: Sequence[Chunk]) -> None:
        """Place the chunks of one message, which were checked."""
        path, stays = self._path, self._roster.stays
        tracks, put = path.tracks, path.put
        for chunk in chunks:
            index, start_frame, payload = chunk
            leg = stays.get(index)
            # Damage may have taken the entry that says whose audio this is.
            if leg is not None:
                if self._lost.open:
                    self._lost.heard(leg.track, leg.recording_frame(start_frame))
                if leg.moved:
                    self._move(leg, chunk)
                else:
                    put(tracks[leg.track], start_frame, payload)
        path.collect()
        self._clock.saw(path.furthest_frame)

    def _move(self, leg: Leg, chunk: Chunk) -> None:
        if chunk.start_frame >= leg.settled_frame:
            # Nearly every chunk: moves are rare, and one lies behind it.
            self._path.place(leg.track, chunk.start_frame + leg.shift_frames, chunk.payload)
            return
        for frame, payload in leg.taken_out(chunk.start_frame, chunk.payload):
            self._path.take_out(leg.track, frame, payload)
        for frame, payload in leg.parts(chunk.start_frame, chunk.payload):
            self._path.place(leg.track, frame, payload)

"""Who is in a recording: its streams and the stays of its legs, as the entries of the journal say, in their order.

Whether an entry is new or replayed makes no difference here, so that a replay comes to the same.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

from recorder_service.audio.formats import Encoding, LegFormat
from recorder_service.audio.slips import CELL_FRAMES
from recorder_service.audio.steps import PathLeg
from recorder_service.audio.tracks import LegStatistics
from recorder_service.domain.channels import channel_of
from recorder_service.domain.recording import (
    LegRole,
    LegStay,
    MutedInterval,
    PauseMode,
    RecordedLeg,
    Recording,
    RecordingKind,
)
from recorder_service.errors import BadInput, Reason
from recorder_service.sessions.audio_path import AudioPath
from recorder_service.sessions.leg import Leg
from recorder_service.sessions.membership import CloseFeed, Join, Leave, Membership, Mute, Observe, OpenFeed, Wait
from recorder_service.sessions.sender_clock import STEP_FRAMES, Observation, SenderClock
from recorder_service.sessions.story import Story

AUDIO_END = -1
"""In place of a frame: where the leg's audio ends."""


@dataclass(slots=True)
class Source:
    """A stream, as the recording knows it.

    Attributes:
        origin_frame: Where its position 0 lies, in recording frames.
        followed: Whether its clock is followed.
        open: Whether it was not closed.
        waiting: Whether its legs are waited for however late they are.
        legs: Those that are there, by id.
    """

    stream_id: str
    origin_frame: int
    followed: bool
    clock: SenderClock = field(default_factory=SenderClock)
    open: bool = True
    waiting: bool = False
    legs: dict[str, Leg] = field(default_factory=dict)


class Roster:
    """The streams and stays of one recording.

    Attributes:
        sources: The streams by their number; a call has one, number 0.
        stays: All stays by their index; damage may leave some out.
    """

    def __init__(self, recording: Recording, path: AudioPath) -> None:
        """Take over the legs that a call has from its begin; a conference begins without."""
        self._path = path
        self._channels = recording.options.channel_count
        self.sources: dict[int, Source] = {}
        self.stays: dict[int, Leg] = {}
        if recording.kind is RecordingKind.CALL:
            self.sources[0] = Source("", 0, followed=False)
            for index, leg in enumerate(recording.legs):
                self._add(Leg(index, leg.leg_id, path.legs[leg.leg_id].format, leg.channel))

    def find(self, feed: int, leg_id: str) -> Leg:
        """Return the leg of a stream.

        Raises:
            BadInput: UNKNOWN_LEG.
        """
        leg = self.sources[feed].legs.get(leg_id)
        if leg is None:
            raise unknown_leg(leg_id)
        return leg

    def legs(self, feed: int) -> Mapping[str, Leg]:
        """Return the legs of a stream that are there, by id."""
        return self.sources[feed].legs

    @property
    def present(self) -> list[Leg]:
        """The legs that are there."""
        return [leg for source in self.sources.values() for leg in source.legs.values()]

    def reach(self, feed: int) -> int:
        """Say up to which recording frame a stream has brought audio; before any, where its position 0 lies."""
        source = self.source(feed)
        return max(source.origin_frame, *self._ends(source.legs.values()))

    def next_index(self) -> int:
        """Return the index of the next stay."""
        return max(self.stays, default=-1) + 1

    def channel(self, leg_id: str) -> int:
        """Return the channel of a leg: the one it had, or the next in the order of joining."""
        had = next((stay.channel for stay in self.stays.values() if stay.leg_id == leg_id), None)
        return channel_of(len({stay.leg_id for stay in self.stays.values()}), self._channels) if had is None else had

    def format_of(self, leg_id: str) -> LegFormat | None:
        """Return the format that a leg had when it was there before."""
        return next((stay.format for stay in self.stays.values() if stay.leg_id == leg_id), None)

    def source(self, feed: int) -> Source:
        """Return a stream; one whose opening was lost to damage is made up, without a name to resume it by."""
        return self.sources.setdefault(feed, Source("", 0, followed=False))

    def apply(self, entry: Membership) -> None:
        """Do what an entry says. What it needs may be lost to damage; then it does nothing."""
        match entry:
            case OpenFeed():
                self.sources[entry.feed] = Source(entry.stream_id, entry.origin_frame, entry.followed)
            case CloseFeed():
                self.source(entry.feed).open = False
            case Join():
                self._join(entry)
            case Leave():
                self._leave(entry)
            case Mute():
                self._mute(entry)
            case Observe():
                self._observe(entry)
            case Wait():
                self._wait(entry)

    def frame_of(self, leg: Leg, frame: int) -> int:
        """Return a recording frame; for AUDIO_END where the leg's audio ends, not before it joined."""
        if frame != AUDIO_END:
            return max(leg.joined_frame, frame)
        return max(leg.joined_frame, leg.format.recording_frame_ceil(self._path.leg_end(leg.track)))

    def furthest_left(self) -> int:
        """Say where the last leg that has left did so, in recording frames."""
        return max((leg.left_frame or 0 for leg in self.stays.values()), default=0)

    def news(self, entry: Membership, story: Story) -> list[Callable[[], object]]:
        """Return what is to be told of an entry that was applied."""
        leg = None if isinstance(entry, OpenFeed | CloseFeed | Observe | Wait) else self.stays.get(entry.leg)
        match entry:
            case Join() if leg is not None:
                return [partial(story.joined, leg, self)]
            case Leave() if leg is not None:
                return [partial(story.left, leg, self)]
            case Mute() if leg is not None and leg.mutes.intervals:
                return [partial(story.muted, leg, self)]
        return []

    def recorded(
        self, heard: Mapping[str, LegStatistics] | None = None, end_frame: int | None = None
    ) -> tuple[RecordedLeg, ...]:
        """Return the channel map of a conference: as it stands, or at the end with what was received of each leg."""
        by_leg: dict[str, list[Leg]] = {}
        for stay in self.stays.values():
            by_leg.setdefault(stay.leg_id, []).append(stay)
        found = self._path.statistics if heard is None else heard
        return tuple(self._recorded(stays, found, end_frame) for stays in by_leg.values())

    def _recorded(self, stays: list[Leg], heard: Mapping[str, LegStatistics], end_frame: int | None) -> RecordedLeg:
        last = stays[-1]
        each = [heard[stay.track] for stay in stays]
        sounding = [found for found in each if found.frames]
        return RecordedLeg(
            last.leg_id,
            LegRole.PARTICIPANT,
            last.format.encoding.value,
            last.format.sample_rate_hz,
            last.channel,
            frames=sum(found.frames for found in each),
            gap_frames=sum(found.gap_frames for found in each),
            late_frames=sum(found.late_frames for found in each),
            repeated_frames=sum(found.repeated_frames for found in each),
            first_frame=min((found.first_frame for found in sounding), default=0),
            end_frame=max((found.end_frame for found in sounding), default=0),
            stays=tuple(_stay(stay, end_frame) for stay in stays),
            drift_ppb=self.source(last.feed).clock.drift_ppb,
        )

    def _add(self, leg: Leg) -> None:
        self.stays[leg.index] = leg
        self.source(leg.feed).legs[leg.leg_id] = leg

    def _join(self, entry: Join) -> None:
        source = self.source(entry.feed)
        leg_format = LegFormat(Encoding[entry.encoding], entry.sample_rate_hz)
        # Names of legs hold no spaces: no stay can be taken for another leg.
        track = entry.leg_id if entry.leg_id not in self._path.legs else f"{entry.leg_id} {entry.leg}"
        leg = Leg(
            entry.leg,
            entry.leg_id,
            leg_format,
            entry.channel,
            track=track,
            feed=entry.feed,
            offset_frames=leg_format.leg_frame(source.origin_frame + source.clock.shift_frames),
            joined_frame=entry.frame,
            end_on_exit=entry.end_on_exit,
        )
        if entry.muted:
            leg.mutes.begin(entry.frame, PauseMode.SILENCE)
        self._path.add_leg(PathLeg(track, leg_format, (entry.channel,)), entry.frame)
        self._add(leg)
        if source.waiting:
            self._path.hold_leg(track, held=True)

    def _leave(self, entry: Leave) -> None:
        leg = self.stays.get(entry.leg)
        if leg is None or leg.left_frame is not None:
            return
        leg.left_frame = self.frame_of(leg, entry.frame)
        if leg.mutes.active:
            leg.mutes.end(leg.left_frame)
        self.source(leg.feed).legs.pop(leg.leg_id, None)
        self._path.end_leg(leg.track, leg.left_frame)

    def _mute(self, entry: Mute) -> None:
        leg = self.stays.get(entry.leg)
        if leg is None or leg.mutes.active is entry.muted:
            return
        frame = self.frame_of(leg, entry.frame)
        if entry.muted:
            leg.mutes.begin(frame, PauseMode.SILENCE)
        else:
            leg.mutes.end(frame)

    def _wait(self, entry: Wait) -> None:
        source = self.source(entry.feed)
        source.waiting = entry.waiting
        for leg in source.legs.values():
            self._path.hold_leg(leg.track, held=entry.waiting)

    def _observe(self, entry: Observe) -> None:
        source = self.source(entry.feed)
        lateness = entry.clock_frame - source.origin_frame - entry.media_frame
        steps = source.clock.observe(Observation(entry.clock_frame, lateness))
        if steps:
            self._slip(source, abs(steps), STEP_FRAMES if steps > 0 else -STEP_FRAMES)

    def _slip(self, source: Source, count: int, step_frames: int) -> None:
        """Move a stream's legs, step by step, in cells that nothing was placed in or after."""
        cell = -(-max(self._path.closed_frame, *self._ends(source.legs.values())) // CELL_FRAMES)
        cell = max(cell, source.clock.next_cell)
        for at in range(cell, cell + count):
            middle = at * CELL_FRAMES + CELL_FRAMES // 2
            shift = source.clock.shift_frames
            for leg in source.legs.values():
                by = leg.format.leg_frame(shift + step_frames) - leg.format.leg_frame(shift)
                place = leg.format.leg_frame(middle)
                leg.move(place, by)
                self._path.slip(leg.track, place, by)
            source.clock.shift_frames = shift + step_frames
        source.clock.next_cell = cell + count

    def _ends(self, legs: Iterable[Leg]) -> list[int]:
        return [0, *(leg.format.recording_frame_ceil(self._path.leg_end(leg.track)) for leg in legs)]


def unknown_leg(leg_id: str) -> BadInput:
    """Make the refusal of a leg that is not there."""
    message = f"leg {leg_id!r} is not part of this stream; name it when opening or joining"
    return BadInput(Reason.UNKNOWN_LEG, message, field="leg_id", value=leg_id)


def _stay(leg: Leg, end_frame: int | None) -> LegStay:
    muted = tuple(MutedInterval(interval.start_frame, interval.end_frame) for interval in leg.mutes.intervals)
    stay = LegStay(leg.joined_frame, leg.left_frame, muted)
    return stay if end_frame is None else _cut(stay, end_frame)


def _cut(stay: LegStay, end_frame: int) -> LegStay:
    """End a stay where the recording ended, if it went on or was to end later."""

    def until(frame: int | None) -> int:
        return end_frame if frame is None else min(frame, end_frame)

    muted = tuple(
        MutedInterval(interval.start_frame, until(interval.end_frame))
        for interval in stay.muted
        if interval.start_frame < end_frame
    )
    return LegStay(min(stay.joined_frame, end_frame), until(stay.left_frame), muted)

"""What is told of a recording: its value as it stands, and the facts of it on their way to the catalog, in order."""

import asyncio
from dataclasses import replace
from functools import partial
from typing import Protocol

from recorder_service.domain.event import EventType, KeyPress, LegChange
from recorder_service.domain.recording import PauseInterval, RecordedLeg, Recording, RecordingState
from recorder_service.sessions.facts import Facts
from recorder_service.sessions.leg import Leg
from recorder_service.sessions.surroundings import Background

RUNNING = frozenset({RecordingState.RECORDING, RecordingState.PAUSED})


class Channels(Protocol):
    """Knows the legs of a recording."""

    def recorded(self) -> tuple[RecordedLeg, ...]:
        """Return the channel map."""


class Story:
    """Belongs to the event loop.

    Attributes:
        recording: As it stands now.
    """

    def __init__(self, recording: Recording, facts: Facts, background: Background) -> None:
        """Go on from `recording`, which is in the catalog already."""
        self.recording = recording
        self._facts = facts
        self._background = background
        self._id = recording.recording_id

    @property
    def facts(self) -> Facts:
        """The way to the catalog."""
        return self._facts

    def pressed(self, press: KeyPress, sequence: int, feed: int) -> asyncio.Task[None]:
        """Tell a key press."""
        return self._background.spawn(self._facts.pressed(press, sequence, feed), name=f"dtmf:{self._id}")

    def turned(self, intervals: tuple[PauseInterval, ...]) -> asyncio.Task[None]:
        """Tell that a pause began or ended: the last one."""
        last = intervals[-1]
        # Numbered, not named by frame: a pause may begin where an empty one before it began.
        state, event, fact = (
            (RecordingState.PAUSED, EventType.RECORDING_PAUSED, f"paused:{len(intervals)}")
            if last.end_frame is None
            else (RecordingState.RECORDING, EventType.RECORDING_RESUMED, f"resumed:{len(intervals)}")
        )
        self.recording = replace(self.recording, state=state, pauses=intervals)
        return self._tell(event, fact, None)

    def joined(self, leg: Leg, channels: Channels) -> asyncio.Task[None]:
        """Tell that a leg joined."""
        return self._leg(EventType.LEG_JOINED, f"leg:{leg.index}:joined", leg, leg.joined_frame, channels)

    def left(self, leg: Leg, channels: Channels) -> asyncio.Task[None]:
        """Tell that a leg left."""
        return self._leg(EventType.LEG_LEFT, f"leg:{leg.index}:left", leg, leg.left_frame or 0, channels)

    def muted(self, leg: Leg, channels: Channels) -> asyncio.Task[None]:
        """Tell that a leg was muted or unmuted: the last time."""
        intervals = leg.mutes.intervals
        last, number = intervals[-1], len(intervals)
        if last.end_frame is None:
            return self._leg(EventType.LEG_MUTED, f"leg:{leg.index}:muted:{number}", leg, last.start_frame, channels)
        return self._leg(EventType.LEG_UNMUTED, f"leg:{leg.index}:unmuted:{number}", leg, last.end_frame, channels)

    def _leg(self, event: EventType, fact: str, leg: Leg, frame: int, channels: Channels) -> asyncio.Task[None]:
        self.recording = replace(self.recording, legs=channels.recorded())
        return self._tell(event, fact, LegChange(leg.leg_id, frame, leg.channel))

    def _tell(self, event: EventType, fact: str, leg: LegChange | None) -> asyncio.Task[None]:
        tell = partial(self._facts.changed, self.recording, event, fact, expect=RUNNING, leg=leg)

        async def told() -> None:
            await tell()

        return self._background.spawn(told(), name=f"tell:{self._id}")

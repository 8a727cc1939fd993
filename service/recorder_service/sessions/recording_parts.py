"""What a live recording is made of, for the modules that share it."""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from recorder_service.domain.recording import RecordedLeg, Recording, RecordingKind
from recorder_service.sessions import entries
from recorder_service.sessions.audio_path import AudioPath
from recorder_service.sessions.ended_recording import summed_up
from recorder_service.sessions.facts import Facts
from recorder_service.sessions.feed import Feed
from recorder_service.sessions.intake import Intake
from recorder_service.sessions.key_presses import KeyPresses
from recorder_service.sessions.lost_stretches import LostStretches
from recorder_service.sessions.media_clock import MediaClock
from recorder_service.sessions.pausing import Pausing
from recorder_service.sessions.placing import Placing
from recorder_service.sessions.pressure import Pressure
from recorder_service.sessions.render_queue import RenderQueue
from recorder_service.sessions.roster import Roster
from recorder_service.sessions.rule_watch import RuleWatch
from recorder_service.sessions.stop_rules import StopRules
from recorder_service.sessions.story import Story
from recorder_service.sessions.surroundings import Surroundings


@dataclass(frozen=True, slots=True)
class Acts:
    """What the parts ask the recording to do.

    Attributes:
        write: Gives an entry to the journal.
        on_ended: The audio ended by a rule.
        on_limit: The longest time has passed.
        on_silence: Silence is due at a frame.
    """

    write: Callable[[entries.Entry], int]
    on_ended: Callable[[], None]
    on_limit: Callable[[], None]
    on_silence: Callable[[int], None]


@dataclass(frozen=True, slots=True)
class RecordingParts:
    """The parts of one recording.

    Attributes:
        recording_id: Its id.
        write: Gives an entry to the journal.
        feeds: The streams that feed it, by number.
    """

    recording_id: UUID
    path: AudioPath
    rules: StopRules
    story: Story
    roster: Roster
    clock: MediaClock
    watch: RuleWatch
    pausing: Pausing
    intake: Intake
    placing: Placing
    queue: RenderQueue
    pressure: Pressure
    keys: KeyPresses
    lost: LostStretches
    around: Surroundings
    write: Callable[[entries.Entry], int]
    feeds: dict[int, Feed]

    def received(self, end_frame: int | None = None) -> tuple[RecordedLeg, ...]:
        """Return the legs with what was received of each; `end_frame` is where the recording ended, None if it runs."""
        heard, recording = self.path.statistics, self.story.recording
        if recording.kind is RecordingKind.CALL:
            return summed_up(recording.legs, heard)
        return self.roster.recorded(heard, end_frame)


def assemble(  # noqa: PLR0917 - what a recording is given, in its order
    recording: Recording,
    path: AudioPath,
    rules: StopRules,
    facts: Facts,
    around: Surroundings,
    feeds: dict[int, Feed],
    acts: Acts,
) -> RecordingParts:
    """Build the parts of a recording that is in the catalog already."""
    story, roster = Story(recording, facts, around.background), Roster(recording, path)
    clock, lost = MediaClock(), LostStretches()
    queue = RenderQueue(recording.recording_id, path, around.workers, on_ended=acts.on_ended)
    watch = RuleWatch(rules, clock, on_limit=acts.on_limit, on_silence=acts.on_silence)
    pausing = Pausing(path=path, clock=clock, watch=watch, story=story, around=around, feeds=feeds, write=acts.write)
    return RecordingParts(
        recording_id=recording.recording_id,
        path=path,
        rules=rules,
        story=story,
        roster=roster,
        clock=clock,
        watch=watch,
        pausing=pausing,
        intake=Intake(path, roster, pausing.pauses, clock),
        placing=Placing(path, roster, lost, clock),
        queue=queue,
        pressure=Pressure(queue, around.journal, story),
        keys=KeyPresses(),
        lost=lost,
        around=around,
        write=acts.write,
        feeds=feeds,
    )

"""Resuming, as a model: whatever happens to the line and the server, no request is lost, doubled or made up."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.robustness.planted import replace
from tests.robustness.report import Result, Scenario
from tests.robustness.resume_node import Ground, Line, Node

from recorder_service.domain.event import KeyPress
from recorder_service.domain.recording import PauseMode, Recording, RecordingState, StopReason
from recorder_service.errors import Conflict, Reason
from recorder_service.sessions.live_recording import LiveRecording

GOAL = "0 violations in 2,000 examples (quick: 60): acks grow and are in the journal, the file is the undisturbed one"
_FRAMES = 320


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk as it arrives."""

    leg_id: str
    start_frame: int
    payload: bytes


Message = Callable[[LiveRecording, int], Coroutine[Any, Any, None]]
"""Hands a request to a recording under its sequence."""


def audio(chunks: list[Chunk]) -> Message:
    """Audio of one or two legs."""

    async def send(live: LiveRecording, sequence: int) -> None:
        live.receive_audio(sequence, chunks)

    return send


def key(digit: str, frame: int) -> Message:
    """A key press."""

    async def send(live: LiveRecording, sequence: int) -> None:
        live.receive_key(sequence, KeyPress("caller", digit, frame, None))

    return send


def pause(mode: PauseMode, frame: int) -> Message:
    """A pause from a frame on."""

    async def send(live: LiveRecording, sequence: int) -> None:
        await live.pause(mode, frame, sequence)

    return send


def go_on(frame: int) -> Message:
    """The end of a pause at a frame."""

    async def send(live: LiveRecording, sequence: int) -> None:
        await live.resume(frame, sequence)

    return send


class ResumeModel(RuleBasedStateMachine):
    """One client, one recording, and everything that may come between them."""

    ground: Ground
    examples = 0
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).examples += 1
        self.node = Node(self.ground)
        self.sent: list[Message] = []
        self.line: Line | None = None
        self.told = 0
        self.checked = 0
        self.acknowledged = 0
        self.frame = 0
        self.live: LiveRecording

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do work on the loop, and let it look around afterwards."""
        type(self).steps += 1
        return self.ground.run(work)

    @initialize()
    def start(self) -> None:
        """Open the recording: that is request 1."""
        wanted = self.ground.recording()
        self.recording_id = wanted.recording_id
        self.live = self.run(self.node.recordings.start(wanted, self.ground.application))
        self._attach()

    # What the client sends; without a line it piles up and is sent after the resume

    @rule(legs=st.sampled_from([("caller",), ("callee",), ("caller", "callee")]), seed=st.integers(0, 1 << 32))
    def speak(self, legs: tuple[str, ...], seed: int) -> None:
        """Send 40 ms of audio of one leg or both."""
        dice = random.Random(seed)
        chunks = [
            Chunk("caller", self.frame // 2, dice.randbytes(_FRAMES))
            if name == "caller"
            else Chunk("callee", self.frame, dice.randbytes(4 * _FRAMES))
            for name in legs
        ]
        self.frame += 2 * _FRAMES
        self._say(audio(chunks))

    @rule(frames=st.integers(1, 40))
    def be_silent(self, frames: int) -> None:
        """Let media time pass without audio."""
        self.frame += frames * _FRAMES

    @rule(digit=st.sampled_from("05*#"))
    def press(self, digit: str) -> None:
        """Press a key."""
        self._say(key(digit, self.frame))

    @rule(mode=st.sampled_from(list(PauseMode)))
    def pause(self, mode: PauseMode) -> None:
        """Pause from here on."""
        self._say(pause(mode, self.frame))

    @rule()
    def go_on(self) -> None:
        """End the pause here."""
        self._say(go_on(self.frame))

    @precondition(lambda self: self.line is not None and self.sent)
    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        """Send a request a second time: nothing happens."""
        place = data.draw(st.integers(0, len(self.sent) - 1))
        before = self.live.next_sequence
        self.run(self.sent[place](self.live, place + 2))
        assert self.live.next_sequence == before, "a repeated request was counted"

    @precondition(lambda self: self.line is not None)
    @rule(by=st.integers(1, 5))
    def jump(self, by: int) -> None:
        """Leave requests out: refused, and the stream ends."""
        expected = self.live.next_sequence
        with pytest.raises(Conflict) as refused:
            self.run(audio([Chunk("callee", self.frame, bytes(640))])(self.live, expected + by))
        assert refused.value.reason is Reason.SEQUENCE_GAP
        assert refused.value.details["expected_sequence"] == str(expected)
        self.cut()

    # What happens to the line and the server

    @precondition(lambda self: self.line is not None)
    @rule()
    def hear(self) -> None:
        """Let the acknowledgements come."""
        assert self.line is not None
        self.run(_breathe())
        self._listen()

    @precondition(lambda self: self.line is not None)
    @rule()
    def lose_acks(self) -> None:
        """Lose the acknowledgements that are on their way."""
        assert self.line is not None
        self.run(_breathe())
        self.told = max([self.told, *self.line.acks])
        self.line.heard = len(self.line.acks)

    @precondition(lambda self: self.line is not None)
    @rule()
    def cut(self) -> None:
        """Cut the line."""
        assert self.line is not None
        self._listen()
        self.run(_call(partial(self.live.detach, self.line)))
        self.line = None

    @precondition(lambda self: self.line is None)
    @rule()
    def resume(self) -> None:
        """Come back on a new line."""
        self.live = self.run(self.node.recordings.resume(self.recording_id, self.ground.application.application_id))
        self._attach()
        self._replay()

    @precondition(lambda self: self.line is not None)
    @rule()
    def resume_twice(self) -> None:
        """Come back although the old line still stands: it is fenced off."""
        old = self.line
        assert old is not None
        self._listen()
        self.live = self.run(self.node.recordings.resume(self.recording_id, None))
        self._attach()
        assert old.error is not None
        assert old.error.reason is Reason.STREAM_REPLACED
        self.run(_call(partial(self.live.detach, old)))
        assert self.live.busy, "the fenced stream took the new one's place away"
        self._replay()

    @rule()
    def restart(self) -> None:
        """Kill the server and start it again."""
        if self.line is not None:
            self._listen()
        self.node.restart()
        self.line = None
        live = self.node.recordings.find(self.recording_id, None)
        assert live is not None, "the recording is gone"
        self.live = live

    # What must hold

    @invariant()
    def acks_grow_and_are_durable(self) -> None:
        """What was told grows, and the journal has it."""
        line = self.line
        if line is not None:
            assert line.acks == sorted(set(line.acks)), f"acknowledgements went back: {line.acks}"
            self.told = max([self.told, *line.acks])
        if self.told > self.checked:
            assert self.node.journaled(self.recording_id) >= self.told, "more was acknowledged than is in the journal"
            self.checked = self.told

    @invariant()
    def nothing_is_expected_that_was_dropped(self) -> None:
        """The next request is one that the client still has, or is about to send."""
        if hasattr(self, "live"):
            due = self.live.next_sequence
            assert self.told < due, f"request {due} is due again, {self.told} was acknowledged"
            assert due <= len(self.sent) + 2, f"request {due} is due, {len(self.sent) + 1} were sent"

    def teardown(self) -> None:
        """Hang up, and compare the file with that of an undisturbed call."""
        try:
            if hasattr(self, "live"):
                self._finish()
        finally:
            self.node.close()

    def _finish(self) -> None:
        if self.line is None:
            self.resume()
        found = self.run(self._hang_up(self.live))
        wanted = self.run(self._undisturbed())
        assert found.state is wanted.state, f"{found.state} instead of {wanted.state}"
        assert found.pauses == wanted.pauses
        if found.file is not None and wanted.file is not None:
            assert found.file.sha256 == wanted.file.sha256, "the file is another than that of an undisturbed call"
            assert [_heard(leg) for leg in found.legs] == [_heard(leg) for leg in wanted.legs]

    async def _undisturbed(self) -> Recording:
        live = await self.node.recordings.start(self.ground.recording(), self.ground.application)
        live.attach(Line(), 0.01)
        for sequence, message in enumerate(self.sent, 2):
            await message(live, sequence)
        return await self._hang_up(live)

    async def _hang_up(self, live: LiveRecording) -> Recording:
        assert live.next_sequence == len(self.sent) + 2
        live.stop(StopReason.HANGUP, self.frame, live.next_sequence)
        assert live.ending is not None
        await live.ending
        assert live.recording.state in {RecordingState.AVAILABLE, RecordingState.EMPTY}, live.recording
        return live.recording

    def _say(self, message: Message) -> None:
        self.sent.append(message)
        if self.line is not None:
            self.run(message(self.live, len(self.sent) + 1))

    def _attach(self) -> None:
        self.line = Line()
        self.run(_call(partial(self.live.attach, self.line, 0.001)))

    def _replay(self) -> None:
        """Send what the server is waiting for, as `opened` says; the rest the client has dropped."""
        due = self.live.next_sequence
        assert due > self.acknowledged, f"{due} is due, {self.acknowledged} was dropped"
        for sequence in range(due, len(self.sent) + 2):
            self.run(self.sent[sequence - 2](self.live, sequence))

    def _listen(self) -> None:
        assert self.line is not None
        for sequence in self.line.acks[self.line.heard :]:
            # A new line begins with what the client may know already.
            assert sequence >= self.acknowledged, f"{sequence} was acknowledged after {self.acknowledged}"
            self.acknowledged = sequence
        self.line.heard = len(self.line.acks)
        self.told = max(self.told, self.acknowledged)


def run(seed: int, quick: bool) -> Result:
    """Run the model."""
    return explore(seed, 60 if quick else 2_000)


def explore(seed: int, wanted: int) -> Result:
    """Run so many examples, or up to the first violation."""

    class Model(ResumeModel):
        ground = Ground()

    violation = ""
    settings = hypothesis.settings(
        max_examples=wanted,
        stateful_step_count=30,
        deadline=None,
        database=None,
        phases=(hypothesis.Phase.generate,),
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    try:
        run_state_machine_as_test(hypothesis.seed(seed)(Model), settings=settings)
    except Exception as error:  # noqa: BLE001 - every error in the model is a violation
        violation = "\n".join([repr(error), *getattr(error, "__notes__", ())])
    finally:
        Model.ground.close()
    figure = f"{Model.examples:,} examples, {Model.steps:,} steps: {'1 violation' if violation else '0 violations'}"
    ok = not violation and Model.examples >= wanted
    return Result("resume_model", figure, GOAL, ok=ok, details={"violation": violation, "seed": seed})


def acks_what_is_not_durable() -> None:
    """Planted bug: requests are acknowledged as soon as they are taken."""
    from recorder_service.sessions.acknowledgements import Acknowledgements

    replace(Acknowledgements, "durable", lambda self: self.next_sequence - 1)


def forgets_sequences_at_restart() -> None:
    """Planted bug: after a restart the server does not know which requests it has."""
    from recorder_service.sessions.acknowledgements import Acknowledgements

    replace(Acknowledgements, "restore", lambda self, sequence: None)


def takes_repeated_requests() -> None:
    """Planted bug: a request that is not the next one is taken all the same."""
    from recorder_service.sessions.acknowledgements import Acknowledgements

    replace(Acknowledgements, "is_due", lambda self, sequence: True)


SCENARIOS = (
    Scenario(
        "resume_model",
        GOAL,
        run,
        bugs=(
            f"{__name__}:acks_what_is_not_durable",
            f"{__name__}:forgets_sequences_at_restart",
            f"{__name__}:takes_repeated_requests",
        ),
    ),
)


def _heard(leg: Any) -> tuple[int, ...]:
    return leg.frames, leg.gap_frames, leg.late_frames, leg.repeated_frames, leg.first_frame, leg.end_frame


async def _call(act: Callable[[], object]) -> None:
    act()


async def _breathe() -> None:
    """Give the journal's thread and the timers a moment."""
    await asyncio.sleep(0.004)

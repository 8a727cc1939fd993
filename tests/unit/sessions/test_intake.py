"""What is checked before anything is written down."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.unit.sessions.recordings import a_recording

from recorder_service.audio.rendition import Rendition
from recorder_service.domain.recording import PauseMode
from recorder_service.errors import BadInput, Reason
from recorder_service.finishing.spool import SpoolDirectory
from recorder_service.sessions.audio_path import AudioPath
from recorder_service.sessions.entries import Chunk
from recorder_service.sessions.intake import Intake
from recorder_service.sessions.media_clock import MediaClock
from recorder_service.sessions.path_factory import PathFactory
from recorder_service.sessions.pauses import Pauses
from recorder_service.sessions.roster import Roster

HOUR_FRAMES = 3600 * 16_000


@dataclass(frozen=True)
class Piece:
    """A chunk as it arrives."""

    leg_id: str
    start_frame: int
    payload: bytes


@pytest.fixture
def path(tmp_path: Path) -> AudioPath:
    """The path of a caller at 8 kHz mu-law and a callee at 16 kHz linear."""
    factory = PathFactory(SpoolDirectory(tmp_path / "spool"), max_recording_s=100, render=Rendition)
    return factory.build(a_recording()).path


@pytest.fixture
def pauses() -> Pauses:
    """No pause yet."""
    return Pauses()


@pytest.fixture
def clock() -> MediaClock:
    """A clock at 0."""
    return MediaClock()


@pytest.fixture
def intake(path: AudioPath, pauses: Pauses, clock: MediaClock) -> Intake:
    """The checks."""
    return Intake(path, Roster(a_recording(), path), pauses, clock)


def test_chunks_get_the_place_of_their_leg(intake: Intake) -> None:
    """By the order of the recording's legs; payloads are not copied."""
    payload = bytes(320)
    kept = intake.audio([Piece("callee", 5, payload), Piece("caller", 7, b"\xff")])
    assert kept == [Chunk(1, 5, payload), Chunk(0, 7, b"\xff")]
    assert kept[0].payload is payload


@pytest.mark.parametrize(
    ("pieces", "reason"),
    [
        ([], Reason.INVALID_MESSAGE),
        ([Piece("caller", 0, b"\xff")] * 65, Reason.INVALID_MESSAGE),
        ([Piece("nobody", 0, b"")], Reason.UNKNOWN_LEG),
        ([Piece("callee", 0, b"\0")], Reason.PARTIAL_FRAME),
        ([Piece("caller", 0, bytes(64 * 1024 + 1))], Reason.INVALID_FIELD),
        ([Piece("caller", -1, b"\xff")], Reason.FRAME_OUT_OF_RANGE),
        ([Piece("caller", 2 * HOUR_FRAMES, b"\xff")], Reason.FRAME_OUT_OF_RANGE),
        ([Piece("caller", 0, b"\xff"), Piece("callee", 0, b"\0")], Reason.PARTIAL_FRAME),
    ],
)
def test_message_with_one_bad_chunk_is_refused_as_a_whole(
    intake: Intake, path: AudioPath, pieces: list[Piece], reason: Reason
) -> None:
    """Nothing of it is placed."""
    with pytest.raises(BadInput) as refused:
        intake.audio(pieces)
    assert refused.value.reason is reason
    assert {"field", "value"} <= refused.value.details.keys()
    assert path.furthest_frame == 0


def test_most_and_longest_chunks_are_taken(intake: Intake) -> None:
    """64 chunks of 64 KiB."""
    assert len(intake.audio([Piece("caller", n * 65_536, bytes(65_536)) for n in range(64)])) == 64


def test_paused_audio_is_dropped_and_tells_the_time(intake: Intake, pauses: Pauses, clock: MediaClock) -> None:
    """Without it, the end of the pause would be taken for too far ahead, or set too early."""
    pauses.begin(0, PauseMode.SILENCE)
    assert intake.audio([Piece("callee", 160_000, bytes(640))]) == []
    assert clock.now_frame() >= 160_320


def test_what_is_stamped_within_an_ended_pause_is_cut_out(intake: Intake, pauses: Pauses) -> None:
    """The rest keeps its place."""
    pauses.begin(100, PauseMode.CUT)
    pauses.end(200)
    kept = intake.audio([Piece("callee", 0, bytes(600))])
    assert [(chunk.start_frame, len(chunk.payload)) for chunk in kept] == [(0, 200), (200, 200)]


def test_position_of_a_leg_is_turned_into_one_of_the_recording(intake: Intake) -> None:
    """8 kHz to 16 kHz."""
    assert intake.recording_frame("caller", 8000) == 16_000
    assert intake.recording_frame("callee", 8000) == 8000
    with pytest.raises(BadInput):
        intake.recording_frame("nobody", 0)


@pytest.mark.parametrize("frame", [-1, -(2**63), HOUR_FRAMES + 160_000, 2**63 - 1])
def test_position_that_cannot_be_meant_is_refused(intake: Intake, frame: int) -> None:
    """Field and range are told."""
    with pytest.raises(BadInput) as refused:
        intake.check_frame(frame, "close.frame")
    assert refused.value.reason is Reason.FRAME_OUT_OF_RANGE
    assert refused.value.details == {"field": "close.frame", "value": str(frame)}


def test_position_up_to_an_hour_ahead_may_be_meant(intake: Intake) -> None:
    """Nothing has to be sent for silence."""
    intake.check_frame(0, "close.frame")
    intake.check_frame(HOUR_FRAMES, "close.frame")

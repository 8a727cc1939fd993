"""Where a sender's positions lie on the timeline, with an offset and after moves."""

from hypothesis import given
from hypothesis import strategies as st

from recorder_service.audio.formats import Encoding, LegFormat
from recorder_service.sessions.leg import Leg

MU_LAW = LegFormat(Encoding.MULAW, 8000)
LINEAR = LegFormat(Encoding.LINEAR16, 16_000)


def leg(offset: int = 0, leg_format: LegFormat = LINEAR) -> Leg:
    return Leg(0, "a", leg_format, 0, offset_frames=offset)


def test_leg_of_a_call_lies_where_it_says() -> None:
    """No offset, no moves: positions are those of the sender."""
    assert not leg().moved
    assert leg().place(1234) == 1234


def test_offset_moves_everything_and_what_lies_before_the_recording_is_left_away() -> None:
    """A stream that began before the recording brings its audio from the recording's begin on."""
    early = leg(-100)
    assert early.parts(0, bytes(200)) == []
    [part] = early.parts(50, bytes(range(200)))
    assert (part.start_frame, bytes(part.payload)) == (0, bytes(range(100, 200)))
    assert early.recording_frame(0) == 0


def test_move_later_leaves_a_hole_and_loses_nothing() -> None:
    """A chunk over the place is cut in two."""
    moved = leg(10)
    moved.move(110, 2)
    assert [(part.start_frame, len(part.payload) // 2) for part in moved.parts(50, bytes(200))] == [(60, 50), (112, 50)]
    assert moved.taken_out(50, bytes(200)) == []


def test_move_earlier_takes_frames_out_and_tells_them() -> None:
    """What is taken out is handed to whoever smooths the place."""
    moved = leg(10, MU_LAW)
    moved.move(110, -2)
    payload = bytes(range(100))
    parts = [(part.start_frame, bytes(part.payload)) for part in moved.parts(50, payload)]
    assert parts == [(60, payload[:50]), (110, payload[52:])]
    assert [(part.start_frame, bytes(part.payload)) for part in moved.taken_out(50, payload)] == [(110, payload[50:52])]


@given(st.lists(st.tuples(st.integers(1, 50), st.sampled_from([-3, -1, 1, 3])), max_size=60), st.integers(-50, 50))
def test_frames_never_overlap_and_keep_their_order(moves: list[tuple[int, int]], offset: int) -> None:
    """Whatever the moves: each frame of the sender has one place, later ones lie later, and only few are taken out."""
    moved, place = leg(offset, MU_LAW), 200
    for distance, by in moves[:32]:
        place += distance + 3
        moved.move(place, by)
    payload = bytes(index % 251 for index in range(4000))
    end = -(10**9)
    kept = 0
    for part in moved.parts(0, payload):
        assert part.start_frame >= max(0, end)
        end = part.start_frame + len(part.payload)
        kept += len(part.payload)
    taken = sum(-by for _, by in moves[:32] if by < 0)
    assert kept == 4000 - taken - max(0, -offset)


@given(
    st.lists(st.tuples(st.integers(1, 50), st.sampled_from([-3, -1, 1, 3])), max_size=40),
    st.integers(-50, 50),
    st.integers(0, 4000),
)
def test_chunk_from_the_settled_frame_on_goes_to_one_place(
    moves: list[tuple[int, int]], offset: int, further: int
) -> None:
    """A shift is all there is to it: nothing is cut, nothing taken out."""
    moved, place = leg(offset, MU_LAW), 200
    for distance, by in moves:
        place += distance + 3
        moved.move(place, by)
    start, payload = moved.settled_frame + further, bytes(range(200))
    [part] = moved.parts(start, payload)
    assert (part.start_frame, bytes(part.payload)) == (start + moved.shift_frames, payload)
    assert moved.taken_out(start, payload) == []
    assert moved.place(start) == start + moved.shift_frames

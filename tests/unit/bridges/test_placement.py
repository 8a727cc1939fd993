"""Where audio belongs: by arrival, and by the sender's own time."""

import pytest

from recorder_bridges.placement import SETTLE_MS, ArrivalPlacement, Placed, TimestampPlacement

RATE_HZ = 8_000
FRAME_S = 0.02
FRAMES = 160


def numbered(number: int) -> bytes:
    return number.to_bytes(2, "little") * FRAMES


def place(arrivals_s: list[float]) -> list[tuple[int, int]]:
    """Place frames of 20 ms that arrive at these times; gives start frame and number of each 20 ms that was placed."""
    placement, placed = ArrivalPlacement(RATE_HZ), []
    for number, arrived_s in enumerate(arrivals_s):
        placed += placement.push(numbered(number), arrived_s)
    placed += placement.flush()
    return [
        (piece.start_frame + at // 2, int.from_bytes(piece.payload[at : at + 2], "little"))
        for piece in placed
        for at in range(0, len(piece.payload), 2 * FRAMES)
    ]


def paced(first: int, count: int, late_s: float = 0.0) -> list[float]:
    return [100 + (number + 1) * FRAME_S + late_s for number in range(first, first + count)]


def contiguous(count: int) -> list[tuple[int, int]]:
    return [(number * FRAMES, number) for number in range(count)]


def test_paced_frames_follow_each_other() -> None:
    """Every frame is where it was spoken."""
    assert place(paced(0, 500)) == contiguous(500)


def test_jitter_leaves_no_gaps() -> None:
    """Frames that come up to 50 ms late change nothing."""
    jittered = [at_s + (number * 7 % 6) * 0.01 for number, at_s in enumerate(paced(0, 500))]
    assert place(sorted(jittered)) == contiguous(500)


def test_burst_after_a_stall_is_no_silence() -> None:
    """Half a second of frames that come at once were spoken one after the other."""
    stalled = [*paced(0, 50), *[100 + 1.5] * 25, *paced(75, 25)]
    assert place(stalled) == contiguous(100)


def test_silence_of_the_sender_is_a_gap_of_its_length() -> None:
    """After a second of nothing the frames stand a second later."""
    found = place([*paced(0, 50), *paced(50, 50, late_s=1.0)])
    assert found[:50] == contiguous(50)
    assert found[50:] == [((number + 50) * FRAMES, number) for number in range(50, 100)]


def test_silence_that_ends_in_a_stall_is_told_from_it() -> None:
    """One second of silence, then 100 ms of delay that the sender makes up for: the gap is one second."""
    after = paced(50, 50, late_s=1.0)
    held_up = [max(at_s, after[5] + 0.02) for at_s in after]
    found = place([*paced(0, 50), *held_up])
    assert found[50][0] == 100 * FRAMES


def test_frames_that_come_at_once_are_taken_as_they_are() -> None:
    """A sender that is faster than real time loses nothing."""
    assert place([100.0] * 200) == contiguous(200)


def test_late_beginning_is_corrected() -> None:
    """A first frame that was held up does not hide a later gap."""
    first_late = [100.52, *paced(1, 49)]
    found = place([max(at_s, 100.52) for at_s in first_late] + paced(50, 50, late_s=0.5))
    assert found[:50] == contiguous(50)
    assert found[50][0] == 75 * FRAMES


def test_lone_frame_after_silence_is_placed_after_the_settling_time() -> None:
    """It does not wait for another one."""
    placement = ArrivalPlacement(RATE_HZ)
    placement.push(numbered(0), 100.02)
    assert placement.push(numbered(1), 102.04) == []
    assert placement.settle(102.04 + SETTLE_MS / 1000 - 0.01) == []
    assert placement.settle(102.04 + SETTLE_MS / 1000) == [Placed(2 * RATE_HZ + FRAMES, numbered(1))]


@pytest.mark.parametrize("sizes", [[1] * 640, [319, 321], [640], [3, 637]])
def test_odd_sizes_lose_no_byte(sizes: list[int]) -> None:
    """Half a sample waits for its other half."""
    data, at, placed = bytes(range(256)) * 3, 0, []
    placement = ArrivalPlacement(RATE_HZ)
    for size in sizes:
        placed += placement.push(data[at : at + size], 100.0)
        at += size
    assert b"".join(piece.payload for piece in placed) == data[:640]


def test_end_is_where_the_samples_end_or_the_silence_after_them() -> None:
    """A hang-up right after the last frame adds nothing; one a second later keeps the second."""
    placement = ArrivalPlacement(RATE_HZ)
    assert placement.end_frame(100.0) == 0
    placement.push(numbered(0), 100.02)
    assert placement.end_frame(100.05) == FRAMES
    assert placement.end_frame(101.02) == RATE_HZ + FRAMES


def test_timestamps_within_the_tolerance_are_jitter() -> None:
    """A few milliseconds off leave the samples side by side."""
    placement = TimestampPlacement(RATE_HZ)
    found = [placement.place(b"x" * FRAMES, FRAMES, time_ms).start_frame for time_ms in (0, 25, 38, 61)]
    assert found == [0, FRAMES, 2 * FRAMES, 3 * FRAMES]


def test_timestamps_beyond_the_tolerance_are_places() -> None:
    """A jump is silence; no timestamp follows on; an old one goes where it says, and the count stays."""
    placement = TimestampPlacement(RATE_HZ)
    times_ms = (0, 1000, None, 200, None)
    found = [placement.place(b"x" * FRAMES, FRAMES, time_ms).start_frame for time_ms in times_ms]
    assert found == [0, 8000, 8160, 1600, 8320]

"""What ends a recording by itself, and which rule is named."""

from dataclasses import dataclass

import pytest

from recorder_service.domain.options import RecordOptions
from recorder_service.domain.recording import StopReason
from recorder_service.sessions.stop_rules import StopRules


@dataclass
class Gate:
    """What is known of silence: what the test says."""

    stop_frame: int | None = None
    deadline_frame: int | None = 48_000


@pytest.mark.parametrize(
    ("time_out_s", "max_recording_s", "limit_s", "reason"),
    [
        (None, 100, 100, StopReason.MAX_DURATION),
        (60, 100, 60, StopReason.TIMEOUT),
        (100, 100, 100, StopReason.TIMEOUT),
        (101, 100, 100, StopReason.MAX_DURATION),
    ],
)
def test_the_shorter_of_time_out_and_longest_recording_is_the_limit(
    time_out_s: int | None, max_recording_s: int, limit_s: int, reason: StopReason
) -> None:
    """Where both are the same, the caller's own counts."""
    rules = StopRules(
        RecordOptions(time_out_s=time_out_s), max_recording_s=max_recording_s, silence=Gate(deadline_frame=None)
    )
    assert rules.limit_frame == rules.next_frame == limit_s * 16_000
    assert rules.limit_reason is reason
    assert rules.silence_deadline_frame is None


def test_the_earlier_of_silence_and_limit_is_looked_at_next() -> None:
    """The deadline moves while somebody speaks."""
    gate = Gate()
    rules = StopRules(RecordOptions(time_out_s=5), max_recording_s=100, silence=gate)
    assert rules.next_frame == 48_000
    gate.deadline_frame = 90_000
    assert rules.next_frame == 80_000


@pytest.mark.parametrize("digit", "0123456789*#ABCD")
def test_only_its_key_ends_a_recording(digit: str) -> None:
    """And none where no key was asked for."""
    assert StopRules(RecordOptions(end_on_key="#"), max_recording_s=9, silence=Gate(deadline_frame=None)).ends_on(
        digit
    ) is (digit == "#")
    assert not StopRules(RecordOptions(), max_recording_s=9, silence=Gate(deadline_frame=None)).ends_on(digit)


@pytest.mark.parametrize(
    ("silent_frame", "ended_frame", "reason"),
    [
        (None, 1000, StopReason.HANGUP),
        (1001, 1000, StopReason.HANGUP),
        (1000, 1000, StopReason.SILENCE),
        (None, 48_000, StopReason.TIMEOUT),
        (47_999, 48_000, StopReason.SILENCE),
    ],
)
def test_rule_that_acted_at_or_before_the_end_is_the_reason(
    silent_frame: int | None, ended_frame: int, reason: StopReason
) -> None:
    """Hang-up is named only where no rule came first."""
    rules = StopRules(RecordOptions(time_out_s=3), max_recording_s=100, silence=Gate(silent_frame))
    assert rules.reason(ended_frame, StopReason.HANGUP) is reason

"""Which channel a leg gets."""

import pytest

from recorder_service.domain.channels import channel_of


@pytest.mark.parametrize(
    ("channels", "expected"), [(1, [0, 0, 0, 0, 0]), (2, [0, 1, 1, 1, 1]), (3, [0, 1, 2, 2, 2]), (32, [0, 1, 2, 3, 4])]
)
def test_legs_beyond_the_last_channel_share_it(channels: int, expected: list[int]) -> None:
    """Legs take channels by position, the rest goes into the last."""
    assert [channel_of(position, channels) for position in range(5)] == expected

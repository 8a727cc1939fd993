"""Sizes of parts and types of content."""

import pytest

from recorder_service.storage.s3_settings import MIB
from recorder_service.storage.s3_uploads import content_type, part_size


@pytest.mark.parametrize(
    ("size_bytes", "part_bytes"),
    [(9 * MIB, 8 * MIB), (10_000 * 8 * MIB, 8 * MIB), (10_000 * 8 * MIB + 1, 9 * MIB), (5 * MIB**2, 525 * MIB)],
)
def test_ten_thousand_parts_do(size_bytes: int, part_bytes: int) -> None:
    """Parts grow, by whole MiB, where there would be too many."""
    assert part_size(size_bytes, 8 * MIB) == part_bytes
    assert -(-size_bytes // part_bytes) <= 10_000


def test_content_type_follows_the_end_of_the_name() -> None:
    """The store tells it to whoever downloads."""
    assert content_type("a/b.mp3") == "audio/mpeg"
    assert content_type("a/b.wav") == "audio/wav"
    assert content_type("a/b") == "application/octet-stream"

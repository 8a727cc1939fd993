"""Names of downloads."""

import pytest

from recorder_service.storage.s3 import disposition


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("call 1.mp3", 'attachment; filename="call 1.mp3"'),
        ('a"; x="b', "attachment; filename=\"a__ x__b\"; filename*=UTF-8''a%22%3B%20x%3D%22b"),
        ("a\r\nSet-Cookie: b", "attachment; filename=\"a__Set-Cookie_ b\"; filename*=UTF-8''a%0D%0ASet-Cookie%3A%20b"),
        ("é", "attachment; filename=\"_\"; filename*=UTF-8''%C3%A9"),
    ],
)
def test_any_text_is_a_safe_file_name(name: str, header: str) -> None:
    """Nothing breaks out of the header."""
    assert disposition(name) == header

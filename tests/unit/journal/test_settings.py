"""The bounds of the settings."""

import pytest

from recorder_service.errors import Reason, StartupError
from recorder_service.journal import JournalSettings


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("commit_interval_s", -0.1),
        ("commit_interval_s", 2.0),
        ("segment_bytes", 1),
        ("group_bytes", 16 * 1024 * 1024),
        ("queue_bytes", 0),
        ("entry_bytes", 0),
        ("reserve_bytes", -1),
        ("retry_interval_s", 0.0),
    ],
)
def test_value_out_of_bounds_is_named(field: str, value: float) -> None:
    """The message has the field, the value and the bounds."""
    with pytest.raises(StartupError, match=rf"journal\.{field} is .*set it between") as caught:
        JournalSettings(**{field: value})  # type: ignore[arg-type]
    assert caught.value.reason is Reason.INVALID_CONFIGURATION


def test_defaults_are_in_bounds() -> None:
    """A journal needs no settings."""
    assert JournalSettings().commit_interval_s == 0.010

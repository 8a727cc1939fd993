"""Endpoints of webhooks."""

import pytest

from recorder_service.catalog.delivery_rows import origin


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("https://example.com/a?b", "https://example.com:443"),
        ("https://EXAMPLE.com:443", "https://example.com:443"),
        ("http://example.com/", "http://example.com:80"),
        ("http://[::1]:8080/x", "http://::1:8080"),
        ("https://example.com:99999/", "https://example.com:99999/"),
    ],
)
def test_endpoint_is_scheme_host_and_port(url: str, endpoint: str) -> None:
    """Spellings of one endpoint are one; a URL that cannot be read stands for itself."""
    assert origin(url) == endpoint

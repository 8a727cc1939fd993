import json
from urllib.parse import parse_qsl

import pytest
from tests.unit.webhooks.webhook_values import BODY, new_delivery

from recorder_service.catalog.delivery_rows import origin
from recorder_service.domain.options import HttpMethod
from recorder_service.webhooks.request import endpoint_of, request_of


def test_post_sends_and_signs_the_very_bytes_of_the_delivery() -> None:
    """Nothing is parsed and written again between the outbox and the wire."""
    request = request_of(new_delivery("https://e.example:8443/hook?tenant=7", body=b'{"odd" : 1.0}'))
    assert (request.method, request.scheme, request.host, request.port) == ("POST", "https", "e.example", 8443)
    assert request.target == "/hook?tenant=7"
    assert request.body == request.signed_payload == b'{"odd" : 1.0}'


def test_get_sends_the_seven_keys_as_query_in_their_order() -> None:
    """As captured: colons and slashes as they are, size as digits."""
    request = request_of(new_delivery("http://e.example/hook", HttpMethod.GET))
    assert request.body == b""
    assert request.target.startswith(
        "/hook?start_time=2026-03-01T12:00:00Z&recording_url=https://rec.example/v1/files/aaaaaaaa-"
    )
    assert [key for key, _ in parse_qsl(request.target.partition("?")[2])] == list(json.loads(BODY))


def test_get_signs_the_object_the_receiver_rebuilds() -> None:
    """All values are strings; what was in the query before comes first."""
    request = request_of(new_delivery("http://e.example/hook?tenant=a%26b&empty=", HttpMethod.GET))
    received = dict(parse_qsl(request.target.partition("?")[2], keep_blank_values=True))
    rebuilt = json.dumps(received, separators=(",", ":"), ensure_ascii=False).encode()
    assert request.signed_payload == rebuilt
    assert rebuilt.startswith(b'{"tenant":"a&b","empty":"","start_time":"2026')
    assert b'"size":"162558"' in rebuilt


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://e.example", "/"),
        ("http://e.example?a=b", "/?a=b"),
        ("http://e.example/a%20b/%7e", "/a%20b/%7e"),
        ("http://e.example/gr\u00fc\u00df?n=\u00e4", "/gr%C3%BC%C3%9F?n=%C3%A4"),
        ('http://e.example/"<>^`{|}', "/%22%3C%3E%5E%60%7B%7C%7D"),
        ("http://e.example/a?b=c?d", "/a?b=c?d"),
        ("http://e.example/a#fragment", "/a"),
    ],
)
def test_target_is_ascii_and_otherwise_as_given(url: str, target: str) -> None:
    """What may not stand in a request line is percent-encoded; fragments are not sent."""
    assert request_of(new_delivery(url)).target == target


@pytest.mark.parametrize("url", ["", "ftp://e.example/", "https:///path", "file:///etc/passwd", "http://[::1", "//x"])
def test_url_that_is_none_is_refused(url: str) -> None:
    """A delivery with a broken URL is an error the sender records, not a crash."""
    with pytest.raises(ValueError, match=r"URL|Invalid"):
        request_of(new_delivery(url))


@pytest.mark.parametrize(
    "url",
    ["http://e.example/a", "https://E.example:8443/a?b", "https://e.example", "http://[::1]:80/", "http://x:99999"],
)
def test_endpoint_is_named_as_the_catalog_names_it(url: str) -> None:
    """Both sides must mean the same endpoint when one is busy."""
    assert endpoint_of(url) == origin(url)

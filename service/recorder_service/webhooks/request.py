"""The HTTP request of a delivery: method, address, body, and the bytes its signature is about."""

import json
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from recorder_service.domain.delivery import Delivery
from recorder_service.domain.options import HttpMethod
from recorder_service.webhooks.record_event import compact_json

_PORTS = {"http": 80, "https": 443}
_TARGET_SAFE = "/%:@!$&'()*+,;=~-._"


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """What is sent, without headers.

    Attributes:
        method: `POST` or `GET`.
        scheme: `http` or `https`.
        host: As in the URL: a name, in any script, or an address without brackets.
        port: None where the URL names none.
        target: Path and query, ASCII.
        body: Empty for GET.
        signed_payload: What `payload_hash` is the hash of. For POST the body. For GET the compact JSON object of the
            query parameters in their order, every value a string, as the receiver's framework hands them over.
    """

    method: str
    scheme: str
    host: str
    port: int | None
    target: str
    body: bytes
    signed_payload: bytes


def endpoint_of(url: str) -> str:
    """Return scheme, host and port of a URL: whom requests to it burden."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return url
    return f"{parts.scheme}://{parts.hostname}:{port}"


def request_of(delivery: Delivery) -> WebhookRequest:
    """Build the request of a delivery; the same for every try.

    For GET the keys of the event follow whatever query the URL has already. A parameter that is given twice counts
    once, with its last value.

    Raises:
        ValueError: The URL or the body is not one that was checked when the delivery was made.
    """
    parts = urlsplit(delivery.url)
    if parts.hostname is None or parts.scheme not in {"http", "https"}:
        raise ValueError("the URL of the delivery is not an http or https URL with a host")
    query, body, signed = parts.query, delivery.body, delivery.body
    if delivery.method is HttpMethod.GET:
        event = {key: str(value) for key, value in json.loads(delivery.body).items()}
        added = urlencode(event, quote_via=quote, safe=":/")
        query = f"{query}&{added}" if query else added
        body, signed = b"", compact_json(dict(parse_qsl(query, keep_blank_values=True)))
    target = quote(parts.path or "/", safe=_TARGET_SAFE)
    if query:
        target += "?" + quote(query, safe=_TARGET_SAFE + "?")
    return WebhookRequest(delivery.method.value, parts.scheme, parts.hostname, parts.port, target, body, signed)

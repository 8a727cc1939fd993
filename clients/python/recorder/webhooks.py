"""Checking webhooks: that they come from Recorder, are whole, fresh, and not a repeat."""

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn, cast
from urllib.parse import parse_qsl

import jwt

_CLOCK_LEEWAY_S = 60


class WebhookRejected(Exception):
    """The webhook is not to be trusted: answer 401 and do nothing else.

    Attributes:
        reason: What is wrong, for programs: `missing`, `malformed`, `signature`, `payload`, `age` or `api_key`.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class VerifiedWebhook:
    """What a good signature says.

    Attributes:
        delivery_id: Id of the delivery (`jti`), the same on every try: remember it to recognise repeats.
        application_id: The application it is about; empty where it names none.
        api_key: Names the secret it was signed with.
        issued_s: When this try was signed, Unix seconds.
        claims: All claims.
    """

    delivery_id: str
    application_id: str
    api_key: str
    issued_s: int
    claims: Mapping[str, object]


def verify_webhook(
    *,
    authorization: str | None,
    secret: str | bytes,
    body: bytes | str | None = None,
    query: Mapping[str, str] | str | None = None,
    max_age_s: float = 300,
    api_key: str | None = None,
    now: float | None = None,
) -> VerifiedWebhook:
    """Check a webhook's signature and that it was made for exactly this content.

    A good signature alone proves nothing about the body: the hash in it does, and it is compared here.

    >>> import hashlib, jwt
    >>> body = b'{"size":162558,"recording_uuid":"aaaaaaaa-0000-4000-8000-000000000001"}'
    >>> secret = "a signature secret of at least 32 bytes"
    >>> claims = {"iat": 1_700_000_000, "jti": "bbbbbbbb-0000-4000-8000-000000000002", "iss": "Vonage",
    ...     "payload_hash": hashlib.sha256(body).hexdigest(), "api_key": "12ab34cd"}
    >>> authorization = "Bearer " + jwt.encode(claims, secret, algorithm="HS256")
    >>> verify_webhook(authorization=authorization, secret=secret, body=body, now=1_700_000_010).delivery_id
    'bbbbbbbb-0000-4000-8000-000000000002'
    >>> verify_webhook(authorization=authorization, secret=secret, body=body + b" ", now=1_700_000_010)
    Traceback (most recent call last):
        ...
    recorder.webhooks.WebhookRejected: the webhook's content is not what was signed

    Args:
        authorization: Value of the Authorization header.
        secret: The application's signature secret.
        body: The raw body of a POST, before any parsing.
        query: The query of a GET: the raw string, or its parameters in the order they came.
        max_age_s: Oldest signature that is accepted. Each try is signed anew, so late retries are fresh too.
        api_key: The key the webhook must name; None means any.
        now: Unix time in seconds; None means the clock's.

    Raises:
        WebhookRejected: It is not to be trusted.
        ValueError: Neither or both of `body` and `query` are given, or the secret is empty.
    """
    if (body is None) == (query is None):
        raise ValueError("give either body (POST) or query (GET)")
    if not secret:
        raise ValueError("secret is empty; pass the application's signature secret")
    claims = _signed_claims(authorization, secret)
    _check_payload(claims, _signed_content(body, query))
    verified = _webhook(claims)
    age_s = (time.time() if now is None else now) - verified.issued_s
    if not -_CLOCK_LEEWAY_S <= age_s <= max_age_s:
        _reject("age", f"the webhook was signed {age_s:.0f} s ago; at most {max_age_s:.0f} s are accepted")
    if api_key is not None and not hmac.compare_digest(verified.api_key.encode(), api_key.encode()):
        _reject("api_key", "the webhook names another api_key")
    return verified


def _signed_claims(authorization: str | None, secret: str | bytes) -> Mapping[str, object]:
    scheme, _, token = (authorization or "").partition(" ")
    if not authorization or scheme.lower() != "bearer":
        _reject("missing", "the webhook has no Authorization header with a Bearer token")
    try:
        # Age is judged below, with a leeway for clocks that differ.
        claims = jwt.decode(token.strip(), secret, algorithms=["HS256"], options={"verify_iat": False})
    except jwt.InvalidSignatureError:
        _reject("signature", "the webhook was not signed with this secret")
    except jwt.PyJWTError:
        _reject("malformed", "the webhook's token is not one that Recorder makes")
    return cast("Mapping[str, object]", claims)


def _signed_content(body: bytes | str | None, query: Mapping[str, str] | str | None) -> bytes:
    if body is not None:
        return body.encode() if isinstance(body, str) else body
    if isinstance(query, str):
        query = dict(parse_qsl(query.removeprefix("?"), keep_blank_values=True))
    return json.dumps(dict(query or {}), ensure_ascii=False, separators=(",", ":")).encode()


def _check_payload(claims: Mapping[str, object], content: bytes) -> None:
    signed_hash = claims.get("payload_hash")
    if not isinstance(signed_hash, str):
        _reject("payload", "the webhook's signature covers no content")
    if not hmac.compare_digest(signed_hash.lower().encode(), hashlib.sha256(content).hexdigest().encode()):
        _reject("payload", "the webhook's content is not what was signed")


def _webhook(claims: Mapping[str, object]) -> VerifiedWebhook:
    delivery_id, issued_s = claims.get("jti"), claims.get("iat")
    if not isinstance(delivery_id, str) or not delivery_id:
        _reject("malformed", "the webhook's signature has no jti")
    if not isinstance(issued_s, int | float) or isinstance(issued_s, bool):
        _reject("malformed", "the webhook's signature has no iat")
    return VerifiedWebhook(
        delivery_id=delivery_id,
        application_id=str(claims.get("application_id", "")),
        api_key=str(claims.get("api_key", "")),
        issued_s=int(issued_s),
        claims=claims,
    )


def _reject(reason: str, message: str) -> NoReturn:
    raise WebhookRejected(reason, message) from None

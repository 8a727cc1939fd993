import doctest
import hashlib
import json
from collections.abc import Mapping
from urllib.parse import parse_qsl

import jwt
import pytest
from tests.unit.webhooks.webhook_values import APPLICATION, BODY, NOW, SECRET, new_delivery

from recorder import webhooks
from recorder.webhooks import WebhookRejected, verify_webhook
from recorder_service.domain.options import HttpMethod
from recorder_service.webhooks.request import request_of
from recorder_service.webhooks.signing import sign_webhook

NOW_S = NOW.timestamp()


def signed(
    changes: Mapping[str, object] | None = None, *, drop: str = "", key: str = SECRET, alg: str = "HS256"
) -> str:
    claims: dict[str, object] = {
        "iat": int(NOW_S),
        "jti": "delivery-1",
        "iss": "Vonage",
        "payload_hash": hashlib.sha256(BODY).hexdigest(),
        "api_key": "12ab34cd",
    } | dict(changes or {})
    claims.pop(drop, None)
    return "Bearer " + jwt.encode(claims, key if alg != "none" else "", algorithm=alg)


def rejection(authorization: str | None, body: bytes = BODY, **options: object) -> str:
    with pytest.raises(WebhookRejected) as caught:
        verify_webhook(authorization=authorization, secret=SECRET, body=body, now=NOW_S, **options)  # type: ignore[arg-type]
    assert SECRET not in str(caught.value)
    return caught.value.reason


def test_examples_in_the_documentation_hold() -> None:
    """They are run as they stand."""
    outcome = doctest.testmod(webhooks)
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_webhook_of_the_service_is_verified() -> None:
    """What the service signs the helper accepts, and says what it is about."""
    delivery = new_delivery("https://e.example/")
    token = sign_webhook(APPLICATION, delivery.delivery_id, BODY, NOW)
    found = verify_webhook(
        authorization=f"Bearer {token}", secret=SECRET, body=BODY, api_key=APPLICATION.api_key, now=NOW_S
    )
    assert found.delivery_id == str(delivery.delivery_id)
    assert found.application_id == str(APPLICATION.application_id)
    assert found.api_key == APPLICATION.api_key
    assert found.issued_s == int(NOW_S) - 5
    assert found.claims["iss"] == "Vonage"


@pytest.mark.parametrize("form", ["text", "?text", "mapping"])
def test_get_webhook_of_the_service_is_verified(form: str) -> None:
    """By the raw query or by its parameters in order."""
    delivery = new_delivery("https://e.example/?tenant=\u00e4%26", HttpMethod.GET)
    request = request_of(delivery)
    token = sign_webhook(APPLICATION, delivery.delivery_id, request.signed_payload, NOW)
    text = request.target.partition("?")[2]
    query: str | dict[str, str] = dict(parse_qsl(text)) if form == "mapping" else form.replace("text", text)
    assert verify_webhook(authorization=f"Bearer {token}", secret=SECRET, query=query, now=NOW_S).delivery_id


def test_body_may_be_text() -> None:
    """Frameworks that decode the body can still be used."""
    assert verify_webhook(authorization=signed(), secret=SECRET.encode(), body=BODY.decode(), now=NOW_S)


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        (None, "missing"),
        ("", "missing"),
        ("Basic YTpi", "missing"),
        ("Bearer", "malformed"),
        ("Bearer x.y.z", "malformed"),
        (signed(key="another secret that is long enough too"), "signature"),
        (signed(alg="none"), "malformed"),
        (signed(alg="HS512", key=SECRET * 2), "malformed"),
        (signed({"aud": "someone"}), "malformed"),
        (signed({"exp": 1}), "malformed"),
        (signed(drop="payload_hash"), "payload"),
        (signed({"payload_hash": None}), "payload"),
        (signed({"payload_hash": "0" * 64}), "payload"),
        (signed({"payload_hash": ""}), "payload"),
        (signed({"payload_hash": "\u00e4"}), "payload"),
        (signed(drop="jti"), "malformed"),
        (signed({"jti": ""}), "malformed"),
        (signed(drop="iat"), "malformed"),
        (signed({"iat": True}), "malformed"),
        (signed({"iat": int(NOW_S) - 301}), "age"),
        (signed({"iat": int(NOW_S) + 62}), "age"),
    ],
)
def test_bad_webhook_is_rejected_with_its_reason(authorization: str | None, reason: str) -> None:
    """Every check has a reason of its own."""
    assert rejection(authorization) == reason


def test_changed_body_is_rejected() -> None:
    """A good signature for another body is no proof."""
    assert rejection(signed(), BODY.replace(b"162558", b"162559")) == "payload"
    assert rejection(signed(), json.dumps(json.loads(BODY)).encode()) == "payload"


def test_other_api_key_is_rejected() -> None:
    """For receivers that hold several secrets."""
    assert rejection(signed(), api_key="other") == "api_key"
    assert rejection(signed(drop="api_key"), api_key="12ab34cd") == "api_key"


def test_age_limit_can_be_set() -> None:
    """Within it is accepted, beyond it is not."""
    old = signed({"iat": int(NOW_S) - 3000})
    assert verify_webhook(authorization=old, secret=SECRET, body=BODY, max_age_s=3600, now=NOW_S)
    assert rejection(old, max_age_s=600) == "age"


def test_content_must_be_given_once() -> None:
    """Mistakes of the caller are no rejections."""
    for content in ({}, {"body": BODY, "query": "a=b"}):
        with pytest.raises(ValueError, match="either body"):
            verify_webhook(authorization=signed(), secret=SECRET, **content)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="secret"):
        verify_webhook(authorization=signed(), secret="", body=BODY)

import hashlib
import json

import jwt
import pytest
from tests.unit.webhooks.webhook_values import APPLICATION, BODY, NOW, SECRET, new_delivery

from recorder_service.webhooks.signing import sign_webhook

DELIVERY = new_delivery("https://e.example/")


def test_signature_has_exactly_the_claims_of_signed_voice_webhooks() -> None:
    """Header and claims are the published ones; there is no exp, aud or sub."""
    token = sign_webhook(APPLICATION, DELIVERY.delivery_id, BODY, NOW)
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], options={"verify_iat": False})
    assert claims == {
        "iat": int(NOW.timestamp()) - 5,
        "jti": str(DELIVERY.delivery_id),
        "iss": "Vonage",
        "payload_hash": hashlib.sha256(BODY).hexdigest(),
        "api_key": APPLICATION.api_key,
        "application_id": str(APPLICATION.application_id),
    }
    assert list(claims) == ["iat", "jti", "iss", "payload_hash", "api_key", "application_id"]


def test_wrong_secret_does_not_verify() -> None:
    """The secret is what makes it."""
    token = sign_webhook(APPLICATION, DELIVERY.delivery_id, BODY, NOW)
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, SECRET + "x", algorithms=["HS256"], options={"verify_iat": False})


def test_hash_survives_parsing_and_rebuilding() -> None:
    """Receivers that only have the parsed body get the same hash from compact JSON."""
    rebuilt = json.dumps(json.loads(BODY), separators=(",", ":"), ensure_ascii=False).encode()
    token = sign_webhook(APPLICATION, DELIVERY.delivery_id, BODY, NOW)
    claims = jwt.decode(token, SECRET, algorithms=["HS256"], options={"verify_iat": False})
    assert claims["payload_hash"] == hashlib.sha256(rebuilt).hexdigest()

"""The signature of a webhook: a JWT that the receiver checks with the application's secret."""

import hashlib
from datetime import datetime
from uuid import UUID

import jwt

from recorder_service.domain.application import Application

# Published verifiers refuse a token from the future by a single second; clocks differ by some.
_BACKDATED_S = 5


def sign_webhook(application: Application, delivery_id: UUID, signed_payload: bytes, now: datetime) -> str:
    """Return the signature of one try: HS256, made anew for each try with the same `jti`.

    The claims are those of signed Voice webhooks, in their order. There is no `exp` and no `aud`: a published verifier
    refuses tokens with an `aud` it was not told of, and receivers judge the age by `iat`.

    Args:
        application: Whose secret signs; its `api_key` tells the receiver which secret that is.
        delivery_id: The `jti`, by which the receiver knows repeats.
        signed_payload: The exact bytes `payload_hash` is taken of.
        now: Current time.

    Source: RFC 7519; RFC 7515 section 3.1.
    """
    claims = {
        "iat": int(now.timestamp()) - _BACKDATED_S,
        "jti": str(delivery_id),
        "iss": "Vonage",
        "payload_hash": hashlib.sha256(signed_payload).hexdigest(),
        "api_key": application.api_key,
        "application_id": str(application.application_id),
    }
    return jwt.encode(claims, application.signature_secret, algorithm="HS256", headers={"typ": "JWT"})

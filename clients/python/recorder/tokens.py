"""Tokens that prove to Recorder which application is calling."""

import time
from collections.abc import Mapping
from functools import lru_cache
from uuid import UUID, uuid4

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

MIN_TTL_S = 30
MAX_TTL_S = 24 * 3600
_MIN_KEY_BITS = 2048
# To read a key is to prove that it is one, which takes fifty times as long as to sign with it.
_KEPT_KEYS = 64


def application_token(
    application_id: str | UUID,
    private_key_pem: str | bytes,
    *,
    ttl_s: int = 900,
    acl: Mapping[str, object] | None = None,
    now: float | None = None,
) -> str:
    """Return a token for an application, with the claims that the Vonage SDKs put into theirs.

    Send it as `authorization: Bearer <token>`, with RPCs and with downloads. Make a new one well before it ends: it
    cannot be renewed. Whoever holds it has the application's rights until then. Keys are kept in memory once read.

    >>> token = application_token("2c4f0e1a-6d9e-4a5b-9f0e-9b8a1c2d3e4f", PRIVATE_KEY_PEM, ttl_s=60, now=1_700_000_000)
    >>> import jwt
    >>> jwt.get_unverified_header(token)
    {'alg': 'RS256', 'typ': 'JWT'}
    >>> claims = jwt.decode(token, options={"verify_signature": False})
    >>> claims["application_id"], claims["exp"] - claims["iat"]
    ('2c4f0e1a-6d9e-4a5b-9f0e-9b8a1c2d3e4f', 60)

    Args:
        application_id: The application's UUID.
        private_key_pem: Its private key, RSA, at least 2048 bits, as it was shown when the key was made.
        ttl_s: How long the token holds, 30 s to 24 h.
        acl: Limits the token to some paths: `{"paths": {"/*/files/**": {"methods": ["GET"]}}}`, where `methods` may be
            left out. `*` stands for one segment, `**` for the rest. None means no limit.
        now: Unix time in seconds; None means the clock's.

    Raises:
        ValueError: An argument is not as described; the text names it.
    """
    if not MIN_TTL_S <= ttl_s <= MAX_TTL_S:
        raise ValueError(f"ttl_s is {ttl_s} but must be {MIN_TTL_S} to {MAX_TTL_S} seconds")
    issued_s = int(time.time() if now is None else now)
    claims: dict[str, object] = {
        "application_id": _uuid_text(application_id),
        "iat": issued_s,
        "jti": str(uuid4()),
        "exp": issued_s + ttl_s,
    }
    if acl is not None:
        claims["acl"] = dict(acl)
    return jwt.encode(claims, _private_key(private_key_pem), algorithm="RS256")


def _uuid_text(application_id: str | UUID) -> str:
    try:
        return str(application_id if isinstance(application_id, UUID) else UUID(application_id))
    except ValueError as error:
        raise ValueError(f"application_id is {application_id!r} but must be a UUID") from error


@lru_cache(_KEPT_KEYS)
def _private_key(pem: str | bytes) -> RSAPrivateKey:
    try:
        key = load_pem_private_key(pem.encode() if isinstance(pem, str) else pem, password=None)
    except (TypeError, ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPrivateKey) or key.key_size < _MIN_KEY_BITS:
        raise ValueError(
            "private_key_pem is not the PEM of an RSA private key without a passphrase, "
            f"of at least {_MIN_KEY_BITS} bits"
        )
    return key

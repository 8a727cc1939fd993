"""Checking tokens: from the value of an Authorization header to a principal."""

import hmac
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from uuid import UUID

from recorder_service.access.admin_token import admin_token_sha256
from recorder_service.access.applications import Applications, RememberedApplications
from recorder_service.access.claims import (
    REFUSAL,
    TokenClaims,
    TokenSettings,
    check_times,
    parse_claims,
)
from recorder_service.access.compact_jwt import CompactJwt, parse_compact_jwt
from recorder_service.access.principal import ADMIN, Principal
from recorder_service.access.verification_keys import VerificationKeys
from recorder_service.domain.application import Application
from recorder_service.errors import Reason, Unauthenticated

_LEAST_KEYS_TRIED = 2
_MAX_KEYS_TRIED = 8


class TokenVerifier:
    """Finds out who is calling.

    Takes the tokens that published Vonage SDKs make for an application: RS256, claims `application_id`, `iat`, `jti`
    and usually `exp`, no `kid`. A token is checked with the keys of the application it names and no others: the one
    with its `kid`, or every one that has not expired. Nothing is ever fetched because a token says so.

    A token of an unknown application and one with a bad signature get the same answer after the same work.
    """

    def __init__(
        self,
        applications: Applications,
        admin_token_sha256: bytes,
        clock: Callable[[], datetime],
        settings: TokenSettings | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep what is needed.

        Args:
            applications: Where applications are looked up; answers are remembered for `application_cache_s`.
            admin_token_sha256: Hash of the admin token.
            clock: Current time, with a time zone.
            settings: Limits; None means the defaults.
            monotonic: Clock of the memory of applications.
        """
        self._settings = settings or TokenSettings()
        self._applications = RememberedApplications(
            applications, self._settings.application_cache_s, self._settings.application_cache_size, monotonic
        )
        self._admin_token_sha256 = admin_token_sha256
        self._clock = clock
        self._keys = VerificationKeys()

    async def verify(self, authorization_value: str | None) -> Principal:
        """Return who an Authorization value belongs to.

        Args:
            authorization_value: `Bearer <token>`, as sent; None or empty where nothing was sent.

        Raises:
            Unauthenticated: MISSING_TOKEN, INVALID_TOKEN or TOKEN_EXPIRED (only after the signature was found good).
            RecorderError: The application cannot be looked up now.
        """
        token = self._bearer_token(authorization_value)
        if hmac.compare_digest(admin_token_sha256(token), self._admin_token_sha256):
            return ADMIN
        try:
            parts = parse_compact_jwt(token, self._settings.max_size_bytes)
            claims = parse_claims(parts.claims, self._settings)
        except ValueError:
            raise _invalid() from None
        await self._check_signature(parts, claims)
        check_times(claims, self._clock(), self._settings)
        return Principal(claims.application_id, rules=claims.rules)

    def forget(self, application_id: UUID) -> None:
        """Look an application up anew at its next token, because its keys were changed on this node."""
        self._applications.forget(application_id)

    def _bearer_token(self, value: str | None) -> str:
        if value is None or not value.strip():
            raise Unauthenticated(Reason.MISSING_TOKEN, "there is no token; send it as `authorization: Bearer <token>`")
        scheme, _, token = value.partition(" ")
        token = token.strip(" ")
        if scheme.lower() != "bearer" or len(token) > self._settings.max_size_bytes or not token.isascii():
            raise _invalid()
        return token

    async def _check_signature(self, parts: CompactJwt, claims: TokenClaims) -> None:
        application = await self._applications.find(claims.application_id)
        pems = () if application is None else tuple(_usable_pems(application, parts.key_id, self._clock()))
        if any(self._keys.verifies(pem, parts.signed, parts.signature) for pem in pems[:_MAX_KEYS_TRIED]):
            return
        # No application, no key and a wrong key cost the same, while no more than two keys overlap.
        for _ in range(len(pems), _LEAST_KEYS_TRIED):
            self._keys.verify_in_vain(parts.signed, parts.signature)
        raise _invalid()


def _usable_pems(application: Application, key_id: str | None, now: datetime) -> Iterator[str]:
    for key in application.keys:
        if (key_id is None or key.key_id == key_id) and (key.expire_time is None or now < key.expire_time):
            yield key.public_key_pem


def _invalid() -> Unauthenticated:
    return Unauthenticated(Reason.INVALID_TOKEN, REFUSAL)

"""The claims of an application's token: which there must be, of which type, and when they hold."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from recorder_service.access.principal import PathRule, parse_acl
from recorder_service.errors import Reason, Unauthenticated

_LATEST_TIME_S = 253_402_300_799  # the last second of the year 9999
_MAX_TOKEN_ID_LENGTH = 256

REFUSAL = (
    "the token is not valid: it must be an RS256 JWT signed with the application's current private key, with the "
    "claims application_id, iat and jti, without aud"
)


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """Limits on tokens.

    Attributes:
        default_lifetime_s: Life of a token without `exp`, from its `iat`.
        max_lifetime_s: Longest `exp` - `iat`.
        max_age_s: Oldest `iat`.
        leeway_s: How far ahead `iat` and `nbf` may be, for clocks that run fast.
        max_size_bytes: Longest token that is parsed at all.
        application_cache_s: How long an application's keys are remembered, hence how long a removed key still works.
        application_cache_size: Applications remembered.
    """

    default_lifetime_s: int = 15 * 60
    max_lifetime_s: int = 24 * 3600
    max_age_s: int = 24 * 3600
    leeway_s: int = 60
    max_size_bytes: int = 8192
    application_cache_s: float = 30.0
    application_cache_size: int = 4096


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """Claims of the right types; the times are Unix seconds and not yet compared with the clock."""

    application_id: UUID
    issued_s: int
    expires_s: int
    not_before_s: int | None
    rules: tuple[PathRule, ...] | None


def parse_claims(claims: Mapping[str, object], settings: TokenSettings) -> TokenClaims:
    """Read the claims of a token.

    Raises:
        ValueError: One is missing, has the wrong type, or they do not go together.
    """
    if "aud" in claims:
        raise ValueError("it has an aud")
    token_id = claims.get("jti")
    if not isinstance(token_id, str) or not 1 <= len(token_id) <= _MAX_TOKEN_ID_LENGTH:
        raise ValueError("jti is missing or not a string")
    issued_s = _time_s(claims, "iat")
    expires_s = _time_s(claims, "exp") if "exp" in claims else issued_s + settings.default_lifetime_s
    if not 0 < expires_s - issued_s <= settings.max_lifetime_s:
        raise ValueError("exp is not after iat or too long after it")
    return TokenClaims(
        application_id=_uuid(claims.get("application_id")),
        issued_s=issued_s,
        expires_s=expires_s,
        not_before_s=_time_s(claims, "nbf") if "nbf" in claims else None,
        rules=parse_acl(claims["acl"]) if "acl" in claims else None,
    )


def check_times(claims: TokenClaims, now: datetime, settings: TokenSettings) -> None:
    """Compare the times of a token with the clock.

    Raises:
        Unauthenticated: TOKEN_EXPIRED when it is too late, INVALID_TOKEN when it is too early.
    """
    now_s = now.timestamp()
    if now_s >= claims.expires_s or now_s - claims.issued_s > settings.max_age_s:
        raise Unauthenticated(Reason.TOKEN_EXPIRED, "the token has expired; make a new one")
    if max(claims.issued_s, claims.not_before_s or 0) > math.floor(now_s) + settings.leeway_s:
        raise Unauthenticated(Reason.INVALID_TOKEN, REFUSAL)


def _time_s(claims: Mapping[str, object], name: str) -> int:
    value = claims.get(name)
    if type(value) is not int or not 0 <= value <= _LATEST_TIME_S:  # a bool is an int to isinstance
        raise ValueError(f"{name} is missing or not whole Unix seconds")
    return value


def _uuid(value: object) -> UUID:
    if not isinstance(value, str):
        raise ValueError("application_id is missing or not a string")  # noqa: TRY004 - callers know one kind of refusal
    found = UUID(value)
    if str(found) != value.lower():
        raise ValueError("application_id is not written as a UUID")
    return found

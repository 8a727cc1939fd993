"""Tokens by which nodes vouch to each other for a caller."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import jwt

from recorder_service.access.principal import Principal
from recorder_service.errors import Reason, Unauthenticated

_ALGORITHM = "HS256"
_TTL_S = 30
# Between the clocks of two nodes.
_LEEWAY_S = 60
_MAX_SIZE_BYTES = 2048
_CLAIMS = ("aud", "exp", "iat")


class ClusterTokens:
    """Makes and checks them with a secret that only the nodes have.

    A token stands for a caller whose own token was found good, on one method, for half a minute. It says nothing of
    the `acl` of that token: the node that mints has checked it for this method.
    """

    def __init__(self, secret: str, clock: Callable[[], datetime]) -> None:
        """Share `secret` with the other nodes."""
        self._secret = secret
        self._clock = clock

    def mint(self, principal: Principal, method: str) -> str:
        """Vouch for a caller of one method."""
        issued_s = int(self._clock().timestamp())
        application = None if principal.application_id is None else str(principal.application_id)
        claims = {"aud": method, "iat": issued_s, "exp": issued_s + _TTL_S, "application": application}
        return jwt.encode({**claims, "admin": principal.admin}, self._secret, _ALGORITHM)

    def verify(self, token: str, method: str) -> Principal:
        """Return who is vouched for.

        Raises:
            Unauthenticated: INVALID_TOKEN: forged, too old, or minted for another method.
        """
        if len(token) > _MAX_SIZE_BYTES:
            raise _invalid()
        try:
            claims = jwt.decode(
                token,
                self._secret,
                algorithms=[_ALGORITHM],
                audience=method,
                # Times are compared with the clock that was given, below.
                options={"require": list(_CLAIMS), "verify_exp": False, "verify_iat": False, "strict_aud": True},
            )
            self._check_times(claims)
            application = claims["application"]
            return Principal(None if application is None else UUID(application), admin=claims["admin"] is True)
        except (jwt.InvalidTokenError, LookupError, TypeError, ValueError, AttributeError):
            raise _invalid() from None

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now_s = self._clock().timestamp()
        issued_s, expires_s = claims["iat"], claims["exp"]
        if not (isinstance(issued_s, int) and isinstance(expires_s, int)):
            raise TypeError("times are whole seconds")
        if now_s > expires_s + _LEEWAY_S or issued_s > now_s + _LEEWAY_S or expires_s - issued_s > _TTL_S:
            raise ValueError("the token is not of now")


def _invalid() -> Unauthenticated:
    message = "this is no word of a node of this cluster: every node needs the same RECORDER_CLUSTER_SECRET"
    return Unauthenticated(Reason.INVALID_TOKEN, message)

"""Who sends an HTTP request, and whether the token may be used for this path."""

from typing import Protocol
from uuid import UUID

from starlette.requests import Request

from recorder_service.errors import Forbidden, Reason, Unauthenticated


class Caller(Protocol):
    """Whoever a token belongs to."""

    @property
    def application_id(self) -> UUID | None:
        """The application, or None for the admin."""

    @property
    def admin(self) -> bool:
        """Whether everything is open."""

    def permits(self, path: str, method: str, /) -> bool:
        """Say whether the token itself is limited to other paths or methods."""


class TokenVerifier(Protocol):
    """Tells who sends a request."""

    async def verify(self, authorization: str | None, /) -> Caller:
        """Check the value of the `Authorization` header.

        Raises:
            Unauthenticated: It is missing, or no good.
        """


class Authorisation:
    """Checks the token of a request: first that it is good, then that it covers the path."""

    def __init__(self, tokens: TokenVerifier) -> None:
        self._tokens = tokens

    async def check(self, request: Request) -> UUID | None:
        """Return whose things the caller may see; None stands for everybody's.

        Raises:
            Unauthenticated: No good token.
            Forbidden: NOT_PERMITTED.
        """
        values = request.headers.getlist("authorization")
        if len(values) > 1:
            raise Unauthenticated(Reason.INVALID_TOKEN, "Authorization is given more than once: send one token")
        caller = await self._tokens.verify(values[0] if values else None)
        path = request.scope["path"]
        # HEAD tells less than GET, so a token for GET opens it too.
        methods = {request.method, "GET"} if request.method == "HEAD" else {request.method}
        if not any(caller.permits(path, method) for method in methods):
            raise Forbidden(Reason.NOT_PERMITTED, "the acl of the token does not cover this path")
        if caller.admin:
            return None
        if caller.application_id is None:
            raise Forbidden(Reason.NOT_PERMITTED, "the token belongs to no application")
        return caller.application_id

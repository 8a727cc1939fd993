"""Tokens between nodes: for one caller, one method, half a minute."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import jwt
import pytest

from recorder_service.access.cluster_tokens import ClusterTokens
from recorder_service.access.principal import ADMIN, Principal
from recorder_service.errors import Reason, Unauthenticated

SECRET = "s" * 32
METHOD = "/recorder.v1.RecordingService/StopRecording"
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
CALLER = Principal(uuid4())


def tokens(secret: str = SECRET, now: datetime = NOW) -> ClusterTokens:
    return ClusterTokens(secret, lambda: now)


@pytest.mark.parametrize("principal", [CALLER, ADMIN])
def test_caller_arrives_as_it_was(principal: Principal) -> None:
    """Its application, or that it is the admin."""
    assert tokens().verify(tokens().mint(principal, METHOD), METHOD) == principal


def test_wide_acl_is_not_carried_on() -> None:
    """The first node checked it for this method; no other may be called with it."""
    limited = Principal(CALLER.application_id, rules=())
    assert tokens().verify(tokens().mint(limited, METHOD), METHOD).rules is None


@pytest.mark.parametrize("late_s", [-61, 92, 100_000])
def test_token_of_another_time_is_refused(late_s: int) -> None:
    """Half a minute, and a minute between two clocks."""
    with pytest.raises(Unauthenticated) as refused:
        tokens(now=NOW + timedelta(seconds=late_s)).verify(tokens().mint(CALLER, METHOD), METHOD)
    assert refused.value.reason is Reason.INVALID_TOKEN


def test_clocks_may_differ_a_little() -> None:
    """A minute either way."""
    for late_s in (-59, 89):
        tokens(now=NOW + timedelta(seconds=late_s)).verify(tokens().mint(CALLER, METHOD), METHOD)


def _claims(**changes: object) -> dict[str, object]:
    issued_s = int(NOW.timestamp())
    claims = {"aud": METHOD, "iat": issued_s, "exp": issued_s + 30, "application": None, "admin": True}
    return {name: value for name, value in {**claims, **changes}.items() if value != "left out"}


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "x" * 5000,
        tokens("t" * 32).mint(ADMIN, METHOD),
        tokens().mint(ADMIN, METHOD + "x"),
        jwt.encode(_claims(), "", "none"),
        jwt.encode(_claims(), SECRET * 2, "HS512"),
        jwt.encode(_claims(exp="left out"), SECRET, "HS256"),
        jwt.encode(_claims(exp=int(NOW.timestamp()) + 31), SECRET, "HS256"),
        jwt.encode(_claims(exp=str(int(NOW.timestamp()) + 30)), SECRET, "HS256"),
        jwt.encode(_claims(application="left out"), SECRET, "HS256"),
        jwt.encode(_claims(application="not a uuid"), SECRET, "HS256"),
        jwt.encode(_claims(aud=[METHOD, "more"]), SECRET, "HS256"),
    ],
)
def test_anything_else_is_refused(token: str) -> None:
    """Another secret, another method, another algorithm, claims that are missing or of another kind."""
    with pytest.raises(Unauthenticated) as refused:
        tokens().verify(token, METHOD)
    assert refused.value.reason is Reason.INVALID_TOKEN

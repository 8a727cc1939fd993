"""Who may send."""

import base64
import hashlib
import hmac
import ipaddress
import time

import jwt
import pytest

from recorder_bridges.admission import (
    EVERYWHERE,
    LOOPBACK,
    Admission,
    BearerText,
    Caller,
    TwilioSignature,
    VonageToken,
)

SECRET = "a signature secret of at least 32 bytes"


def bearer(token: str) -> Caller:
    return Caller("127.0.0.1", "/media", {"Authorization": f"Bearer {token}"})


@pytest.mark.parametrize(
    ("address", "good"),
    [("127.0.0.1", True), ("::1", True), ("::ffff:127.0.0.1", True), ("10.0.0.1", False), ("", False), ("x", False)],
)
def test_only_this_machine_comes_in_by_default(address: str, *, good: bool) -> None:
    """Without a network and a check nobody else does."""
    assert (Admission().refusal(Caller(address)) is None) is good


def test_networks_are_those_given() -> None:
    """IPv4 and IPv6."""
    admission = Admission([ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8::/32")])
    assert admission.refusal(Caller("10.1.2.3")) is None
    assert admission.refusal(Caller("2001:db8::1")) is None
    assert admission.refusal(Caller("127.0.0.1")) is not None
    assert Admission(EVERYWHERE).refusal(Caller("192.0.2.1")) is None


def test_every_check_must_hold() -> None:
    """The first that fails tells why."""
    admission = Admission(LOOPBACK, [BearerText("one"), BearerText("two")])
    assert admission.refusal(bearer("one")) is not None


def test_vonage_token_is_checked() -> None:
    """Another secret, another algorithm, an old one, one of the future, none: all are turned away."""
    check, now_s = VonageToken(SECRET), int(time.time())
    good = jwt.encode({"iat": now_s}, SECRET, algorithm="HS256")
    assert check.refusal(bearer(good)) is None
    other = jwt.encode({"iat": now_s}, SECRET + "x", algorithm="HS256")
    old = jwt.encode({"iat": now_s - 400}, SECRET, algorithm="HS256")
    future = jwt.encode({"iat": now_s + 400}, SECRET, algorithm="HS256")
    expired = jwt.encode({"iat": now_s - 200, "exp": now_s - 100}, SECRET, algorithm="HS256")
    timeless = jwt.encode({"jti": "a"}, SECRET, algorithm="HS256")
    unsigned = jwt.encode({"iat": now_s}, "", algorithm="none")
    for token in (other, old, future, expired, timeless, unsigned, "", "x.y.z"):
        assert check.refusal(bearer(token)) is not None, token
    assert check.refusal(Caller("127.0.0.1")) is not None


def test_bearer_text_is_compared() -> None:
    """The whole text must be the same."""
    check = BearerText("let me in")
    assert check.refusal(bearer("let me in")) is None
    assert check.refusal(bearer("let me i")) is not None
    assert check.refusal(Caller("127.0.0.1")) is not None


@pytest.mark.parametrize("signed", ["wss://a.example/media?x=1", "wss://a.example/media?x=1/"])
def test_twilio_signature_is_checked(signed: str) -> None:
    """The address as it was dialled, with or without a slash at its end."""
    signature = base64.b64encode(hmac.new(b"token", signed.encode(), hashlib.sha1).digest()).decode()
    check = TwilioSignature("token", "wss://a.example/")
    assert check.refusal(Caller("", "/media?x=1", {"x-twilio-signature": signature})) is None
    assert check.refusal(Caller("", "/media?x=2", {"x-twilio-signature": signature})) is not None
    assert check.refusal(Caller("", "/media?x=1", {})) is not None

"""Who may send: networks, and what each peer signs its connections with."""

import base64
import hashlib
import hmac
import ipaddress
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import jwt

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

EVERYWHERE: tuple[Network, ...] = (ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0"))
LOOPBACK: tuple[Network, ...] = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
_MAX_TOKEN_AGE_S = 300
_CLOCK_LEEWAY_S = 60


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who wants in.

    Attributes:
        address: IP address.
        path: Path and query that were asked for; empty outside of HTTP.
        headers: HTTP headers as they came.
    """

    address: str
    path: str = ""
    headers: Mapping[str, str] | None = None

    def header(self, name: str) -> str:
        """Give a header, whatever its case; empty where there is none."""
        found = (value for key, value in (self.headers or {}).items() if key.lower() == name)
        return next(found, "")


class Verification(Protocol):
    """Tells a peer from somebody else."""

    def refusal(self, caller: Caller) -> str | None:
        """Say why not; None lets in."""
        ...


@dataclass(frozen=True, slots=True)
class Admission:
    """All that must hold for a sender to come in.

    Attributes:
        networks: Where it may come from.
        verifications: What must hold besides.
    """

    networks: Sequence[Network] = LOOPBACK
    verifications: Sequence[Verification] = ()

    def refusal(self, caller: Caller) -> str | None:
        """Say why not, for the log; None lets in."""
        try:
            address = ipaddress.ip_address(caller.address.partition("%")[0])
        except ValueError:
            return "it has no address"
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if not any(address in network for network in self.networks):
            return "its network is not allowed"
        return next(filter(None, (check.refusal(caller) for check in self.verifications)), None)


@dataclass(frozen=True, slots=True)
class VonageToken:
    """Vonage's signed token in the Authorization header: HS256 with the account's signature secret.

    Source: the Vonage guides on WebSocket authorization and signed webhooks.

    Attributes:
        secret: The signature secret.
    """

    secret: str

    def refusal(self, caller: Caller) -> str | None:
        """Check signature and age."""
        scheme, _, token = caller.header("authorization").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return "it has no token"
        try:
            claims = jwt.decode(token.strip(), self.secret, algorithms=["HS256"], leeway=_CLOCK_LEEWAY_S)
            age_s = time.time() - float(claims["iat"])
        except (jwt.PyJWTError, KeyError, ValueError, TypeError):
            return "its token is not good"
        # A token is made for one connection: an old one was read by somebody on its way.
        return None if age_s <= _MAX_TOKEN_AGE_S else "its token is too old"


@dataclass(frozen=True, slots=True)
class BearerText:
    """A fixed text after `Bearer`, as `authorization` of type `custom` sends it.

    Attributes:
        text: The text.
    """

    text: str

    def refusal(self, caller: Caller) -> str | None:
        """Compare, in time that tells nothing."""
        expected = f"Bearer {self.text}".encode()
        good = hmac.compare_digest(caller.header("authorization").encode(), expected)
        return None if good else "its Authorization header is not the one expected"


@dataclass(frozen=True, slots=True)
class TwilioSignature:
    """X-Twilio-Signature: HMAC-SHA1 of the address that was dialled, under the account's auth token.

    Source: Twilio's documentation "Validating signatures from Twilio", for WebSocket requests.

    Attributes:
        auth_token: The account's.
        public_url: The address that Twilio dials without its path, such as `wss://media.example.com`.
    """

    auth_token: str
    public_url: str

    def refusal(self, caller: Caller) -> str | None:
        """Compare with the signature of the address, with and without a slash at its end."""
        given = caller.header("x-twilio-signature").encode()
        path = caller.path.rstrip("/")
        good = [hmac.compare_digest(given, self._signature(path + end).encode()) for end in ("", "/")]
        return None if any(good) else "its signature is not good"

    def _signature(self, path: str) -> str:
        address = (self.public_url.rstrip("/") + path).encode()
        # SHA-1 is Twilio's choice; as HMAC it is still sound.
        digest = hmac.new(self.auth_token.encode(), address, hashlib.sha1).digest()
        return base64.b64encode(digest).decode()

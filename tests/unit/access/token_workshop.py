"""Makes tokens for tests: good ones, and by hand the ones no library would make."""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from recorder_service.domain.application import Application, ApplicationKey
from recorder_service.errors import NotFound, Reason

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
OURS = UUID("2c4f0e1a-6d9e-4a5b-9f0e-9b8a1c2d3e4f")
OTHER = UUID("7b0f4c9e-51aa-4a8b-8d43-0a3e5bb1c001")
ADMIN_TOKEN = "recorder_admin_" + "a" * 43
ADMIN_SHA256 = hashlib.sha256(ADMIN_TOKEN.encode()).digest()

JsonObject = dict[str, object]


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass(frozen=True)
class SigningKey:
    """An RSA key with what tests do with it."""

    private: rsa.RSAPrivateKey

    @property
    def public_pem(self) -> str:
        return (
            self.private.public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )

    def sign(self, data: bytes) -> bytes:
        return self.private.sign(data, padding.PKCS1v15(), hashes.SHA256())


def new_key(bits: int = 2048, exponent: int = 65537) -> SigningKey:
    return SigningKey(rsa.generate_private_key(public_exponent=exponent, key_size=bits))


@dataclass(frozen=True)
class Workshop:
    """Keys of two applications, and tokens made with them."""

    ours: SigningKey = field(default_factory=new_key)
    old: SigningKey = field(default_factory=new_key)
    expired: SigningKey = field(default_factory=new_key)
    other: SigningKey = field(default_factory=new_key)
    stranger: SigningKey = field(default_factory=new_key)
    short: SigningKey = field(default_factory=lambda: new_key(1024))

    def applications(self) -> dict[UUID, Application]:
        ours = (
            ApplicationKey("new-key", self.ours.public_pem, NOW - timedelta(days=1)),
            ApplicationKey("old-key", self.old.public_pem, NOW - timedelta(days=9), NOW + timedelta(hours=1)),
            ApplicationKey("expired-key", self.expired.public_pem, NOW - timedelta(days=9), NOW - timedelta(seconds=1)),
            ApplicationKey("short-key", self.short.public_pem, NOW - timedelta(days=9)),
        )
        other = (ApplicationKey("other-key", self.other.public_pem, NOW),)
        return {OURS: _application(OURS, ours), OTHER: _application(OTHER, other)}

    def token(
        self,
        *,
        header: JsonObject | None = None,
        claims: JsonObject | None = None,
        drop: tuple[str, ...] = (),
        key: SigningKey | None = None,
    ) -> str:
        """Make a token that is good but for what the arguments change."""
        return self.raw(
            json.dumps({"alg": "RS256", "typ": "JWT"} | (header or {})).encode(),
            json.dumps(good_claims(claims, drop)).encode(),
            key,
        )

    def raw(self, header: bytes, claims: bytes, key: SigningKey | None = None) -> str:
        """Sign two byte strings as they are."""
        signed = f"{b64(header)}.{b64(claims)}"
        return f"{signed}.{b64((key or self.ours).sign(signed.encode()))}"

    def hmac_token(self, secret: bytes, alg: str = "HS256") -> str:
        """Make a token with a MAC, as key confusion attacks do."""
        signed = f"{b64(json.dumps({'alg': alg, 'typ': 'JWT'}).encode())}.{b64(json.dumps(good_claims()).encode())}"
        return f"{signed}.{b64(hmac.digest(secret, signed.encode(), 'sha256'))}"


def good_claims(changes: JsonObject | None = None, drop: tuple[str, ...] = ()) -> JsonObject:
    """Return the claims published SDKs send, with changes."""
    claims: JsonObject = {
        "application_id": str(OURS),
        "iat": NOW_S,
        "jti": "0a6f5e0c-2b6f-4a53-b1a2-4f0f4a1c8a10",
        "exp": NOW_S + 900,
    } | (changes or {})
    return {name: value for name, value in claims.items() if name not in drop}


class StoredApplications:
    """Applications in memory that count how often they are asked for."""

    def __init__(self, applications: dict[UUID, Application]) -> None:
        self.applications = applications
        self.asked = 0

    async def get(self, application_id: UUID) -> Application:
        self.asked += 1
        try:
            return self.applications[application_id]
        except KeyError:
            raise NotFound(Reason.APPLICATION_NOT_FOUND, "no such application") from None


def _application(application_id: UUID, keys: tuple[ApplicationKey, ...]) -> Application:
    return Application(application_id, "test", "12ab34cd", "s" * 64, NOW, NOW, keys=keys)

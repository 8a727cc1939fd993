"""Keys and secrets of applications: made, checked, named."""

import asyncio
import secrets
from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from recorder_service.errors import BadInput, Reason

KEY_BITS = 2048
MAX_KEY_BITS = 8192
_MAX_PEM_SIZE_BYTES = 16 * 1024
_EXPONENTS = range(65537, 1 << 32)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An RSA key pair as PEM: PKCS#8 without a passphrase, and SubjectPublicKeyInfo."""

    private_key_pem: str = field(repr=False)
    public_key_pem: str


async def generate_key_pair() -> KeyPair:
    """Make an RSA key pair of 2048 bits, in a thread because it takes some 100 ms."""
    return await asyncio.to_thread(_generate)


def check_public_key(public_key_pem: str, key_field: str = "public_key_pem") -> str:
    """Return a public key in its normal PEM form if tokens may be signed with it.

    Args:
        public_key_pem: PEM of an RSA public key, SubjectPublicKeyInfo or PKCS#1.
        key_field: Path of the field in the request, for errors.

    Raises:
        BadInput: INVALID_FIELD; it is no such key, a private key, or has fewer than 2048 or more than 8192 bits.
    """
    try:
        key = load_public_key(public_key_pem.encode())
    except ValueError as error:
        raise BadInput(
            Reason.INVALID_FIELD,
            f"{key_field} is not a usable public key ({error}); give the PEM of an RSA public key of {KEY_BITS} to "
            f"{MAX_KEY_BITS} bits, as `openssl rsa -in private.key -pubout` prints it",
            field=key_field,
            value="(not shown)",
        ) from error
    return _public_pem(key)


def load_public_key(pem: bytes) -> rsa.RSAPublicKey:
    """Read the PEM of an RSA public key of a length and exponent that are safe and quick to verify with.

    Raises:
        ValueError: It is not one; the text says why and holds nothing of it.
    """
    if len(pem) > _MAX_PEM_SIZE_BYTES:
        raise ValueError(f"longer than {_MAX_PEM_SIZE_BYTES} bytes")
    if b"PRIVATE KEY" in pem:
        raise ValueError("it is a private key: keep it secret, and do not use it again once it was sent")
    if pem.count(b"-----BEGIN ") != 1:
        raise ValueError("not exactly one PEM block")
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("not the PEM of a public key") from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError("not an RSA key")  # noqa: TRY004 - callers know one kind of refusal
    if not KEY_BITS <= key.key_size <= MAX_KEY_BITS:
        raise ValueError(f"it has {key.key_size} bits")
    if key.public_numbers().e not in _EXPONENTS:
        raise ValueError("its exponent is below 65537 or above 32 bits")
    return key


def make_key_id() -> str:
    """Make the id of a key: 16 hex digits, not derived from the key, so that a key may be added again."""
    return secrets.token_hex(8)


def make_api_key() -> str:
    """Make the name of a signature secret: 8 hex digits, as Vonage's account keys look."""
    return secrets.token_hex(4)


def make_signature_secret() -> str:
    """Make a secret for signed webhooks: 48 random bytes as 64 characters of base64url."""
    return secrets.token_urlsafe(48)


def _generate() -> KeyPair:
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return KeyPair(private.decode("ascii"), _public_pem(key.public_key()))


def _public_pem(key: rsa.RSAPublicKey) -> str:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode("ascii")

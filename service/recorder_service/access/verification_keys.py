"""Public keys ready to verify with, remembered so that a PEM is parsed once."""

import hashlib
from collections import OrderedDict

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from recorder_service.access.keys import load_public_key


class VerificationKeys:
    """Loaded RSA keys by the hash of their PEM, the least used forgotten first."""

    def __init__(self, size: int = 4096) -> None:
        self._size = size
        self._loaded: OrderedDict[bytes, rsa.RSAPublicKey | None] = OrderedDict()
        self._decoy = _decoy_key()

    def verifies(self, public_key_pem: str, signed: bytes, signature: bytes) -> bool:
        """Say whether `signature` is the RS256 signature of `signed` under this key.

        A key that may not be used (not RSA, too short) verifies nothing.

        Source: RFC 7518 section 3.3.
        """
        key = self._load(public_key_pem)
        if key is None:
            self.verify_in_vain(signed, signature)
            return False
        return _verifies(key, signed, signature)

    def verify_in_vain(self, signed: bytes, signature: bytes) -> None:
        """Spend the time of one verification, so that a missing key takes as long as a wrong one."""
        _verifies(self._decoy, signed, signature)

    def _load(self, public_key_pem: str) -> rsa.RSAPublicKey | None:
        pem = public_key_pem.encode()
        digest = hashlib.sha256(pem).digest()
        if digest in self._loaded:
            self._loaded.move_to_end(digest)
            return self._loaded[digest]
        try:
            key = load_public_key(pem)
        except ValueError:
            key = None
        self._loaded[digest] = key
        if len(self._loaded) > self._size:
            self._loaded.popitem(last=False)
        return key


def _verifies(key: rsa.RSAPublicKey, signed: bytes, signature: bytes) -> bool:
    try:
        key.verify(signature, signed, padding.PKCS1v15(), SHA256())
    except InvalidSignature:
        return False
    return True


def _decoy_key() -> rsa.RSAPublicKey:
    # An odd number of 2048 bits that nobody has factored; its verdict is never used.
    digits = b"".join(hashlib.sha512(b"decoy %d" % index).digest() for index in range(4))
    modulus = int.from_bytes(digits) | (1 << 2047) | 1
    return rsa.RSAPublicNumbers(65537, modulus).public_key()

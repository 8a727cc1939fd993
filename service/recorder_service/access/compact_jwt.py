"""A signed token in its compact form, taken apart strictly.

One parser reads each token once: what is checked is what was signed, and no second reader can see other claims in it.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass

_REFUSED_HEADERS = ("crit", "jku", "x5u", "jwk", "x5c", "b64", "zip", "enc")
_MAX_KEY_ID_LENGTH = 128


@dataclass(frozen=True, slots=True)
class CompactJwt:
    """The parts of a token whose signature has not been checked yet.

    Attributes:
        key_id: `kid` of the header, or None.
        claims: The payload.
        signed: The bytes that the signature covers.
        signature: The decoded signature.
    """

    key_id: str | None
    claims: Mapping[str, object]
    signed: bytes
    signature: bytes


def parse_compact_jwt(token: str, max_size_bytes: int) -> CompactJwt:
    """Take an RS256 token apart.

    Refused: anything over the size, not canonical base64url, not UTF-8 JSON objects, with a name given twice, with NaN
    or Infinity; headers with another `alg`, another `typ` than JWT, critical extensions, keys or key addresses.

    Raises:
        ValueError: It is not such a token. The text says why and holds nothing of the token.

    Source: RFC 7515 section 3.1 (compact form), RFC 8725 sections 3.1, 3.10 and 3.11.
    """
    if len(token) > max_size_bytes or not token.isascii():
        raise ValueError(f"longer than {max_size_bytes} bytes or not ASCII")
    parts = token.split(".")
    if len(parts) != 3:
        raise ValueError("not three parts")
    header = _json_object(_base64url(parts[0]))
    if header.get("alg") != "RS256":
        raise ValueError("alg is not RS256")
    if header.get("typ", "JWT") != "JWT":
        raise ValueError("typ is not JWT")
    if any(name in header for name in _REFUSED_HEADERS):
        raise ValueError("a header that is not accepted")
    return CompactJwt(
        key_id=_key_id(header),
        claims=_json_object(_base64url(parts[1])),
        signed=f"{parts[0]}.{parts[1]}".encode("ascii"),
        signature=_base64url(parts[2]),
    )


def _key_id(header: Mapping[str, object]) -> str | None:
    if "kid" not in header:
        return None
    key_id = header["kid"]
    if not isinstance(key_id, str) or not 1 <= len(key_id) <= _MAX_KEY_ID_LENGTH:
        raise ValueError(f"kid is not a string of 1 to {_MAX_KEY_ID_LENGTH} characters")
    return key_id


def _base64url(text: str) -> bytes:
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error
    if base64.urlsafe_b64encode(data).rstrip(b"=") != text.encode("ascii"):
        raise ValueError("not canonical base64url")
    return data


def _json_object(data: bytes) -> dict[str, object]:
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - callers know one kind of refusal
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")

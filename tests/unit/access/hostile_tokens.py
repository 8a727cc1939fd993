"""The table of tokens that must never be let in, by what is wrong with them."""

import json

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from tests.unit.access.token_workshop import NOW_S, OTHER, OURS, JsonObject, Workshop, b64, good_claims

_HEADER = b'{"alg":"RS256","typ":"JWT"}'

BAD_HEADERS: dict[str, JsonObject] = {
    "alg none": {"alg": "none"},
    "alg None": {"alg": "None"},
    "alg empty": {"alg": ""},
    "alg null": {"alg": None},
    "alg a list": {"alg": ["RS256"]},
    "alg lower case": {"alg": "rs256"},
    "alg RS384": {"alg": "RS384"},
    "alg RS512": {"alg": "RS512"},
    "alg PS256": {"alg": "PS256"},
    "alg ES256": {"alg": "ES256"},
    "alg HS256 on an RSA signature": {"alg": "HS256"},
    "alg EdDSA": {"alg": "EdDSA"},
    "typ of an access token": {"typ": "at+jwt"},
    "typ null": {"typ": None},
    "typ a number": {"typ": 1},
    "unknown crit": {"crit": ["x-new"], "x-new": True},
    "crit b64": {"crit": ["b64"], "b64": False},
    "crit empty": {"crit": []},
    "b64 false": {"b64": False},
    "key address jku": {"jku": "https://attacker.example/keys"},
    "key address as file": {"jku": "file:///etc/passwd"},
    "key address x5u": {"x5u": "https://attacker.example/cert"},
    "own key jwk": {"jwk": {"kty": "RSA", "n": "AQAB", "e": "AQAB"}},
    "own chain x5c": {"x5c": ["MIIB"]},
    "compressed": {"zip": "DEF"},
    "encrypted": {"enc": "A128GCM"},
    "kid unknown": {"kid": "nobody"},
    "kid of an expired key": {"kid": "expired-key"},
    "kid of another key of ours": {"kid": "old-key"},
    "kid of another application": {"kid": "other-key"},
    "kid a path": {"kid": "../../../../dev/null"},
    "kid an SQL text": {"kid": "new-key' OR '1'='1"},
    "kid empty": {"kid": ""},
    "kid null": {"kid": None},
    "kid a number": {"kid": 7},
    "kid a list": {"kid": ["new-key"]},
    "kid very long": {"kid": "k" * 129},
}

BAD_CLAIMS: dict[str, JsonObject] = {
    "application null": {"application_id": None},
    "application a number": {"application_id": 12},
    "application a list": {"application_id": [str(OURS)]},
    "application not a UUID": {"application_id": "ours"},
    "application as URN": {"application_id": f"urn:uuid:{OURS}"},
    "application in braces": {"application_id": f"{{{OURS}}}"},
    "application without hyphens": {"application_id": OURS.hex},
    "application unknown": {"application_id": "00000000-0000-4000-8000-000000000000"},
    "another application": {"application_id": str(OTHER)},
    "jti null": {"jti": None},
    "jti a number": {"jti": 5},
    "jti empty": {"jti": ""},
    "jti very long": {"jti": "j" * 257},
    "iat true": {"iat": True, "exp": 900},
    "iat a float": {"iat": NOW_S + 0.5},
    "iat a whole float": {"iat": float(NOW_S)},
    "iat digits": {"iat": str(NOW_S)},
    "iat null": {"iat": None},
    "iat negative": {"iat": -1, "exp": 600},
    "iat a list": {"iat": [NOW_S]},
    "iat beyond the leeway": {"iat": NOW_S + 61, "exp": NOW_S + 900},
    "iat far in the future": {"iat": NOW_S + 10**6, "exp": NOW_S + 10**6 + 60},
    "iat of 1970": {"iat": 0, "exp": NOW_S + 60},
    "iat beyond the calendar": {"iat": 10**18, "exp": 10**18 + 60},
    "exp true": {"exp": True},
    "exp a float": {"exp": NOW_S + 900.0},
    "exp digits": {"exp": str(NOW_S + 900)},
    "exp null": {"exp": None},
    "exp an object": {"exp": {}},
    "exp before iat": {"exp": NOW_S - 1},
    "exp equal to iat": {"exp": NOW_S},
    "exp a second over 24 h": {"exp": NOW_S + 86401},
    "exp in year 31 million": {"exp": 10**15},
    "exp of a thousand digits": {"exp": 10**1000},
    "nbf beyond the leeway": {"nbf": NOW_S + 61},
    "nbf digits": {"nbf": str(NOW_S)},
    "nbf false": {"nbf": False},
    "nbf null": {"nbf": None},
    "aud a string": {"aud": "recorder"},
    "aud a list": {"aud": ["recorder"]},
    "aud null": {"aud": None},
    "aud empty": {"aud": ""},
    "acl null": {"acl": None},
    "acl a string": {"acl": "/**"},
    "acl without paths": {"acl": {}},
    "acl paths a list": {"acl": {"paths": ["/**"]}},
    "acl path relative": {"acl": {"paths": {"**": {}}}},
    "acl ** in the middle": {"acl": {"paths": {"/**/files": {}}}},
    "acl conditions true": {"acl": {"paths": {"/**": True}}},
    "acl methods a string": {"acl": {"paths": {"/**": {"methods": "GET"}}}},
    "acl methods of numbers": {"acl": {"paths": {"/**": {"methods": [1]}}}},
}

LATE_CLAIMS: dict[str, JsonObject] = {
    "exp this very second": {"iat": NOW_S - 900, "exp": NOW_S},
    "exp a second ago": {"iat": NOW_S - 901, "exp": NOW_S - 1},
    "iat over 24 h old": {"iat": NOW_S - 86401, "exp": NOW_S - 1},
}


def hostile_tokens(workshop: Workshop) -> dict[str, str]:
    """Return every hostile token by name."""
    tokens = {name: workshop.token(header=changes) for name, changes in BAD_HEADERS.items()}
    tokens |= {name: workshop.token(claims=changes) for name, changes in BAD_CLAIMS.items()}
    tokens |= {f"no {name}": workshop.token(drop=(name,)) for name in ("application_id", "iat", "jti")}
    return tokens | _signed_wrongly(workshop) | _written_wrongly(workshop) | _json_wrong(workshop)


def _signed_wrongly(workshop: Workshop) -> dict[str, str]:
    good = workshop.token()
    head, body, signature = good.split(".")
    changed = b64(json.dumps(good_claims({"application_id": str(OTHER)})).encode())
    pss = workshop.ours.private.sign(
        f"{head}.{body}".encode(), padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256()
    )
    sha1 = workshop.ours.private.sign(f"{head}.{body}".encode(), padding.PKCS1v15(), hashes.SHA1())
    pem = workshop.ours.public_pem
    return {
        "signed by a stranger": workshop.token(key=workshop.stranger),
        "signed by another application": workshop.token(key=workshop.other),
        "our key for another application": workshop.token(claims={"application_id": str(OTHER)}),
        "signed with an expired key": workshop.token(key=workshop.expired),
        "signed with a key of 1024 bits": workshop.token(key=workshop.short),
        "a key of 1024 bits by its kid": workshop.token(header={"kid": "short-key"}, key=workshop.short),
        "old key under the kid of the new": workshop.token(header={"kid": "new-key"}, key=workshop.old),
        "claims changed": f"{head}.{changed}.{signature}",
        "signature empty": f"{head}.{body}.",
        "signature cut": f"{head}.{body}.{signature[:-4]}",
        "signature of zeros": f"{head}.{body}.{b64(bytes(256))}",
        "signature of another token": f"{head}.{body}.{workshop.token(claims={'jti': 'x'}).split('.')[2]}",
        "signature PSS": f"{head}.{body}.{b64(pss)}",
        "signature SHA-1": f"{head}.{body}.{b64(sha1)}",
        "HS256 with the PEM as secret": workshop.hmac_token(pem.encode()),
        "HS256 with the stripped PEM": workshop.hmac_token(pem.strip().encode()),
        "HS256 with an empty secret": workshop.hmac_token(b""),
        "RS256 named, HMAC made": workshop.hmac_token(pem.encode(), alg="RS256"),
    }


def _written_wrongly(workshop: Workshop) -> dict[str, str]:
    good = workshop.token()
    head, body, signature = good.split(".")
    return {
        "one part": head,
        "two parts": f"{head}.{body}",
        "four parts": f"{good}.{signature}",
        "five parts": f"{head}..{body}..{signature}",
        "only dots": "..",
        "padded": f"{head}.{body}.{signature}==",
        "plain base64": f"{head}.{body}.{signature.replace('-', '+').replace('_', '/')}/",
        "line break inside": f"{head}.{body[:10]}\n{body[10:]}.{signature}",
        "space inside": f"{head}.{body[:10]} {body[10:]}.{signature}",
        "zero byte behind": f"{good}\0",
        "not ASCII": f"{good}\u00e9",
        "wide letters": good.replace("e", "\uff45", 1),
        "stray bits in the last letter": f"{head}.{body}.{_with_stray_bits(signature)}",
        "over 8 KiB": workshop.token(claims={"pad": "x" * 8192}),
        "a megabyte": "A" * 2**20,
        "JSON serialization": json.dumps({"protected": head, "payload": body, "signature": signature}),
        "Bearer twice": f"Bearer {good}",
        "two tokens": f"{good},{good}",
    }


def _json_wrong(workshop: Workshop) -> dict[str, str]:
    claims = json.dumps(good_claims()).encode()
    twice = claims[:-1] + b', "application_id": "' + str(OTHER).encode() + b'"}'
    return {
        "header not JSON": workshop.raw(b"alg=RS256", claims),
        "header a list": workshop.raw(b'["RS256"]', claims),
        "header alg twice": workshop.raw(b'{"alg":"none","alg":"RS256"}', claims),
        "claims a string": workshop.raw(_HEADER, b'"claims"'),
        "claims null": workshop.raw(_HEADER, b"null"),
        "claims a nested token": workshop.raw(_HEADER, workshop.token().encode()),
        "claims empty": workshop.raw(_HEADER, b""),
        "claim twice": workshop.raw(_HEADER, twice),
        "claim twice by an escape": workshop.raw(
            _HEADER, twice.replace(b'"application_id": "7', b'"application\\u005fid": "7')
        ),
        "exp twice": workshop.raw(_HEADER, claims[:-1] + b', "exp": 99999999999}'),
        "acl twice inside": workshop.raw(_HEADER, claims[:-1] + b', "acl": {"paths": {}, "paths": {"/**": {}}}}'),
        "exp NaN": workshop.raw(_HEADER, claims.replace(str(NOW_S + 900).encode(), b"NaN")),
        "exp Infinity": workshop.raw(_HEADER, claims.replace(str(NOW_S + 900).encode(), b"Infinity")),
        "exp as exponent": workshop.raw(_HEADER, claims.replace(str(NOW_S + 900).encode(), b"1e10")),
        "byte order mark": workshop.raw(_HEADER, b"\xef\xbb\xbf" + claims),
        "UTF-16": workshop.raw(_HEADER, claims.decode().encode("utf-16")),
        "not UTF-8": workshop.raw(_HEADER, claims.replace(b"0a6f5e0c", b"\xff\xfe")),
        "text behind the object": workshop.raw(_HEADER, claims + b"{}"),
        "comment": workshop.raw(_HEADER, b"/* */" + claims),
        "objects 900 deep": workshop.raw(_HEADER, b'{"a":' * 900 + b"1" + b"}" * 900),
        "brackets 2,900 deep": workshop.raw(_HEADER, b'{"a":' + b"[" * 2900 + b"]" * 2900 + b"}"),
    }


def _with_stray_bits(signature: str) -> str:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return signature[:-1] + letters[letters.index(signature[-1]) + 1]

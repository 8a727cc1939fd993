import ast
import asyncio
import doctest
import time
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from recorder import tokens
from recorder.tokens import application_token
from recorder_service.access.keys import KeyPair, generate_key_pair
from recorder_service.access.tokens import TokenVerifier
from recorder_service.domain.application import Application, ApplicationKey

APPLICATION_ID = UUID("2c4f0e1a-6d9e-4a5b-9f0e-9b8a1c2d3e4f")
NOW_S = 1_772_366_400


@pytest.fixture(scope="module")
def pair() -> KeyPair:
    return asyncio.run(generate_key_pair())


def test_examples_in_the_documentation_hold(pair: KeyPair) -> None:
    """They are run as they stand."""
    outcome = doctest.testmod(tokens, extraglobs={"PRIVATE_KEY_PEM": pair.private_key_pem})
    assert outcome.attempted > 0
    assert outcome.failed == 0


def test_claims_are_those_of_the_published_sdks(pair: KeyPair) -> None:
    """Header and claims, no more and no less."""
    token = application_token(str(APPLICATION_ID).upper(), pair.private_key_pem, now=NOW_S + 0.9)
    claims = jwt.decode(
        token, pair.public_key_pem, algorithms=["RS256"], options={"verify_exp": False, "verify_iat": False}
    )
    assert jwt.get_unverified_header(token) == {"alg": "RS256", "typ": "JWT"}
    assert str(UUID(claims.pop("jti"))) != str(APPLICATION_ID)
    assert claims == {"application_id": str(APPLICATION_ID), "iat": NOW_S, "exp": NOW_S + 900}
    assert type(claims["iat"]) is int


def test_key_is_read_once(pair: KeyPair) -> None:
    """To read one takes 50 ms: a client that makes a token for every call would do little else."""
    application_token(APPLICATION_ID, pair.private_key_pem)
    began_s = time.process_time()
    for _ in range(100):
        application_token(APPLICATION_ID, pair.private_key_pem)
    assert time.process_time() - began_s < 1


async def test_service_accepts_the_token(pair: KeyPair) -> None:
    """What the client makes the service verifies, its limits included."""
    now = datetime.fromtimestamp(NOW_S, UTC)
    key = ApplicationKey("k", pair.public_key_pem, now)

    class Stored:
        async def get(self, application_id: UUID) -> Application:
            return Application(application_id, "n", "12ab34cd", "s", now, now, keys=(key,))

    verifier = TokenVerifier(Stored(), bytes(32), lambda: now)
    acl = {"paths": {"/*/files/**": {"methods": ["GET"]}}}
    token = application_token(APPLICATION_ID, pair.private_key_pem.encode(), ttl_s=86_400, acl=acl, now=NOW_S)
    principal = await verifier.verify(f"Bearer {token}")
    assert principal.application_id == APPLICATION_ID
    assert principal.permits("/v1/files/1")
    assert not principal.permits("/v1/files/1", "DELETE")


def test_no_two_tokens_have_the_same_id(pair: KeyPair) -> None:
    """Even when made in the same second."""
    made = {application_token(APPLICATION_ID, pair.private_key_pem, now=NOW_S) for _ in range(10)}
    assert len(made) == 10


@pytest.mark.parametrize("ttl_s", [-1, 0, 29, 86_401])
def test_life_out_of_range_is_refused(pair: KeyPair, ttl_s: int) -> None:
    """The service would refuse it later and less clearly."""
    with pytest.raises(ValueError, match="ttl_s"):
        application_token(APPLICATION_ID, pair.private_key_pem, ttl_s=ttl_s)


def test_bad_application_id_is_named(pair: KeyPair) -> None:
    """The message says which argument it is."""
    with pytest.raises(ValueError, match="application_id is 'x'"):
        application_token("x", pair.private_key_pem)


@pytest.mark.parametrize("case", ["text", "public", "elliptic", "encrypted"])
def test_bad_key_is_named_and_not_shown(pair: KeyPair, case: str) -> None:
    """The message holds nothing of the key."""
    key = serialization.load_pem_private_key(pair.private_key_pem.encode(), None)
    form = serialization.PrivateFormat.PKCS8
    pem = {
        "text": b"secret text",
        "public": pair.public_key_pem.encode(),
        "elliptic": ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, form, serialization.NoEncryption()
        ),
        "encrypted": key.private_bytes(
            serialization.Encoding.PEM, form, serialization.BestAvailableEncryption(b"passphrase")
        ),
    }[case]
    with pytest.raises(ValueError, match="private_key_pem is not") as caught:
        application_token(APPLICATION_ID, pem)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("module", ["tokens", "webhooks"])
def test_helper_imports_nothing_of_the_service(module: str) -> None:
    """They go to people who run no service."""
    source = Path(tokens.__file__).with_name(f"{module}.py").read_text()
    imported = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {getattr(node, "module", None) or node.names[0].name for node in imported}
    assert not any(name.startswith("recorder_service") for name in names)

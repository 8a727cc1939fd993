import asyncio
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from tests.unit.access.token_workshop import Workshop, new_key

from recorder_service.access.keys import (
    check_public_key,
    generate_key_pair,
    make_api_key,
    make_key_id,
    make_signature_secret,
)
from recorder_service.errors import BadInput, Reason


def public_pem(key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey) -> str:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


async def test_generated_pair_fits_together() -> None:
    """The public half belongs to the private one and is one that is accepted."""
    pair = await generate_key_pair()
    private = serialization.load_pem_private_key(pair.private_key_pem.encode(), None)
    assert isinstance(private, rsa.RSAPrivateKey)
    assert private.key_size == 2048
    assert public_pem(private.public_key()) == pair.public_key_pem == check_public_key(pair.public_key_pem)


async def test_generating_does_not_hold_up_the_loop() -> None:
    """While a key is made the loop goes on turning."""
    making = asyncio.create_task(generate_key_pair())
    longest_s = 0.0
    while not making.done():
        start_s = time.perf_counter()
        await asyncio.sleep(0)
        longest_s = max(longest_s, time.perf_counter() - start_s)
    await making
    assert longest_s < 0.25


async def test_private_half_is_not_in_the_repr() -> None:
    """A pair in a log gives nothing away."""
    assert "PRIVATE" not in repr(await generate_key_pair())


def test_pkcs1_form_becomes_the_normal_one(workshop: Workshop) -> None:
    """Both PEM forms of one key are the same key afterwards."""
    pkcs1 = (
        workshop.ours.private.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1)
        .decode()
    )
    assert check_public_key(pkcs1) == workshop.ours.public_pem
    assert check_public_key("\r\n" + workshop.ours.public_pem.replace("\n", "\r\n")) == workshop.ours.public_pem


@pytest.mark.parametrize(
    "case",
    ["empty", "text", "private", "short", "exponent", "elliptic", "edwards", "cut", "two", "long", "certificate"],
)
def test_unusable_key_is_refused_without_showing_it(workshop: Workshop, case: str) -> None:
    """Whatever is wrong with it, the error names the field and never the content."""
    good = workshop.ours.public_pem
    private = workshop.ours.private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    pem = {
        "empty": "",
        "text": "not a key",
        "private": private,
        "short": workshop.short.public_pem,
        "exponent": new_key(exponent=3).public_pem,
        "elliptic": public_pem(ec.generate_private_key(ec.SECP256R1()).public_key()),
        "edwards": public_pem(ed25519.Ed25519PrivateKey.generate().public_key()),
        "cut": good[:200],
        "two": good + workshop.other.public_pem,
        "long": good + "x" * 20000,
        "certificate": good.replace("PUBLIC KEY", "CERTIFICATE"),
    }[case]
    with pytest.raises(BadInput) as caught:
        check_public_key(pem, "add_key.public_key_pem")
    assert caught.value.reason is Reason.INVALID_FIELD
    assert caught.value.details["field"] == "add_key.public_key_pem"
    assert private.splitlines()[1] not in f"{caught.value.message}{caught.value.details}"


def test_names_and_secrets_have_their_shapes() -> None:
    """Ids are hex of fixed length; the secret is long enough for HS256; none repeats."""
    assert int(make_api_key(), 16) >= 0
    assert len(make_api_key()) == 8
    assert len(make_key_id()) == 16
    assert len(make_signature_secret().encode()) >= 32
    assert len({make_signature_secret() for _ in range(100)}) == 100

"""What goes wrong before a call begins: one typed error, from both Python clients, against a real server."""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.clients.conformance import Bench

from recorder import channel, sync
from recorder.errors import RecorderError
from recorder.line import CallSettings
from recorder.ncco import caller, start_call
from recorder.tokens import application_token
from recorder.v1.recorder_service_pb2 import StartCall

SETTINGS = CallSettings(connect_for_s=1)
START = start_call([caller()])


@dataclass(frozen=True)
class Attempt:
    """A call that must not begin."""

    target: str
    token: str
    start: StartCall


def wrong_target(bench: Bench) -> Attempt:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return Attempt(f"127.0.0.1:{probe.getsockname()[1]}", bench.tenant.token(), START)


def wrong_port_of_the_server(bench: Bench) -> Attempt:
    return Attempt(f"127.0.0.1:{bench.server.ports.http}", bench.tenant.token(), START)


def wrong_key(bench: Bench) -> Attempt:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Attempt(bench.target, application_token(bench.tenant.application_id, pem), START)


def expired_token(bench: Bench) -> Attempt:
    return Attempt(bench.target, bench.tenant.token(ttl_s=60, now=time.time() - 3600), START)


def wrong_option(bench: Bench) -> Attempt:
    start = start_call([caller()], {"action": "record", "endOnSilence": 2})
    return Attempt(bench.target, bench.tenant.token(), start)


CASES = [
    (wrong_target, "UNAVAILABLE", True),
    (wrong_port_of_the_server, "UNAVAILABLE", True),
    (wrong_key, "INVALID_TOKEN", False),
    (expired_token, "TOKEN_EXPIRED", False),
    (wrong_option, "INVALID_OPTION", False),
]


async def by_the_loop(attempt: Attempt) -> None:
    async with (
        channel.connect(attempt.target, token=attempt.token) as client,
        client.record_call(attempt.start, SETTINGS),
    ):
        pytest.fail("the block was entered")


def by_the_thread(attempt: Attempt) -> None:
    with (
        sync.connect(attempt.target, token=attempt.token) as client,
        client.record_call(attempt.start, SETTINGS),
    ):
        pytest.fail("the block was entered")


@pytest.mark.parametrize(("make", "reason", "retryable"), CASES)
async def test_async_client_raises_one_typed_error(
    bench: Bench, make: Callable[[Bench], Attempt], reason: str, *, retryable: bool
) -> None:
    """The reason is the server's, and `retryable` says whether trying again helps."""
    with pytest.raises(RecorderError) as refusal:
        await by_the_loop(make(bench))
    assert (refusal.value.reason, refusal.value.retryable) == (reason, retryable)
    assert refusal.value.message


@pytest.mark.parametrize(("make", "reason", "retryable"), CASES)
def test_sync_client_raises_one_typed_error(
    bench: Bench, make: Callable[[Bench], Attempt], reason: str, *, retryable: bool
) -> None:
    """The same, in the thread that asked."""
    with pytest.raises(RecorderError) as refusal:
        by_the_thread(make(bench))
    assert (refusal.value.reason, refusal.value.retryable) == (reason, retryable)

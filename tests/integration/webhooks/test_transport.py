import asyncio
import contextlib
import hashlib
import json
import socket
import time
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl

import jwt
import pytest
from tests.harness.certificates import Authority
from tests.integration.webhooks.endpoints import (
    Behaviour,
    answering,
    break_off_body,
    close,
    drip_body,
    drip_headers,
    endless_body,
    flood_headers,
    hang,
    inform_for_ever,
    listening,
    reset,
    talk_nonsense,
)
from tests.unit.webhooks.webhook_values import APPLICATION, BODY, SECRET, new_delivery

from recorder_service.domain.options import HttpMethod
from recorder_service.webhooks.addresses import AddressGuard, Resolver
from recorder_service.webhooks.answer import Answer
from recorder_service.webhooks.networks import AddressRules
from recorder_service.webhooks.request import request_of
from recorder_service.webhooks.signing import sign_webhook
from recorder_service.webhooks.transport import TransportSettings, WebhookTransport

QUICK = TransportSettings(connect_timeout_s=0.5, total_timeout_s=0.6, body_timeout_s=0.2)


class Names:
    """A name server in memory; each name has answers that it gives in turn, the last one for ever."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self.answers = {name.replace("_", "."): list(given) for name, given in answers.items()}

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        try:
            left = self.answers[host]
        except KeyError:
            raise socket.gaierror(socket.EAI_NONAME, "unknown") from None
        return left.pop(0) if len(left) > 1 else left[0]


LOOPBACK_NAMES = {"good_example": [["127.0.0.1"]], "other_example": [["127.0.0.1"]]}


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@contextlib.asynccontextmanager
async def transport(
    authority: Authority,
    resolver: Resolver | None = None,
    allowed: Sequence[str] = ("127.0.0.1/32",),
    settings: TransportSettings = QUICK,
) -> AsyncIterator[WebhookTransport]:
    guard = AddressGuard(AddressRules(allowed), resolver or Names(**LOOPBACK_NAMES))
    async with WebhookTransport(guard, settings, authority.trusting()) as made:
        yield made


async def send(transport: WebhookTransport, url: str, method: HttpMethod = HttpMethod.POST) -> Answer:
    delivery = new_delivery(url, method)
    request = request_of(delivery)
    return await transport.send(
        request, sign_webhook(APPLICATION, delivery.delivery_id, request.signed_payload, datetime.now(UTC))
    )


async def test_post_arrives_byte_for_byte_and_verifies(authority: Authority) -> None:
    """PyJWT, as receivers use it, accepts the signature, and the hash is that of the body received."""
    async with listening(answering(204, body=b"")) as endpoint, transport(authority) as sender:
        assert await send(sender, endpoint.url("good.example", "/a/b?tenant=7")) == Answer(204)
    (request,) = endpoint.received
    assert (request.method, request.target, request.body) == ("POST", "/a/b?tenant=7", BODY)
    claims = jwt.decode(request.token, SECRET, algorithms=["HS256"])
    assert claims["payload_hash"] == hashlib.sha256(request.body).hexdigest()
    assert claims["jti"] == str(new_delivery("http://x/").delivery_id)
    assert request.headers == {
        "host": f"good.example:{endpoint.port}",
        "user-agent": "Recorder/1",
        "accept": "*/*",
        "authorization": f"Bearer {request.token}",
        "content-type": "application/json",
        "content-length": str(len(BODY)),
        "connection": "close",
    }


async def test_get_arrives_as_query_and_verifies(authority: Authority) -> None:
    """The receiver rebuilds compact JSON from its query parameters and finds the signed hash."""
    async with listening(answering(200)) as endpoint, transport(authority) as sender:
        assert (await send(sender, endpoint.url("good.example", "/hook?a=1"), HttpMethod.GET)).success
    (request,) = endpoint.received
    assert (request.method, request.body) == ("GET", b"")
    assert "content-length" not in request.headers
    query = dict(parse_qsl(request.target.partition("?")[2]))
    assert list(query) == ["a", *json.loads(BODY)]
    rebuilt = json.dumps(query, separators=(",", ":"), ensure_ascii=False).encode()
    claims = jwt.decode(request.token, SECRET, algorithms=["HS256"])
    assert claims["payload_hash"] == hashlib.sha256(rebuilt).hexdigest()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_not_followed(authority: Authority, status: int) -> None:
    """Not even to a place that would be allowed."""
    async with listening(answering(200)) as target:
        behaviour = answering(status, f"Location: {target.url()}")
        async with listening(behaviour) as endpoint, transport(authority) as sender:
            answer = await send(sender, endpoint.url())
    assert (answer.status, answer.success) == (status, False)
    assert "redirects are not followed" in answer.error
    assert target.connections == 0


@pytest.mark.parametrize("status", [206, 400, 401, 404, 410, 429, 500, 503])
async def test_failure_is_told_with_its_status(authority: Authority, status: int) -> None:
    """With Retry-After where there is one, and nothing of what the endpoint wrote."""
    behaviour = answering(status, "Retry-After: 7", body=b"<secret>")
    async with listening(behaviour) as endpoint, transport(authority) as sender:
        answer = await send(sender, endpoint.url())
    assert (answer.status, answer.retry_after_s) == (status, 7)
    assert "secret" not in answer.error


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (hang, "no answer within 0.6 s"),
        (drip_headers, "no answer within 0.6 s"),
        (inform_for_ever, "no answer within 0.6 s"),
        (reset, "broke"),
        (close, "not HTTP, or the connection ended"),
        (talk_nonsense, "not HTTP"),
        (flood_headers, "not HTTP"),
    ],
)
async def test_bad_endpoint_costs_bounded_time(authority: Authority, behaviour: Behaviour, error: str) -> None:
    """No behaviour holds a worker longer than the total, and each failure says what it was."""
    async with listening(behaviour) as endpoint, transport(authority) as sender:
        start_s = time.monotonic()
        answer = await send(sender, endpoint.url())
        assert time.monotonic() - start_s < 1.5
    assert answer.status == 0
    assert error in answer.error


@pytest.mark.parametrize("behaviour", [drip_body, endless_body, break_off_body])
async def test_status_decides_whatever_the_body_does(authority: Authority, behaviour: Behaviour) -> None:
    """200 is 200, and the body costs a fraction of a second."""
    async with listening(behaviour) as endpoint, transport(authority) as sender:
        start_s = time.monotonic()
        assert await send(sender, endpoint.url()) == Answer(200)
        assert time.monotonic() - start_s < 0.55


async def test_endless_body_costs_little_memory(authority: Authority) -> None:
    """The cap holds while reading, not afterwards."""
    async with listening(endless_body) as endpoint, transport(authority) as sender:
        await send(sender, endpoint.url())
        tracemalloc.start()
        try:
            await asyncio.gather(*(send(sender, endpoint.url()) for _ in range(5)))
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak_bytes < 12 * 2**20  # client and server together, five at once


async def test_connection_is_gone_after_an_endless_body(authority: Authority) -> None:
    """The endpoint notices that nobody reads any more."""
    async with listening(endless_body) as endpoint, transport(authority) as sender:
        await send(sender, endpoint.url())
        async with asyncio.timeout(2):
            await endpoint.broken_off.wait()


async def test_refused_connection_is_an_answer(authority: Authority) -> None:
    """Nobody listens there."""
    async with listening(answering(200)) as endpoint:
        pass
    async with transport(authority) as sender:
        assert "no connection" in (await send(sender, endpoint.url())).error


async def test_tls_is_checked_against_the_name_and_not_the_address(authority: Authority) -> None:
    """The connection goes to a checked address; SNI, certificate and Host stay with the name."""
    server = authority.server("good.example")
    names: list[str] = []
    server.sni_callback = lambda _socket, name, _context: names.append(name)
    async with listening(answering(200), tls=server) as endpoint, transport(authority) as sender:
        assert await send(sender, endpoint.url("good.example", scheme="https")) == Answer(200)
        assert await send(sender, endpoint.url("GOOD.example", scheme="https")) == Answer(200)
    assert names == ["good.example"] * 2
    assert endpoint.received[0].headers["host"] == f"good.example:{endpoint.port}"


@pytest.mark.parametrize("host", ["other.example", "127.0.0.1"])
async def test_certificate_for_another_name_is_refused(authority: Authority, host: str) -> None:
    """And nothing of the event is sent."""
    server = authority.server("good.example")
    async with listening(answering(200), tls=server) as endpoint, transport(authority) as sender:
        answer = await send(sender, endpoint.url(host, scheme="https"))
    assert answer.status == 0
    assert "certificate was refused" in answer.error
    assert endpoint.received == []


async def test_certificate_of_an_unknown_authority_is_refused(authority: Authority, tmp_path: Path) -> None:
    """Whom the machine does not trust is not sent anything."""
    server = Authority(tmp_path).server("good.example")
    async with listening(answering(200), tls=server) as endpoint, transport(authority) as sender:
        assert "certificate was refused" in (await send(sender, endpoint.url("good.example", scheme="https"))).error
    assert endpoint.received == []


async def test_certificate_for_an_address_is_accepted_for_that_address(authority: Authority) -> None:
    """URLs with an address may have TLS too."""
    server = authority.server("127.0.0.1")
    async with listening(answering(200), tls=server) as endpoint, transport(authority) as sender:
        assert await send(sender, endpoint.url(scheme="https")) == Answer(200)


async def test_plain_text_on_a_tls_port_is_an_answer(authority: Authority) -> None:
    """Https to an http port fails in words."""
    patient = TransportSettings(connect_timeout_s=5, total_timeout_s=15)
    async with listening(answering(200)) as endpoint, transport(authority, settings=patient) as sender:
        assert (await send(sender, endpoint.url(scheme="https"))).error in {
            "the TLS handshake failed",
            "no connection: refused or not reachable",
            "no connection within 5 s",
        }


async def test_handshake_that_hangs_is_given_up(authority: Authority) -> None:
    """A server that accepts and then says nothing."""
    async with listening(hang) as endpoint, transport(authority) as sender:
        start_s = time.monotonic()
        assert (await send(sender, endpoint.url("good.example", scheme="https"))).status == 0
        assert time.monotonic() - start_s < 1.5


async def test_rebinding_name_is_never_connected_to(authority: Authority) -> None:
    """A name server that answers well when asked first and badly later gains nothing."""
    names = Names(rebind_example=[["127.0.0.1"], ["127.0.0.2"]])
    async with (
        listening(answering(200)) as good,
        listening(answering(200), host="127.0.0.2", port=good.port) as bad,
        transport(authority, names) as sender,
    ):
        answers = [await send(sender, good.url("rebind.example")) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 0, 0]
    assert "loopback" in answers[1].error
    assert (good.connections, bad.connections) == (1, 0)


@pytest.mark.parametrize(
    "host", ["127.0.0.2", "127.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "0x7f.1", "localhost"]
)
async def test_forbidden_address_is_never_connected_to(authority: Authority, host: str) -> None:
    """A listener on every loopback address sees nothing."""
    names = Names(localhost=[["::1", "127.0.0.1"]])
    async with (
        listening(answering(200), host="0.0.0.0") as endpoint,
        transport(authority, names, allowed=()) as sender,
    ):
        answer = await send(sender, endpoint.url(host))
    assert answer.status == 0
    assert answer.error
    assert endpoint.connections == 0


async def test_unknown_name_is_an_answer(authority: Authority) -> None:
    """DNS errors close the way."""
    async with transport(authority) as sender:
        assert "cannot be looked up" in (await send(sender, "http://nowhere.example/")).error


async def test_lookup_that_hangs_is_given_up(authority: Authority) -> None:
    """The lookup counts as part of connecting."""

    class Never:
        async def addresses(self, host: str, port: int) -> Sequence[str]:
            await asyncio.sleep(60)
            return []

    async with transport(authority, Never()) as sender:
        assert "no connection within 0.5 s" in (await send(sender, "http://slow.example/")).error


async def test_second_address_is_tried_when_the_first_does_not_answer(authority: Authority) -> None:
    """Both were checked before."""
    names = Names(two_example=[["127.0.0.3", "127.0.0.1"]])
    async with (
        listening(answering(200)) as endpoint,
        transport(authority, names, allowed=("127.0.0.0/8",)) as sender,
    ):
        assert await send(sender, endpoint.url("two.example")) == Answer(200)


async def test_proxies_of_the_environment_are_ignored(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """Webhooks go straight to where the guard has looked."""
    async with listening(answering(200)) as proxy, listening(answering(200)) as endpoint:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        async with transport(authority) as sender:
            assert (await send(sender, endpoint.url("good.example"))).success
    assert proxy.connections == 0
    assert endpoint.connections == 1


async def test_cancelled_request_leaves_no_connection(authority: Authority) -> None:
    """Stopping the service cuts requests off and raises CancelledError on."""
    async with listening(hang) as endpoint, transport(authority, settings=TransportSettings()) as sender:
        task = asyncio.create_task(send(sender, endpoint.url()))
        await endpoint.busy.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(2):
            await endpoint.idle.wait()


async def test_hundred_requests_at_once_all_arrive(authority: Authority) -> None:
    """The transport itself does not queue."""
    async with listening(answering(200)) as endpoint, transport(authority, settings=TransportSettings()) as sender:
        answers = await asyncio.gather(*(send(sender, endpoint.url()) for _ in range(100)))
    assert {answer.status for answer in answers} == {200}
    assert len(endpoint.received) == 100

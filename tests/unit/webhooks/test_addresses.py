import asyncio
import socket
from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from recorder_service.webhooks.addresses import AddressGuard, AddressRefused, SystemResolver, ascii_host
from recorder_service.webhooks.networks import AddressRules

# fmt: off
FORBIDDEN_HOSTS = [
    "127.0.0.1", "127.255.255.254", "127.1", "127.0.1", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "0X7F000001",
    "2130706433", "017700000001", "127.0.0.1.", "127.1.", "0.0.0.0", "0", "0.", "0x0", "00", "0x", "127.0.0.01",
    "127.0.0.256", "1.2.3.4.5", "1..2", "999999999999", "10.0.0.1", "10.255.255.255", "172.16.0.1",
    "172.31.255.255", "192.168.0.1", "192.168.255.255", "0xc0a80001", "3232235521", "100.64.0.1",
    "100.100.100.200", "100.127.255.255", "169.254.169.254", "169.254.169.254.", "0xa9fea9fe", "2852039166",
    "169.254.1.1", "192.0.0.192", "192.0.2.1", "198.51.100.7", "203.0.113.9", "198.18.0.1", "198.19.255.255",
    "192.88.99.1", "192.52.193.1", "192.31.196.1", "192.175.48.1", "168.63.129.16", "224.0.0.1",
    "239.255.255.250", "240.0.0.1", "255.255.255.255", "0.1.2.3", "8.8.8", "8.8.8.0x8", "134744072", "::",
    "::1", "0:0:0:0:0:0:0:1", "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:8.8.8.8", "0:0:0:0:0:ffff:0a00:0001",
    "::127.0.0.1", "::8.8.8.8", "::ffff:0:127.0.0.1", "fe80::1", "fe80::1%eth0", "fe80::1%1", "fe80::1%25eth0",
    "2606:4700::1%eth0", "febf::1", "fec0::1", "fc00::1", "fd00:ec2::254", "fd12:3456::1", "ff02::1", "ff0e::1",
    "64:ff9b::7f00:1", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:7f00:1::", "2001:2::1",
    "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::", "2002:0808:0808::1", "3fff::1", "5f00::1",
    "4000::1", "2620:4f:8000::1", "1:2:3", "::g", "[::1]", "::1]", "1::2::3",
]
# fmt: on

ODD_NAMES = [
    "",
    ".",
    "..",
    "a..b",
    ".a",
    "-a.example",
    "a b",
    "a\tb",
    "a/b",
    "a\\b",
    "a@b",
    "a?b",
    "a#b",
    "a%2e",
    "%31%32%37",
    "a\0b",
    "a,b",
    "*",
    "a" * 64 + ".example",
    "a." * 130,
]

# Characters that IDNA turns into digits, dots and letters: still 127.0.0.1, or localhost.
DISGUISED = [
    "\uff11\uff12\uff17.0.0.1",
    "\u2460\u2461\u2466.0.0.1",
    "127\u30020\u30020\u30021",
    "127\uff0e0\uff0e0\uff0e1",
    "\u00b9\u00b2\u2077.0.0.1",
    "\uff10x7f.1",
]

ALLOWED_ADDRESSES = [
    "8.8.8.8", "1.1.1.1", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1", "126.255.255.255",
    "128.0.0.1", "169.253.255.255", "169.255.0.1", "172.15.255.255", "172.32.0.1", "192.167.255.255", "192.169.0.1",
    "198.17.255.255", "198.20.0.1", "223.255.255.255", "2606:4700:4700::1111", "2a00:1450::1", "2001:4860:4860::8888",
    "2620:4f:7fff::1", "3ffe::1",
]  # fmt: skip


class Names:
    """A resolver with fixed answers that counts how often it is asked."""

    def __init__(self, *answers: Sequence[str] | OSError) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer


class NoNames:
    """A resolver that must not be asked."""

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        raise AssertionError(f"{host} was looked up")


def guard(resolver: Names | NoNames | SystemResolver, *allowed: str) -> AddressGuard:
    return AddressGuard(AddressRules(allowed), resolver)


@pytest.mark.parametrize("host", FORBIDDEN_HOSTS)
async def test_forbidden_spelling_is_refused_without_a_lookup(host: str) -> None:
    """Every spelling of an address that may not be reached, and every odd spelling of any."""
    with pytest.raises(AddressRefused):
        await guard(NoNames()).checked_addresses(host, 443)


def test_table_has_enough_spellings() -> None:
    """The table is as long as promised."""
    assert len(set(FORBIDDEN_HOSTS)) + len(DISGUISED) >= 100


@pytest.mark.parametrize("host", ODD_NAMES)
async def test_what_is_no_host_name_is_refused_without_a_lookup(host: str) -> None:
    """Only letters, digits, hyphens and underscores in labels of 1 to 63."""
    with pytest.raises(AddressRefused):
        await guard(NoNames()).checked_addresses(host, 443)


@pytest.mark.parametrize("host", DISGUISED)
async def test_disguised_address_is_seen_through(host: str) -> None:
    """Unicode that IDNA maps to an address is that address."""
    with pytest.raises(AddressRefused):
        await guard(NoNames()).checked_addresses(ascii_host(host), 443)


@pytest.mark.parametrize("address", ALLOWED_ADDRESSES)
async def test_public_address_is_allowed(address: str) -> None:
    """Neighbours of forbidden networks are not refused with them."""
    assert await guard(NoNames()).checked_addresses(address, 443) == (ip_address(address),)


@pytest.mark.parametrize("address", [host for host in FORBIDDEN_HOSTS if host.count(".") == 3 and host[-1] != "."])
async def test_name_that_leads_to_a_forbidden_address_is_refused(address: str) -> None:
    """What a name server says is checked as what a URL says."""
    with pytest.raises(AddressRefused):
        await guard(Names([address])).checked_addresses("hook.example", 443)


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_one_forbidden_address_spoils_the_name(place: int) -> None:
    """Every address is checked, wherever it stands in the answer."""
    answer = ["93.184.215.14", "2606:2800:21f:cb07::1"]
    answer.insert(place, "10.0.0.7")
    with pytest.raises(AddressRefused, match="private"):
        await guard(Names(answer)).checked_addresses("hook.example", 443)


async def test_good_name_gives_all_its_addresses_once() -> None:
    """In the order of the answer."""
    names = Names(["93.184.215.14", "2606:2800:21f:cb07::1", "93.184.215.14"])
    found = await guard(names).checked_addresses("hook.example.", 443)
    assert [str(address) for address in found] == ["93.184.215.14", "2606:2800:21f:cb07::1"]
    assert names.asked == ["hook.example."]


@pytest.mark.parametrize(
    "answer",
    [
        socket.gaierror(socket.EAI_AGAIN, "try again"),
        socket.gaierror(socket.EAI_NONAME, "unknown"),
        OSError("broken"),
        [],
        ["not an address"],
        ["93.184.215.14"] + [f"93.184.216.{index}" for index in range(40)],
        ["fe80::1%eth0"],
    ],
)
async def test_lookup_that_fails_is_a_refusal(answer: Sequence[str] | OSError) -> None:
    """Closed, not open, when it is not known where a name leads."""
    with pytest.raises(AddressRefused):
        await guard(Names(answer)).checked_addresses("hook.example", 443)


async def test_operator_may_allow_a_network() -> None:
    """Only addresses within it, and only in their plain spelling."""
    allowing = guard(NoNames(), "10.20.0.0/16", "fd12::/48", "127.0.0.0/8")
    for host in ("10.20.3.4", "fd12::7", "127.0.0.1"):
        assert await allowing.checked_addresses(host, 80)
    for host in ("10.21.0.1", "fd13::7", "::ffff:10.20.3.4", "2130706433", "fd12::7%eth0", "127.1", "::1"):
        with pytest.raises(AddressRefused):
            await allowing.checked_addresses(host, 80)


async def test_even_the_whole_internet_allowed_does_not_unwrap_mapped_addresses() -> None:
    """`::/0` is no way around the IPv4 rules."""
    with pytest.raises(AddressRefused):
        await guard(NoNames(), "::/0").checked_addresses("::ffff:127.0.0.1", 80)


def test_bad_network_is_refused_at_start() -> None:
    """A typing error in the operator's list is found before anything is sent."""
    with pytest.raises(ValueError, match="host bits"):
        AddressRules(["10.0.0.1/8"])


async def test_message_names_the_host_and_no_address() -> None:
    """The tenant reads it, and is not told what the network looks like inside."""
    with pytest.raises(AddressRefused) as caught:
        await guard(Names(["10.1.2.3"])).checked_addresses("intranet.example", 443)
    assert "intranet.example" in caught.value.message
    assert "10.1.2.3" not in f"{caught.value.message}{caught.value.details}"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("EXAMPLE.com", "example.com"),
        ("b\u00fccher.example", "xn--bcher-kva.example"),
        ("B\u00dcCHER.example", "xn--bcher-kva.example"),
        ("\u4f8b\u3048.jp", "xn--r8jz45g.jp"),
    ],
)
def test_names_in_other_scripts_become_ascii(host: str, expected: str) -> None:
    """As browsers do it."""
    assert ascii_host(host) == expected


@pytest.mark.parametrize("host", ["\u200d", "a\u0301\u200b\u0300.\ud800", "\u2488com", "xn--\u00fc"])
def test_text_that_has_no_ascii_form_is_refused(host: str) -> None:
    """Not guessed at."""
    with pytest.raises(AddressRefused):
        ascii_host(host)


async def test_system_resolver_finds_localhost_and_the_guard_refuses_it() -> None:
    """The real resolver, and the reason why it must not be trusted."""
    resolver = SystemResolver(threads=1)
    try:
        assert "127.0.0.1" in await resolver.addresses("localhost", 80)
        async with asyncio.timeout(10):
            for host in ("localhost", "localhost."):
                with pytest.raises(AddressRefused):
                    await guard(resolver).checked_addresses(host, 80)
    finally:
        resolver.close()

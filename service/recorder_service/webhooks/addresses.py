"""The address guard: from the host of a URL to addresses that were checked and may be connected to."""

import asyncio
import re
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Protocol

import idna

from recorder_service.errors import Reason, RecorderError
from recorder_service.webhooks.networks import AddressRules, IpAddress

_MAX_ADDRESSES = 32
_PLAIN_IPV4 = re.compile(r"(0|[1-9][0-9]{0,2})(\.(0|[1-9][0-9]{0,2})){3}")
_NUMBER = re.compile(r"[0-9]+|0[xX][0-9a-fA-F]*")
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*\.?")
_MAX_NAME_LENGTH = 253


class AddressRefused(RecorderError):
    """The host may not be connected to, or nobody knows where it is. The message names no address of a network."""

    def __init__(self, host: str, why: str) -> None:
        super().__init__(Reason.INVALID_URL, f"host {host[:80]} {why}", details={"field": "host", "value": host[:80]})


class Resolver(Protocol):
    """Where names are looked up."""

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """Return every address of a host name.

        Raises:
            OSError: The name cannot be looked up.
        """
        ...


class SystemResolver:
    """The machine's own resolver, in threads of its own, so that a slow name server holds up nothing else.

    A lookup that nobody waits for any more keeps its thread until the name server's time is over, so there should be
    as many threads as webhooks are sent at once.
    """

    def __init__(self, threads: int = 32) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="webhook-dns")

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """Return every address of a host name."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return [str(entry[4][0]) for entry in found]

    def close(self) -> None:
        """Let go of the threads; lookups under way are not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class AddressGuard:
    """Finds the addresses of a host and refuses the host if one of them is forbidden.

    Whoever connects must connect to an address this returned, not to the name: between two lookups a name server can
    change its answer.
    """

    def __init__(self, rules: AddressRules, resolver: Resolver) -> None:
        self._rules = rules
        self._resolver = resolver

    async def checked_addresses(self, host: str, port: int) -> tuple[IpAddress, ...]:
        """Return the addresses of a host, each of them allowed, in the resolver's order.

        Args:
            host: A name (ASCII, see `ascii_host`) or an address without brackets.
            port: Where it will be connected to.

        Raises:
            AddressRefused: One is forbidden, the host is spelled oddly, or the lookup failed.
        """
        literal = _literal(host)
        addresses = (literal,) if literal is not None else await self._resolved(host, port)
        for address in addresses:
            problem = self._rules.problem(address)
            if problem is not None:
                raise AddressRefused(
                    host,
                    f"has an address that webhooks may not go to ({problem}); use a public one, or let the operator "
                    "allow its network in webhook_allow_cidrs",
                )
        return addresses

    async def _resolved(self, host: str, port: int) -> tuple[IpAddress, ...]:
        try:
            texts = await self._resolver.addresses(host, port)
            addresses = tuple(dict.fromkeys(ip_address(text) for text in texts))
        except (OSError, ValueError) as error:
            raise AddressRefused(host, "cannot be looked up") from error
        if not 1 <= len(addresses) <= _MAX_ADDRESSES:
            raise AddressRefused(host, f"has {len(addresses)} addresses, not 1 to {_MAX_ADDRESSES}")
        return addresses


def ascii_host(host: str) -> str:
    """Return the host of a URL in lower-case ASCII, names in other scripts in their IDNA form.

    Raises:
        AddressRefused: It is neither a host name nor an address.

    Source: RFC 5891; UTS 46 mapping, non-transitional.
    """
    if host.isascii():
        return host.lower()
    try:
        return idna.encode(host, uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError) as error:
        raise AddressRefused(host, "is not a host name") from error


def _literal(host: str) -> IpAddress | None:
    """Return the address that `host` spells out; None if it is a name.

    System resolvers read 127.1, 0x7f000001, 017700000001 and 2130706433 as addresses. Nobody writes a public address
    so; a host whose last label is a number is therefore four plain decimal numbers or it is refused.
    """
    if ":" in host:
        return _ipv6(host)
    last_label = host.removesuffix(".").rpartition(".")[2]
    if not _NUMBER.fullmatch(last_label):
        if len(host) > _MAX_NAME_LENGTH + 1 or not _NAME.fullmatch(host):
            raise AddressRefused(host, "is not a host name")
        return None
    plain = host.removesuffix(".")
    try:
        if _PLAIN_IPV4.fullmatch(plain):
            return IPv4Address(plain)
    except ValueError:
        pass
    raise AddressRefused(host, "is an odd spelling of an IPv4 address; write four decimal numbers")


def _ipv6(host: str) -> IPv6Address:
    try:
        return IPv6Address(host)
    except ValueError:
        raise AddressRefused(host, "is not an IPv6 address") from None

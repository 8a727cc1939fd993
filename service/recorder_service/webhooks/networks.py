"""Which addresses webhooks may go to."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network

# Source: the IANA special-purpose registries (RFC 6890), multicast (RFC 5771), and what clouds serve to their machines.
_FORBIDDEN_V4 = (
    ("0.0.0.0/8", "this network"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "carrier-grade NAT"),
    ("127.0.0.0/8", "loopback"),
    ("168.63.129.16/32", "cloud metadata"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "protocol assignments"),
    ("192.0.2.0/24", "documentation"),
    ("192.31.196.0/24", "AS112"),
    ("192.52.193.0/24", "AMT relay"),
    ("192.88.99.0/24", "6to4 relay"),
    ("192.168.0.0/16", "private"),
    ("192.175.48.0/24", "AS112"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
)
# Global IPv6 unicast is 2000::/3 without these. Everything outside it is refused: loopback, v4-mapped, NAT64, discard,
# SRv6, unique local, link-local, multicast and whatever comes later.
_FORBIDDEN_V6 = (
    ("2001::/32", "Teredo"),
    ("2001::/23", "protocol assignments"),
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "6to4"),
    ("2620:4f:8000::/48", "AS112"),
    ("3fff::/20", "documentation"),
)
_GLOBAL_V6 = IPv6Network("2000::/3")


class AddressRules:
    """The public Internet, and the networks the operator allows on top of it."""

    def __init__(self, allowed_networks: Iterable[str] = ()) -> None:
        """Read the operator's list.

        Args:
            allowed_networks: CIDRs such as `10.20.0.0/16` or `fd12::/48`.

        Raises:
            ValueError: One is not a CIDR.
        """
        self._allowed: tuple[IpNetwork, ...] = tuple(ip_network(cidr) for cidr in allowed_networks)
        self._forbidden = tuple((ip_network(cidr), kind) for cidr, kind in _FORBIDDEN_V4 + _FORBIDDEN_V6)

    def problem(self, address: IpAddress) -> str | None:
        """Return why an address may not be connected to (`private`, `loopback`, ...), or None if it may.

        Two kinds are refused whatever is allowed: an IPv6 address with a zone, for it means an interface of this
        machine, and an IPv4 address mapped into IPv6, for it is a second spelling that nobody needs.
        """
        if isinstance(address, IPv6Address) and (address.scope_id is not None or address.ipv4_mapped is not None):
            return "zone or IPv4 inside IPv6"
        if any(address in network for network in self._allowed):
            return None
        if isinstance(address, IPv6Address) and address not in _GLOBAL_V6:
            return "not global unicast"
        return next((kind for network, kind in self._forbidden if address in network), None)

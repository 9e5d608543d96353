"""Which addresses may be fetched from: public ones, and those that the operator allows.

An address of IPv6 that stands for one of IPv4 (mapped, NAT64) is judged by that one; 6to4, Teredo and the other forms
that hide one are refused. Lists: the IANA registries of special-purpose addresses (RFC 6890 and its updates).
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

NOT_PUBLIC_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "168.63.129.16/32",  # public in form; every machine in Azure finds its host behind it
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "192.175.48.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)
PUBLIC_6 = IPv6Network("2000::/3")
NOT_PUBLIC_6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")))
NAT64 = IPv6Network("64:ff9b::/96")


def networks_of(text: str) -> tuple[Network, ...]:
    """Networks or single addresses between commas. Raises ValueError."""
    return tuple(ip_network(word) for word in text.replace(",", " ").split())


def may_fetch(address: Address, allowed: Sequence[Network] = ()) -> bool:
    """Whether a connection to it may be made."""
    meant = _meant(address)
    return _is_public(meant) or any(meant in network for network in allowed if network.version == meant.version)


def parsed(text: str) -> Address:
    """An address as `getaddrinfo` gives it, without a zone. Raises ValueError."""
    return ip_address(text.partition("%")[0])


def _meant(address: Address) -> Address:
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in NAT64:
            return IPv4Address(address.packed[-4:])
    return address


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in NOT_PUBLIC_4)
    return address in PUBLIC_6 and not any(address in network for network in NOT_PUBLIC_6)

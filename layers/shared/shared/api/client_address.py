"""Whom limits count: an account, else a client's address, one per IPv4 address or IPv6 /64, as a keyed hash."""

import hashlib
import hmac
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from shared.api.auth.caller import Caller

# What one customer of a provider holds at least (RFC 6177): 2^64 addresses that cost nothing.
IPV6_PREFIX_BITS = 64
# IPv4 clients behind a translator (RFC 6052): the last 32 bits are theirs, and all of them share one /64.
NAT64 = IPv6Network("64:ff9b::/96")
# Nothing that can be read as an address: all such callers share one bucket.
UNKNOWN = "unknown"


def find_limit_principal(caller: Caller | None, source_ip: str, secret: str) -> str:
    """Return whom limits count: the account, else the address, of which only a keyed hash is kept."""
    return f"sub:{caller.sub}" if caller is not None else f"address:{hash_address(source_ip, secret)}"


def normalise_address(source_ip: str) -> str:
    """Return what an address is counted as: an IPv4 address, an IPv6 /64, or `unknown` for anything else.

    An IPv6 address that stands for an IPv4 one (mapped, 6to4, NAT64) is counted as that.
    """
    try:
        address = ip_address(source_ip.strip().partition("%")[0])
    except ValueError:
        return UNKNOWN
    return str(_unwrap_mapped_address(address))


def hash_address(source_ip: str, secret: str) -> str:
    """Return the keyed hash of a counted address; without the secret it says nothing of the address."""
    # Of 2^32 IPv4 addresses a plain hash is reversed by trying them all.
    return hmac.new(secret.encode(), normalise_address(source_ip).encode(), hashlib.sha256).hexdigest()[:32]


def _unwrap_mapped_address(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Network:
    if isinstance(address, IPv4Address):
        return address
    if inner := address.ipv4_mapped or address.sixtofour:
        return inner
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return IPv6Network((address, IPV6_PREFIX_BITS), strict=False)

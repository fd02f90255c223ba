"""The principal that limits count: an account, or else a keyed hash of the client's IPv4 address or IPv6 /64."""

import hashlib
import hmac
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from shared.api.auth.caller import Caller

# The smallest network that a provider's customer gets (RFC 6177): 2^64 addresses that cost nothing.
IPV6_PREFIX_BITS = 64
# IPv4 clients behind a translator (RFC 6052) all share one /64; the last 32 bits are their address.
NAT64 = IPv6Network("64:ff9b::/96")
# Not an address; all such callers share one bucket.
UNKNOWN = "unknown"


def find_limit_principal(caller: Caller | None, source_ip: str, secret: str) -> str:
    """Return the principal that limits count: the account, or else a keyed hash of the address."""
    return f"sub:{caller.sub}" if caller is not None else f"address:{hash_address(source_ip, secret)}"


def normalise_address(source_ip: str) -> str:
    """Return an address as limits count it: an IPv4 address, an IPv6 /64, or `unknown` for anything else.

    An IPv6 address that embeds an IPv4 address (mapped, 6to4, NAT64) counts as the latter.
    """
    try:
        address = ip_address(source_ip.strip().partition("%")[0])
    except ValueError:
        return UNKNOWN
    return str(_unwrap_mapped_address(address))


def hash_address(source_ip: str, secret: str) -> str:
    """Return the keyed hash of a normalised address, which reveals nothing without the secret."""
    # A plain hash could be reversed by trying all 2^32 IPv4 addresses.
    return hmac.new(secret.encode(), normalise_address(source_ip).encode(), hashlib.sha256).hexdigest()[:32]


def _unwrap_mapped_address(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Network:
    if isinstance(address, IPv4Address):
        return address
    if inner := address.ipv4_mapped or address.sixtofour:
        return inner
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return IPv6Network((address, IPV6_PREFIX_BITS), strict=False)

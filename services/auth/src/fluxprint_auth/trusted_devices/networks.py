"""Address ranges that one attacker can have, and that several people may share."""

from ipaddress import IPv6Address, ip_address, ip_network

IPV4_BITS = 24
IPV6_BITS = 48


def network_of(address: str) -> str:
    """The /24 of an IPv4 address, the /48 of an IPv6 one; what is no address stands for itself."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is None:
            return str(ip_network((parsed, IPV6_BITS), strict=False))
        parsed = parsed.ipv4_mapped
    return str(ip_network((parsed, IPV4_BITS), strict=False))

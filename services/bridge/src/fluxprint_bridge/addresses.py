"""What an address says of where a machine is."""

from ipaddress import ip_address


def is_loopback(host: str) -> bool:
    """Whether a host, by name or number, is the machine that asks."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False

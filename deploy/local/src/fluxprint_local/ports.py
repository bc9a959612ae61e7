"""Free ports on loopback."""

import random
import socket

# Below the range that the kernel takes ports for outgoing connections from, so that a port found free stays free.
FIRST, LAST = 20_000, 32_000


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A random free port; random, so that two that ask at the same time get different ones."""
    while True:
        port = random.randint(FIRST, LAST)  # noqa: S311
        if is_free(port):
            return port

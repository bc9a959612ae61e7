"""Free ports on loopback."""

import random
import socket
import sys
from collections import deque

# Below the range that the kernel takes ports for outgoing connections from, so that a port found free stays free.
FIRST, LAST = 20_000, 32_000
#: The last so many that this process was given are nobody else's.
RESERVED = 32

_reserved: deque[socket.socket] = deque()


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
    """A random free port, that nobody else who asks here gets before somebody can listen there."""
    while True:
        port = random.randint(FIRST, LAST)  # noqa: S311
        if is_free(port) and _reserve(port):
            return port


def _reserve(port: int) -> bool:
    """Whether no process has just been given this port. The sign of it is a name in Linux's abstract namespace
    (unix(7)), which is one process's and goes with it; elsewhere nothing is reserved."""
    if sys.platform != "linux":
        return True
    name = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        name.bind(f"\0fluxprint-port-{port}")
    except OSError:
        name.close()
        return False
    while len(_reserved) >= RESERVED:
        _reserved.popleft().close()
    _reserved.append(name)
    return True

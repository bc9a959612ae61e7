"""What the supervisor starts: a command, how one sees that it is ready, and how it ends."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fluxprint_local.bootstrap import SetupError

SETTING_PREFIXES = ("FLUXPRINT_", "AUTH_", "QUEUE_", "CAMERA_", "BRIDGE_", "MIGRATE_", "OCTOPRINT_")


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process of the local stack."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Its settings and secrets. Of the caller's environment it sees everything but settings of FluxPrint."""
    is_ready: Callable[[], Awaitable[bool]]
    ready_timeout_s: float = 120
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_s: float = 10
    identity: Sequence[str] = ()
    """A command prefix that changes the user. It stands before the tie to the parent, which a change of user cuts."""
    death_signal: signal.Signals = signal.SIGKILL
    """What the process gets when its parent is gone, however that ended."""

    def full_command(self) -> list[str]:
        return [*self.identity, *_tie_to_parent(self.death_signal), *self.command]

    def full_environment(self) -> dict[str, str]:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(SETTING_PREFIXES)}
        return {**inherited, **self.environment}


def _tie_to_parent(death_signal: signal.Signals) -> list[str]:
    if sys.platform != "linux":
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise SetupError(
            "setpriv is missing, without which a killed stack leaves processes behind: apt-get install util-linux"
        )
    return [setpriv, "--pdeathsig", death_signal.name.removeprefix("SIG"), "--"]


async def at_once() -> bool:
    """For what cannot be asked, and need not be."""
    return True


def beside_python(name: str) -> Path:
    """The path of a program that a wheel of this environment brought."""
    return Path(sys.executable).with_name(name)


async def http_status(host: str, port: int, path: str) -> int | None:
    """The status that a server there answers a GET with, or None when it does not answer."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return None
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        words = (await reader.readline()).split()
    except OSError:
        return None
    else:
        return int(words[1]) if len(words) > 1 and words[1].isdigit() else None
    finally:
        writer.close()


async def is_healthy(port: int) -> bool:
    """Whether the service on that port of loopback says that it can work."""
    return await http_status("127.0.0.1", port, "/health") == 200

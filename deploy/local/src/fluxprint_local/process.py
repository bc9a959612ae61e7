"""What the supervisor starts: a command, how one sees that it is ready, and how it ends."""

import shutil
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fluxprint_local.bootstrap import SetupError


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process of the local stack. `environment` is all that it sees of the environment."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    is_ready: Callable[[], Awaitable[bool]]
    ready_timeout_s: float = 30
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_s: float = 10
    identity: Sequence[str] = ()
    """A command prefix that changes the user. It stands before the tie to the parent, which a change of user cuts."""
    death_signal: signal.Signals = signal.SIGKILL
    """What the process gets when its parent is gone, however that ended."""

    def full_command(self) -> list[str]:
        return [*self.identity, *_tie_to_parent(self.death_signal), *self.command]


def _tie_to_parent(death_signal: signal.Signals) -> list[str]:
    if sys.platform != "linux":
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise SetupError(
            "setpriv is missing, without which a killed stack leaves processes behind: apt-get install util-linux"
        )
    return [setpriv, "--pdeathsig", death_signal.name.removeprefix("SIG"), "--"]


def beside_python(name: str) -> Path:
    """The path of a program that a wheel of this environment brought."""
    return Path(sys.executable).with_name(name)

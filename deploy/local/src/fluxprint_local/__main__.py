"""The commands of `./fluxprint`, after `bootstrap` has prepared the environment."""

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

from fluxprint_local.bootstrap import ROOT, SetupError

Command = Callable[[list[str]], None]


def ours(module: str, function: str) -> Command:
    """A command of this package, imported when it is wanted."""

    def run(arguments: list[str]) -> None:
        command: Command = getattr(importlib.import_module(f"fluxprint_local.{module}"), function)
        command(arguments)

    return run


def tool(*command: str) -> Command:
    """A command that becomes another program of the environment, with the caller's arguments added."""

    def run(arguments: list[str]) -> None:
        os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}"
        os.chdir(ROOT)
        os.execvp(command[0], [*command, *arguments])

    return run


def ready(_arguments: list[str]) -> None:
    print("Ready. Next: ./fluxprint up, ./fluxprint demo or ./fluxprint test")


COMMANDS: dict[str, tuple[str, Command]] = {
    "setup": ("prepare .venv and stop there", ready),
    "up": ("start everything on this machine and stay until ctrl-C", ours("up", "up")),
    "down": ("end what `up` started", ours("up", "down")),
    "admin": (
        "`admin create EMAIL` makes an administrator on the running stack; `admin --help`",
        ours("up", "admin"),
    ),
    "demo": ("print a real file on a real OctoPrint with its virtual printer", ours("demo", "demo")),
    "test": ("run the tests (arguments go to pytest)", tool("tools/test")),
    "lint": ("check style, types, walls between rooms, migrations, the API document", tool("tools/lint")),
    "bench": ("measure, and print the ratios", tool("python", "-m", "tools.bench")),
    "soak": (
        "let viewers come, go and get stuck for minutes, and see that memory stays flat",
        tool("python", "-m", "tools.soak"),
    ),
    "chaos": ("break everything at random while jobs are printed, and judge it", tool("python", "-m", "tools.chaos")),
    "format": ("sort the imports and format the code", tool("sh", "-c", "ruff check --fix-only -q . && ruff format .")),
    "lock": ("write requirements/*.txt again (--upgrade for newer versions)", tool("tools/lock")),
    "roles": ("write docs/roles.md again: who may do what", tool("python", "-m", "tools.roles", "build")),
    "openapi": ("write openapi/openapi.json again", tool("tools/openapi")),
}


def main(arguments: list[str]) -> None:
    name = arguments[0] if arguments else "help"
    if name in COMMANDS:
        COMMANDS[name][1](arguments[1:])
        return
    print("usage: ./fluxprint COMMAND")
    for command, (explanation, _) in COMMANDS.items():
        print(f"  {command:<8} {explanation}")
    if name not in {"help", "--help", "-h"}:
        sys.exit(f"fluxprint: there is no command {name!r}")


try:
    main(sys.argv[1:])
except SetupError as error:
    sys.exit(f"fluxprint: {error}")
except KeyboardInterrupt:
    sys.exit(130)

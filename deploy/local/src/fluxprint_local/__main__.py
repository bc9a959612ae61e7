"""The commands of `./fluxprint`, after `bootstrap` has prepared the environment."""

import os
import sys
from collections.abc import Callable

from fluxprint_local.bootstrap import ROOT


def tool(*command: str) -> Callable[[list[str]], None]:
    """A command that becomes another program of the environment, with the caller's arguments added."""

    def run(arguments: list[str]) -> None:
        bin_folder = os.path.dirname(sys.executable)  # noqa: PTH120
        os.environ["PATH"] = f"{bin_folder}:{os.environ.get('PATH', os.defpath)}"
        os.chdir(ROOT)
        os.execvp(command[0], [*command, *arguments])

    return run


def setup(_arguments: list[str]) -> None:
    print("Ready. Next: ./fluxprint up, ./fluxprint demo or ./fluxprint test")


COMMANDS: dict[str, tuple[str, Callable[[list[str]], None]]] = {
    "setup": ("prepare .venv and stop there", setup),
    "test": ("run the tests (arguments go to pytest)", tool("python", "-m", "pytest")),
    "format": (
        "sort the imports and format the code",
        tool("sh", "-c", "ruff check --fix-only . && ruff format ."),
    ),
    "lock": ("write requirements/*.txt again (--upgrade for newer versions)", tool("tools/lock")),
}


def main(arguments: list[str]) -> None:
    name = arguments[0] if arguments else "help"
    if name in COMMANDS:
        COMMANDS[name][1](arguments[1:])
        return
    for command, (explanation, _) in COMMANDS.items():
        print(f"  ./fluxprint {command:<8} {explanation}")
    if name not in {"help", "--help", "-h"}:
        sys.exit(f"fluxprint: there is no command {name!r}")


main(sys.argv[1:])

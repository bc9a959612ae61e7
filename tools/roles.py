"""`python -m tools.roles build` writes docs/roles.md from the code, `check` fails where the two differ.

Which role has which permission stands in `fluxprint_common.permissions`, which routes a permission opens in the routes.
"""

import difflib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from fluxprint_auth.dependencies import fresh
from fluxprint_common.permissions import BEYOND_KEYS, PERSONAL, ROLE_PERMISSIONS, Permission, Role
from tools.apps import create_apps, documents

FILE = Path(__file__).resolve().parents[1] / "docs/roles.md"

_HEAD = """\
# Who may do what

Written from the code by `./fluxprint roles`: what this says is what the services enforce, and `./fluxprint lint` fails
where it is not. The table is `fluxprint_common.permissions`; a route names its permission in its signature.

- A person has one **role** in each of their organisations, and gives others roles below their own: owners make
  managers, editors, viewers and clients, managers the last three. Only owners make owners. An organisation always
  keeps an owner.
- A **client** sees only what is theirs: their own jobs and files.
- A **bridge** is no person: it works for the printers that name it, and sees nothing else.
- An **API key** does what its maker's role allows at that moment, narrowed to its scopes, which are these permissions;
  what is personal no key can have. A key that is limited to printers does nothing beyond them.
- **Administrators** of the installation have `installation:manage` besides their role.
- *fresh*: the caller must have proved who they are within the last ten minutes (`POST /auth/reauthenticate`).
  Making, unmaking and removing an owner asks for that too.

"""


class RolesError(Exception):
    """The committed document is not the one that the code describes."""


@dataclass(frozen=True)
class Opened:
    """A route that a permission opens."""

    method: str
    path: str
    summary: str
    is_fresh: bool

    def __str__(self) -> str:
        return f"| `{self.method} {self.path.removeprefix('/api/v1')}` | {self.summary}{', *fresh*' * self.is_fresh} |"


def build() -> str:
    """The document that the code describes."""
    return _HEAD + "\n".join(_table()) + "\n\n" + "\n".join(_routes()).rstrip() + "\n"


def check(built: str) -> None:
    """Fail where the committed document is another one.

    Raises:
        RolesError: with the first lines that differ.
    """
    committed = FILE.read_text() if FILE.exists() else ""
    if built != committed:
        changes = difflib.unified_diff(
            committed.splitlines(), built.splitlines(), "committed", "code", lineterm="", n=0
        )
        shown = "\n".join(list(changes)[:40])
        raise RolesError(f"{FILE.name} is not what the code describes; run ./fluxprint roles\n{shown}")


def _table() -> Iterator[str]:
    yield f"| permission | {' | '.join(role.value for role in Role)} | API key |"
    yield f"|---|{':-:|' * (len(Role) + 1)}"
    for permission in Permission:
        marks = ["x" if permission in ROLE_PERMISSIONS[role] else "" for role in Role]
        key = "" if permission in BEYOND_KEYS else "x"
        name = f"[`{permission}`](#{permission.replace(':', '')})" + (" (personal)" if permission in PERSONAL else "")
        yield f"| {' | '.join([name, *marks, key])} |"


def _routes() -> Iterator[str]:
    opened = _opened()
    for permission in Permission:
        yield f"## {permission}"
        yield "| route | |\n|---|---|"
        yield from map(str, opened[permission])
        yield ""


def _opened() -> dict[str, list[Opened]]:
    found: dict[str, list[Opened]] = {permission: [] for permission in Permission}
    for service, app in create_apps().items():
        fresh_ones = {
            (method, str(route.path))
            for route in iter_route_contexts(app.routes)
            if (dependant := getattr(route.original_route, "dependant", None)) is not None
            and _asks_for_proof(dependant)
            for method in route.methods or ()
        }
        for path, item in documents()[service]["paths"].items():
            for method, operation in item.items():
                ways = operation["security"]
                for permission in ways[0].get("Bearer", []) if ways else []:
                    is_fresh = (method.upper(), path) in fresh_ones
                    found[permission].append(Opened(method.upper(), path, operation["summary"], is_fresh))
    return {permission: sorted(routes, key=lambda one: (one.path, one.method)) for permission, routes in found.items()}


def _asks_for_proof(dependant: Dependant) -> bool:
    inner = f"{fresh.__module__}.{fresh.__qualname__}.<locals>"
    name = f"{getattr(dependant.call, '__module__', '')}.{getattr(dependant.call, '__qualname__', '')}"
    return name.startswith(inner) or any(map(_asks_for_proof, dependant.dependencies))


def main(arguments: list[str]) -> None:
    if arguments not in (["build"], ["check"]):
        sys.exit("usage: python -m tools.roles build|check")
    built = build()
    if arguments == ["build"]:
        FILE.write_text(built)
        return
    try:
        check(built)
    except RolesError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])

"""`renew-secrets`: encrypt everything anew with AUTH_SECRET, so that AUTH_PREVIOUS_SECRET can go."""

import argparse
from typing import TYPE_CHECKING

from fluxprint_auth import renewal
from fluxprint_auth.commands import running
from fluxprint_auth.commands.running import CommandFailed
from fluxprint_auth.settings import AuthSettings

if TYPE_CHECKING:
    from fluxprint_auth.commands.running import Subparsers


def add_to(commands: "Subparsers") -> None:
    """The command; it takes nothing."""
    running.add(commands, "renew-secrets", run, help="encrypt everything anew with AUTH_SECRET")


async def run(_arguments: argparse.Namespace, settings: AuthSettings) -> None:
    """Renew, and say what was done."""
    async with running.connected(settings, "renew-secrets") as database:
        counts = await renewal.renew(database, settings.keyring())
    running.say(f"{counts.renewed} encrypted anew, {counts.current} were up to date")
    if counts.unreadable:
        raise CommandFailed(
            f"{counts.unreadable} could not be read: they were encrypted with neither AUTH_SECRET nor "
            "AUTH_PREVIOUS_SECRET; set the secret before as AUTH_PREVIOUS_SECRET and run it again"
        )

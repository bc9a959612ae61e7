"""`rotate-signing-key`: a new key that signs soon, or, for a leak, at once."""

import argparse
from datetime import timedelta
from typing import TYPE_CHECKING

from fluxprint_auth.commands import running
from fluxprint_auth.commands.running import CommandFailed
from fluxprint_auth.keys import service
from fluxprint_auth.settings import AuthSettings

if TYPE_CHECKING:
    from fluxprint_auth.commands.running import Subparsers

_BY_FILE = (
    "the key is supplied by AUTH_SIGNING_KEY or AUTH_SIGNING_KEY_FILE, so it is rotated there: the old one becomes "
    "AUTH_PREVIOUS_SIGNING_KEY (or ..._FILE), the new one takes its place, and the service is restarted"
)


def add_to(commands: "Subparsers") -> None:
    """The command and what it takes."""
    parser = running.add(commands, "rotate-signing-key", run, help="make the next key that signs access tokens")
    parser.add_argument("--now", action="store_true", help="somebody knows the old one: withdraw it at once")


async def run(arguments: argparse.Namespace, settings: AuthSettings) -> None:
    """Make the next key and say when it signs."""
    if settings.load_signing_key() is not None:
        raise CommandFailed(_BY_FILE)
    async with running.connected(settings, "rotate-signing-key") as database, database.unit_of_work() as session:
        if arguments.now:
            row = await service.replace(session, settings.keyring())
        else:
            row = await service.rotate(
                session,
                settings.keyring(),
                lead=timedelta(seconds=settings.signing_key_lead_s),
                tokens_live=timedelta(seconds=settings.access_token_s),
            )
    if arguments.now:
        running.say(f"key {row.kid} signs from now on; all others are withdrawn, and their tokens with them")
    else:
        running.say(f"key {row.kid} is published and signs from {row.signs_from.isoformat(timespec='seconds')} on")

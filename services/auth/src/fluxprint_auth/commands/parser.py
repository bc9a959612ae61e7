"""The command line: every command, and what it takes."""

import argparse

from fluxprint_auth.commands import accounts, create_admin, db_status, renew_secrets, rotate_signing_key

#: Each offers `add_to(commands)`.
_MODULES = (create_admin, accounts, rotate_signing_key, renew_secrets, db_status)


def make_parser() -> argparse.ArgumentParser:
    """The parser. What it yields has `run` where a command was given."""
    parser = argparse.ArgumentParser(prog="python -m fluxprint_auth", description="Without a command: serve.")
    commands = parser.add_subparsers(dest="command", metavar="command")
    for module in _MODULES:
        module.add_to(commands)
    return parser

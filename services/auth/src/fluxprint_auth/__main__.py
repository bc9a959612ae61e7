"""`python -m fluxprint_auth`: serve until SIGTERM; `python -m fluxprint_auth create-admin EMAIL`: the first account."""

import argparse
import sys

from fluxprint_common.startup import collection_paused

with collection_paused():
    from fluxprint_auth import administrator
    from fluxprint_auth.app import create_app
    from fluxprint_auth.settings import AuthSettings
    from fluxprint_common import logs
    from fluxprint_common.service import run
    from fluxprint_common.settings import load_or_exit


def main() -> None:
    """Do what the command line asks for."""
    arguments = _parser().parse_args()
    settings = load_or_exit(AuthSettings)
    if arguments.command == "create-admin":
        logs.configure(service="auth", level="WARNING", json=False)
        _create_admin(arguments, settings)
    else:
        run(create_app(settings), settings, service="auth")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fluxprint_auth", description="Without a command: serve.")
    commands = parser.add_subparsers(dest="command", metavar="command")
    create = commands.add_parser("create-admin", help="create the first administrator and an organisation")
    create.add_argument("email")
    create.add_argument("--name", default="Administrator")
    create.add_argument("--organisation", default="FluxPrint")
    create.add_argument("--generate-password", action="store_true", help="make a password and print it, once")
    return parser


def _create_admin(arguments: argparse.Namespace, settings: AuthSettings) -> None:
    password = administrator.generate_password if arguments.generate_password else administrator.ask_for_password
    try:
        account = administrator.checked(
            email=arguments.email, name=arguments.name, organisation=arguments.organisation, password=password
        )
        slug = administrator.create(account, settings)
    except administrator.CannotCreate as error:
        sys.stderr.write(f"not created: {error}\n")
        raise SystemExit(1) from None
    sys.stdout.write(f"administrator {account.email} created, owner of the organisation {slug}\n")
    if arguments.generate_password:
        sys.stdout.write(f"password: {account.password}\n")


if __name__ == "__main__":
    main()

"""`python -m fluxprint_auth`: serve until SIGTERM; with a command: do that (`--help` lists them)."""

from fluxprint_common.startup import collection_paused

with collection_paused():
    from fluxprint_auth.app import create_app
    from fluxprint_auth.commands.parser import make_parser
    from fluxprint_auth.commands.running import execute
    from fluxprint_auth.settings import AuthSettings
    from fluxprint_common.service import run
    from fluxprint_common.settings import load_or_exit


def main() -> None:
    """Do what the command line asks for."""
    arguments = make_parser().parse_args()
    settings = load_or_exit(AuthSettings)
    if arguments.command is None:
        run(create_app(settings), settings, service="auth")
    else:
        execute(arguments, settings)


if __name__ == "__main__":
    main()

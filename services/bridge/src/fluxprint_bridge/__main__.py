"""`python -m fluxprint_bridge`: work until SIGTERM; `python -m fluxprint_bridge pair`: get an identity first."""

import argparse
import asyncio
import contextlib
import logging
import signal
import sys
from pathlib import Path

from fluxprint_bridge import pairing
from fluxprint_bridge.bridge import Bridge
from fluxprint_bridge.journal import JournalInUse
from fluxprint_bridge.settings import BridgeSettings, load_cloud
from fluxprint_common import logs
from fluxprint_common.settings import EX_CONFIG, SettingsError, load_or_exit

EX_TEMPFAIL = 75  # sysexits.h


async def _run(settings: BridgeSettings) -> None:
    work = asyncio.create_task(Bridge(settings).run())
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await work


def main() -> None:
    """Do what the command line asks for."""
    arguments = _parser().parse_args()
    if arguments.command == "pair":
        _pair(arguments)
    else:
        _work()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fluxprint_bridge", description="Without a command: work.")
    commands = parser.add_subparsers(dest="command", metavar="command")
    pair = commands.add_parser("pair", help="show a code that a person confirms in FluxPrint, and keep the token")
    pair.add_argument("--api-url", help="where FluxPrint is; default: FLUXPRINT_API_URL")
    pair.add_argument("--data-dir", type=Path, help="the bridge's folder; default: BRIDGE_DATA_DIR")
    pair.add_argument("--replace", action="store_true", help="give another identity to a bridge that has one")
    return parser


def _pair(arguments: argparse.Namespace) -> None:
    logs.configure(service="bridge", level="WARNING", json=False)
    try:
        settings = load_cloud(api_url=arguments.api_url, data_dir=arguments.data_dir)
        asyncio.run(pairing.pair(settings, replace=arguments.replace))
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(EX_CONFIG)
    except pairing.PairingFailed as error:
        sys.stderr.write(f"not paired: {error}\n")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _work() -> None:
    settings = load_or_exit(BridgeSettings)
    logs.configure(service="bridge", level=settings.log_level, json=settings.log_format == "json")
    for library in ("websockets", "httpcore"):
        logging.getLogger(library).setLevel("INFO")  # their debug lines show messages and headers, credentials included
    try:
        asyncio.run(_run(settings))
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(EX_CONFIG)
    except JournalInUse as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(EX_TEMPFAIL)


if __name__ == "__main__":
    main()

"""`python -m fluxprint_bridge`"""

import asyncio
import contextlib
import logging
import signal
import sys

from fluxprint_bridge.bridge import Bridge
from fluxprint_bridge.journal import JournalInUse
from fluxprint_bridge.settings import BridgeSettings
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


main()

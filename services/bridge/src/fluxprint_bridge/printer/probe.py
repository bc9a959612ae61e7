"""Whether OctoPrint is fit for use: the key, its permissions, and (if wanted) its printer's connection."""

import asyncio
import contextlib
from collections.abc import Mapping
from types import MappingProxyType

from fluxprint_bridge.octoprint.errors import KeyRefused, OctoPrintError, Refused
from fluxprint_bridge.octoprint.state import PrinterState
from fluxprint_bridge.printer.desk import Desk
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

RETRY_S = 2.0
SILENCE_S = 30.0  #: for an OctoPrint that does not answer, unless it answers another question
RETRY_WRONG_KEY_S = 15.0
AGAIN_S = 600.0  # somebody may take a permission away
CONNECT_AGAIN_S = 30.0

#: Permission -> its name in OctoPrint's access control, and what does not work without it.
NEEDED = MappingProxyType(
    {
        "STATUS": ("Status", "the printer can't be watched"),
        "FILES_LIST": ("File List", "stored files can't be verified, nor their print history read"),
        "FILES_UPLOAD": ("File Upload", "files can't be stored"),
        "FILES_SELECT": ("File Select", "files can't be selected for printing"),
        "PRINT": ("Print", "prints can't be started, paused or cancelled"),
    }
)
#: Prints work without it.
FILES_STAY = "without the permission 'File Delete' old files stay in OctoPrint, which slows down with their number"
AUTOCONNECT_NEEDS = ("Connection", "the printer can't be connected (BRIDGE_AUTOCONNECT)")


async def keep_probing(desk: Desk, *, autoconnect: bool) -> None:
    """Check the key for ever; `desk.problem` says what a person has to do."""
    told_that_files_stay = False
    needed = {**NEEDED, "CONNECTION": AUTOCONNECT_NEEDS} if autoconnect else NEEDED
    while True:
        desk.probe_now.clear()
        try:
            account = await desk.octoprint.account()
        except KeyRefused as refused:
            problem: str | None = f"OCTOPRINT_API_KEY is not accepted: {refused}"
        except OctoPrintError:
            await asyncio.sleep(RETRY_S)  # the monitor says that it does not answer
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SILENCE_S):
                    await desk.monitor.answering()
            continue
        else:
            problem = _problem(account.user, account.permissions, needed)
            may_delete = "FILES_DELETE" in account.permissions
            if not may_delete and (desk.may_delete or not told_that_files_stay):
                told_that_files_stay = True
                log.warning("octoprint_files_stay", hint=FILES_STAY)
            desk.may_delete = may_delete
        if problem != desk.problem:
            if problem is not None:
                log.error("octoprint_not_usable", problem=problem)
            desk.problem = problem
            desk.bell.set()
        await desk.monitor.wait(desk.probe_now, RETRY_WRONG_KEY_S if problem else AGAIN_S)


def _problem(user: str | None, permissions: frozenset[str], needed: Mapping[str, tuple[str, str]]) -> str | None:
    if user is None:
        return "OCTOPRINT_API_KEY is unknown to OctoPrint: copy the key of the user made for the bridge."
    missing = [f"'{name}' ({what})" for code, (name, what) in needed.items() if code not in permissions]
    if not missing:
        return None
    return f"Give the OctoPrint user {user} the permission {', '.join(missing)}: Settings > Access Control > Users."


async def keep_connected(desk: Desk) -> None:
    """Connect a printer that is offline, for ever. After an error it is a person who decides."""
    while True:
        changed = desk.monitor.changed
        job = desk.monitor.snapshot.job
        if job is not None and job.state is PrinterState.OFFLINE and job.text == "Offline":
            try:
                async with desk.control:
                    await desk.octoprint.connect()
                log.info("printer_connecting")
            except Refused as refused:
                log.warning("printer_not_connected", error=str(refused))
            except OctoPrintError:
                pass
            await asyncio.sleep(CONNECT_AGAIN_S)
        await desk.monitor.wait(changed, CONNECT_AGAIN_S)

"""The whole bridge: the cloud on one side, printers and cameras on the other, and loops under one supervisor."""

import asyncio
import contextlib
import functools
import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from fluxprint_bridge.camera.discovery import keep_discovering
from fluxprint_bridge.camera.roster import Roster
from fluxprint_bridge.camera.uplink import CameraUplink
from fluxprint_bridge.cloud.api import CloudApi
from fluxprint_bridge.cloud.errors import CloudError
from fluxprint_bridge.cloud.link import WebSocketLink
from fluxprint_bridge.cloud.telemetry import TelemetrySlots
from fluxprint_bridge.foreign_print import ForeignPrints
from fluxprint_bridge.journal import Journal
from fluxprint_bridge.octoprint.client import OctoPrintClient
from fluxprint_bridge.octoprint.monitor import Monitor
from fluxprint_bridge.printer.commands import serve_commands
from fluxprint_bridge.printer.desk import Desk
from fluxprint_bridge.printer.foreign import watch_foreign
from fluxprint_bridge.printer.outbox import Outbox
from fluxprint_bridge.printer.probe import keep_connected, keep_probing
from fluxprint_bridge.printer.staging import Stager
from fluxprint_bridge.printer.telemetry import send_telemetry
from fluxprint_bridge.printer.transfer import tidy
from fluxprint_bridge.printer.worker import Worker
from fluxprint_bridge.settings import BridgeSettings, PrinterSettings
from fluxprint_bridge.staged import Shelf
from fluxprint_common.background import Supervisor, backoff_s
from fluxprint_common.logs import get_logger
from fluxprint_common.settings import SettingsError

log = get_logger(__name__)

SPOOL = "spool"
MAX_BACKOFF_S = 30.0
#: Threads for names to be resolved and files: a name that does not resolve holds one for seconds, and a printer that is
#: switched off asks in several places again and again. The others must always find a free one.
THREADS_A_PRINTER, THREADS = 4, 8
#: At the end: for a start request that is on its way, and for the last reports.
FINISH_START_S = 10.0
FINISH_REPORTS_S = 3.0


class Bridge:
    """Serves every configured printer until it is cancelled; a print that is on goes on without it."""

    def __init__(self, settings: BridgeSettings) -> None:
        self._settings = settings
        self._printers = settings.printers()
        self._loops = Supervisor()
        self._slots = TelemetrySlots()
        self._desks: dict[str, Desk] = {}
        self._rung = asyncio.Event()
        self._roster = Roster()

    async def run(self) -> None:
        """Work for ever. Raises `SettingsError` and `journal.JournalInUse`."""
        settings = self._settings
        threads = THREADS_A_PRINTER * len(self._printers) + THREADS
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(threads))
        async with contextlib.AsyncExitStack() as stack:
            journal = await stack.enter_async_context(Journal(settings.data_dir))
            await tidy(settings.data_dir / SPOOL, journal)
            api = await stack.enter_async_context(CloudApi(settings.api_v1_url, settings.bridge_token()))
            stack.push_async_callback(self._loops.stop)
            self._start_link(api)
            matched = await self._matched(api)
            for printer_id, printer in matched:
                await self._start_printer(printer_id, printer, stack=stack, journal=journal, api=api)
            self._loops.start("cameras", CameraUplink(api.url, api.token, self._roster).run)
            stack.push_async_callback(self._finish)
            log.info("bridge_ready", printers=[printer_id for printer_id, _ in matched])
            await asyncio.Event().wait()

    # -- starting ----------------------------------------------------------------------------------------------------

    def _start_link(self, api: CloudApi) -> None:
        redis_url = self._settings.redis_url
        if redis_url is not None:
            from fluxprint_bridge.cloud.redis_link import RedisLink  # noqa: PLC0415  (a third of a start; few have it)

            link = RedisLink(redis_url, api.token, self._slots, ring=self._ring)
            self._loops.start("link", link.run)
        else:
            web = WebSocketLink(api.url, api.token, self._slots, ring=self._ring, stand_back=self._stand_back)
            self._loops.start("link", web.run)

    async def _matched(self, api: CloudApi) -> Sequence[tuple[str, PrinterSettings]]:
        """Which configured printer is which of the queue's, once the queue says so or the settings do."""
        if all(printer.id is not None for printer in self._printers):
            return [(str(printer.id), printer) for printer in self._printers]
        failures = 0
        while True:
            self._rung.clear()
            try:
                found = await api.printers()
            except CloudError as error:
                failures += 1
                log.warning("cloud_not_ready", error=str(error)[:300])
                await asyncio.sleep(backoff_s(failures, cap_s=MAX_BACKOFF_S))
                continue
            if len(found) == 1:
                return [(found[0].id, self._printers[0])]
            if found:
                names = ", ".join(f"{printer.id} ({printer.name})" for printer in found)
                raise SettingsError(f"PRINTER_ID: this bridge has {len(found)} printers, say which one it is: {names}")
            log.warning("no_printer_yet", hint="add a printer with this bridge in FluxPrint")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.poll_s):
                    await self._rung.wait()

    async def _start_printer(
        self,
        printer_id: str,
        printer: PrinterSettings,
        *,
        stack: contextlib.AsyncExitStack,
        journal: Journal,
        api: CloudApi,
    ) -> None:
        settings = self._settings
        octoprint = await stack.enter_async_context(OctoPrintClient(printer.octoprint_url, printer.octoprint_api_key))
        monitor = Monitor(octoprint)
        desk = Desk(
            printer_id=printer_id,
            octoprint=octoprint,
            monitor=monitor,
            journal=journal,
            api=api,
            outbox=Outbox(journal, api, printer_id),
            shelf=Shelf(journal, printer_id),
            foreign=ForeignPrints(journal, printer_id),
            spool=settings.data_dir / SPOOL,
            poll_s=settings.poll_s * random.uniform(0.8, 1.0),  # noqa: S311  (printers must not ask all at once)
        )
        self._desks[printer_id] = desk
        loops = {
            "poll": monitor.poll,
            "push": monitor.hear,
            "probe": lambda: keep_probing(desk, autoconnect=settings.autoconnect),
            "outbox": desk.outbox.run,
            "foreign": lambda: watch_foreign(desk),
            "commands": lambda: serve_commands(desk),
            "telemetry": lambda: send_telemetry(desk, self._slots),
            "work": Worker(desk).run,
            "stage": Stager(desk, after_s=settings.stage_after_s, keep_files_days=settings.keep_files_days).run,
        }
        if settings.autoconnect:
            loops["connect"] = lambda: keep_connected(desk)
        cameras = printer.camera_configs(octoprint.url)
        if cameras is None:
            found = functools.partial(self._roster.set, printer_id)
            loops["cameras"] = lambda: keep_discovering(octoprint, printer_id, found)
        else:
            self._roster.set(printer_id, cameras)
        for name, loop in loops.items():
            self._loops.start(f"{name}:{printer_id}", loop)

    # -- while it runs -------------------------------------------------------------------------------------------------

    def _ring(self, printer_id: str | None, reason: str) -> None:
        self._rung.set()
        for desk in self._desks.values():
            if printer_id in {None, desk.printer_id}:
                desk.ring(reason)

    def _stand_back(self, standing_back: bool) -> None:
        for desk in self._desks.values():
            desk.standing_back = standing_back

    # -- ending --------------------------------------------------------------------------------------------------------

    async def _finish(self) -> None:
        """Take on nothing more; let a start request get its answer, and the last reports out."""
        log.info("bridge_stopping")
        await asyncio.gather(*(self._finish_work(desk) for desk in self._desks.values()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FINISH_REPORTS_S):
                await asyncio.gather(*(desk.outbox.emptied() for desk in self._desks.values()))
        await self._loops.stop()  # before what they work with is closed

    async def _finish_work(self, desk: Desk) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FINISH_START_S):
                await desk.control.acquire()  # and keep it: nothing is started any more
        await self._loops.stop(f"work:{desk.printer_id}")

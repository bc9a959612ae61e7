"""A bridge as a process of its own, and a look into its journal."""

import asyncio
import json
import shutil
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

import psutil

from fluxprint_local.forks import PYTHON_MODULE, Forked, ForkServer
from fluxprint_local.octoprint import OctoPrint
from fluxprint_local.process import Process, at_once
from support import by_hand
from support.fake_cloud import BRIDGE_TOKEN, Attempt, FakeCloud
from support.octoprint import slow_gcode


class BridgeProcess:
    """Starts, ends and kills the real thing; its data stays in `folder`."""

    #: Where there is one, bridges are forked: half a second of importing less for each of a hundred starts.
    forks: ClassVar[ForkServer | None] = None

    def __init__(self, folder: Path, *, cloud_url: str, settings: dict[str, str]) -> None:
        self.folder = folder
        self.log = folder / "bridge.log"
        environment = {
            "FLUXPRINT_API_URL": cloud_url,
            "FLUXPRINT_ENVIRONMENT": "test",
            "FLUXPRINT_LOG_LEVEL": "DEBUG",
            "BRIDGE_AUTH_TOKEN": BRIDGE_TOKEN,
            "BRIDGE_DATA_DIR": str(folder / "data"),
            "BRIDGE_POLL_S": "1",
            "BRIDGE_STAGE_AFTER_S": "0.1",
            **settings,
        }
        command = [*PYTHON_MODULE, "fluxprint_bridge"]
        self._program = Process(name="bridge", command=command, environment=environment, is_ready=at_once)
        self._process: asyncio.subprocess.Process | Forked | None = None
        self._log_begins = 0

    async def start(self) -> None:
        if self.forks is not None:
            self._process = await self.forks.spawn(self._program, self.log)
            return
        with self.log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *self._program.command, env=self._program.full_environment(), stdout=output, stderr=output
            )

    async def ended(self, timeout_s: float = 20) -> int:
        """Wait for its end and return its exit code."""
        assert self._process is not None
        async with asyncio.timeout(timeout_s):
            return await self._process.wait()

    async def stop(self) -> int:
        """SIGTERM, as systemd does."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
        return await self.ended()

    async def kill(self) -> None:
        """SIGKILL."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)
        await self.ended()

    async def run_on(self) -> None:
        """Start it if a test ended it."""
        if self._process is None or self._process.returncode is not None:
            await self.start()

    async def restart(self) -> None:
        await self.kill()
        await self.start()

    def lose_journal(self) -> None:
        """Of a bridge that was killed."""
        shutil.rmtree(self.folder / "data")

    def journal_states(self) -> dict[str, str]:
        """Attempts and their states, read beside the running bridge."""
        return dict(self._in_journal("SELECT id, state FROM attempt"))

    def journal_sightings(self, attempt_id: str) -> dict[str, object]:
        """What its journal says that it heard of a print."""
        seen = dict(self._in_journal("SELECT id, seen FROM attempt")).get(attempt_id, "{}")
        return dict(json.loads(seen))

    def _in_journal(self, query: str) -> list[tuple[str, str]]:
        file = self.folder / "data/journal.sqlite3"
        if not file.exists():
            return []
        database = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
        try:
            return database.execute(query).fetchall()
        finally:
            database.close()

    def has_sent_to(self, port: int) -> bool:
        """Whether bytes of it wait at this port to be read, as at a frozen process."""
        connections = psutil.Process(self._pid).net_connections("tcp")
        ours = {c.laddr.port for c in connections if c.raddr and c.raddr.port == port}
        lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        ends = [(int(line[1][-4:], 16), int(line[2][-4:], 16), int(line[4][-8:], 16)) for line in lines]
        return any(here == port and there in ours and unread > 0 for here, there, unread in ends)

    @property
    def _pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def logged(self, text: str) -> bool:
        """Whether it logged this since the last `forget_log`."""
        return self.times_logged(text) > 0

    def times_logged(self, text: str) -> int:
        """How often it did, since then."""
        return self.log.read_bytes()[self._log_begins :].count(text.encode())

    def forget_log(self) -> None:
        self._log_begins = self.log.stat().st_size

    async def until_logged(self, text: str, *, timeout_s: float = 20) -> None:
        async with asyncio.timeout(timeout_s):
            while not self.logged(text):
                await asyncio.sleep(0.02)


@asynccontextmanager
async def running_bridge(
    folder: Path,
    *,
    cloud_url: str,
    octoprint: OctoPrint | None,
    octoprint_url: str | None = None,
    settings: dict[str, str] | None = None,
) -> AsyncIterator[BridgeProcess]:
    """A bridge of one OctoPrint, or of those that `settings` name."""
    folder.mkdir(parents=True, exist_ok=True)
    secrets = [BRIDGE_TOKEN]
    given = settings or {}
    if octoprint is not None:
        secrets.append(octoprint.keys.bridge)
        given = {"OCTOPRINT_URL": octoprint_url or octoprint.url, "OCTOPRINT_API_KEY": secrets[-1], **given}
    bridge = BridgeProcess(folder, cloud_url=cloud_url, settings=given)
    await bridge.start()
    try:
        yield bridge
    finally:
        await bridge.stop()
        log = bridge.log.read_text(errors="replace")
        assert not [secret for secret in secrets if secret in log]
        for trouble in ("loop_failed", "loop_ended", "never awaited", "never retrieved"):
            assert trouble not in log, log[-4000:]


async def printed_unwatched(cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint) -> Attempt:
    """A print that the bridge saw begin, and that ended well after the bridge was killed."""
    attempt = await cloud.printing(slow_gcode(2))
    await bridge.kill()
    await by_hand.until_counted(octoprint, attempt.path, 1, 0)
    return attempt

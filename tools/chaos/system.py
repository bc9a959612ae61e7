"""What is broken and repaired: the stack of `up`, real OctoPrints, bridges, and links between them that can fail."""

import asyncio
import contextlib
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from fluxprint_local import octoprint as local_octoprint
from fluxprint_local.datafolder import DataFolder, Ports
from fluxprint_local.octoprint import OctoPrint
from fluxprint_local.ports import free_port
from fluxprint_local.postgres import OWNER
from fluxprint_local.process import Process, at_once, http_status
from fluxprint_local.stack import Place, Stack
from fluxprint_local.supervisor import Supervisor
from tools.chaos.link import Link
from tools.chaos.plan import MOMENT_WITHIN_S, Fault, Kind, Moment

SETTINGS = {
    # Everything that is waited for is as short as it may be set.
    "QUEUE_LEASE_S": "5",
    "QUEUE_PERMIT_VALID_S": "2",
    "QUEUE_FAULT_REST_S": "1",
    "QUEUE_OFFLINE_AFTER_S": "5",
    "QUEUE_COMMAND_DEADLINE_S": "5",
    "QUEUE_LIMIT_JOBS": "100000/minute",
    "QUEUE_LIMIT_OPERATIONS": "100000/minute",
    "QUEUE_LIMIT_UPLOADS": "100000/minute",
    "AUTH_ACCESS_TOKEN_S": "3600",
}
BRIDGE = (sys.executable, "-P", str(Path(__file__).with_name("hurried_bridge.py")))
TWIN_BOOTS_S = 1
NEVER_S = 3600
HELD_S = 0.03  #: so that a fault comes before what it is to prevent
_POLL_S = 0.05


@dataclass(frozen=True)
class Suffered:
    """What became of a planned fault."""

    fault: Fault
    struck: bool  #: there was something to break: a process that is down already can't be killed
    timed: bool  #: the request that it waited for came


class Timeline:
    """What happened, with the moment."""

    def __init__(self) -> None:
        self.notes: list[tuple[float, str]] = []
        self.suffered: list[Suffered] = []
        self.crashes: list[str] = []  #: what ended though nobody killed it

    def clear(self) -> None:
        self.notes.clear()
        self.suffered.clear()
        self.crashes.clear()

    def note(self, text: str) -> None:
        self.notes.append((time.time(), text))


class _Supervisor(Supervisor):
    """Starts what was killed again after as long as the fault lasts."""

    def __init__(self, folder: Path, timeline: Timeline) -> None:
        super().__init__(folder)
        self._timeline = timeline
        self.down_s: dict[str, float] = {}

    def restart_after_s(self, name: str, _earned_s: float) -> float:
        return self.down_s.pop(name, 0.2)

    def say(self, name: str, text: str) -> None:
        if "ended (exit" in text and name != "postgres":  # which gives up while what it left is still there
            self._timeline.crashes.append(f"{name} {text.partition(';')[0]}")
        self._timeline.note(f"{name} {text.partition(';')[0]}")


class System:
    """`async with running(...)`; processes and links are known by their names.

    Processes: `postgres`, `redis`, `traefik`, `auth`, `queue`, `camera`, `octoprint-N`, `bridge-N`. Links of a bridge:
    `bridge-N/cloud` and `bridge-N/octoprint-N`.
    """

    def __init__(self, folder: Path, supervisor: _Supervisor, stack: Stack, ports: Ports, timeline: Timeline) -> None:
        self.folder = folder
        self.timeline = timeline
        self.url = stack.place.local_url
        self.octoprints: list[OctoPrint] = []
        self._supervisor = supervisor
        self._stack = stack
        self._ports = ports
        self.links: dict[str, Link] = {}
        self.bridges: dict[str, Process] = {}
        self._printers: dict[str, Mapping[str, int]] = {}  # of each bridge
        self._twins = 0
        self._read: dict[str, int] = {}  # bytes of logs

    @property
    def database_url(self) -> str:
        """The database as its owner."""
        secrets = self._stack.place.data.secrets()
        return f"postgresql://{OWNER}:{secrets.postgres_password}@127.0.0.1:{self._ports.postgres}/{OWNER}"

    def broken_loops(self) -> list[str]:
        """What bridges logged since the last time about loops that broke: they survive all faults by design."""
        found: list[str] = []
        for name in self.bridges:
            path = self.folder / "logs" / f"{name}.log"
            with path.open("rb") as log:
                log.seek(min(self._read.get(name, 0), path.stat().st_size))
                lines = log.read().decode(errors="replace").splitlines()
                self._read[name] = log.tell()
            found += [f"{name}: {line[:300]}" for line in lines if "loop_failed" in line or "loop_ended" in line]
        return found

    # -- building --------------------------------------------------------------------------------------------------

    async def add_octoprints(self, count: int) -> None:
        """Start so many real ones."""
        python = await asyncio.to_thread(local_octoprint.environment)
        self.octoprints = [
            OctoPrint(self.folder / f"octoprint-{number}", free_port(), python=python, analyses_files=False)
            for number in range(count)
        ]
        await self._supervisor.start(
            *(_octoprint_process(number, octoprint) for number, octoprint in enumerate(self.octoprints))
        )

    async def add_bridge(self, token: str, printers: Mapping[str, int], *, redis: bool) -> None:
        """Start a bridge for printers: the numbers of their OctoPrints by their ids.

        Args:
            redis: its doorbells come over Redis, as in the cloud's own network, and not over a WebSocket.
        """
        name = f"bridge-{len(self.bridges)}"
        doorbells = {"BRIDGE_REDIS_URL": self._stack.redis_url()} if redis else {}
        self.bridges[name] = Process(
            name=name,
            command=BRIDGE,
            environment={
                "FLUXPRINT_ENVIRONMENT": "development",
                "BRIDGE_AUTH_TOKEN": token,
                "BRIDGE_POLL_S": "0.5",
                "BRIDGE_STAGE_AFTER_S": "0.05",
                **await self._own_links(name, printers),
                **doorbells,
            },
            is_ready=at_once,
        )
        self._printers[name] = printers
        await self._supervisor.start(self.bridges[name])

    async def _own_links(self, bridge: str, printers: Mapping[str, int]) -> dict[str, str]:
        """A bridge's folder and links, and the settings that name them."""
        folder = self.folder / bridge
        folder.mkdir(exist_ok=True)
        cloud = await self._add_link(f"{bridge}/cloud", self._stack.place.port)
        entries = []
        for printer, number in printers.items():
            octoprint = self.octoprints[number]
            link = await self._add_link(f"{bridge}/octoprint-{number}", octoprint.port)
            place = f'id = "{printer}"\noctoprint_url = "{link.url}"'
            entries.append(f'[[printers]]\n{place}\noctoprint_api_key = "{octoprint.keys.bridge}"\n')
        (folder / "printers.toml").write_text("\n".join(entries))
        return {
            "FLUXPRINT_API_URL": cloud.url,
            "BRIDGE_DATA_DIR": str(folder / "data"),
            "BRIDGE_CONFIG": str(folder / "printers.toml"),
        }

    async def replace(self, name: str, command: Sequence[str]) -> None:
        """Run a service or a bridge with another program from now on."""
        await self._supervisor.end(name)
        if name in self.bridges:
            process = self.bridges[name] = replace(self.bridges[name], command=command)
        else:
            secrets = self._stack.place.data.secrets()
            process = replace(self._stack.service(name, self._ports, secrets), command=command)
        await self._supervisor.start(process)

    async def _add_link(self, name: str, target: int) -> Link:
        link = self.links[name] = Link(free_port(), target)
        await link.open()
        return link

    async def close(self) -> None:
        for link in self.links.values():
            await link.cut()

    # -- breaking --------------------------------------------------------------------------------------------------

    async def suffer(self, fault: Fault) -> None:
        """Let it happen, and be over."""
        timed = await self.moment(fault.moment)
        self.timeline.note(f"FAULT {fault} for {fault.lasts_s:.2f} s")
        struck = await self._strike(fault)
        self.timeline.suffered.append(Suffered(fault, struck, timed))
        self.timeline.note(f"over: {fault}")

    async def _strike(self, fault: Fault) -> bool:
        """Whether there was something to break."""
        match fault.kind:
            case Kind.KILL:
                return await self.kill(fault.target, down_s=fault.lasts_s)
            case Kind.FREEZE:
                with self.frozen(fault.target) as processes:
                    await asyncio.sleep(fault.lasts_s)
                return bool(processes)
            case Kind.CUT | Kind.STALL | Kind.SLOW | Kind.DEAF:
                await self._break_link(fault)
            case Kind.SERIAL:
                try:
                    await self.octoprints[int(fault.target.rpartition("-")[2])].debug("drop_connection")
                except Exception as error:  # it may not answer, or have no printer just now
                    self.timeline.note(f"{fault} did nothing: {error}")
                    return False
            case Kind.LOST_JOURNAL:
                return await self.lose_journal(fault.target, down_s=fault.lasts_s)
            case Kind.TWIN | Kind.CLONE:
                async with self.twin(fault.target, with_journal=fault.kind is Kind.CLONE):
                    await asyncio.sleep(TWIN_BOOTS_S + fault.lasts_s)
        return True

    async def moment(self, moment: Moment | None) -> bool:
        """Wait for it, if there is one, but not for ever; whether it came."""
        if moment is None:
            return False
        try:
            async with asyncio.timeout(MOMENT_WITHIN_S):
                link = self.links[moment.link]
                await link.passes(moment.words.encode(), hold_s=HELD_S if moment.before else 0.0)
        except TimeoutError:
            return False
        return True

    async def kill(self, name: str, *, down_s: float) -> bool:
        """Kill -9 a process with all that it started; it starts again after `down_s`.

        Returns when it is dead, and whether it was not before.
        """
        pid = self._supervisor.pid(name)
        if pid is None:
            self.timeline.note(f"{name} is down already")
            return False
        self._supervisor.down_s[name] = down_s
        for process in _tree(pid):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        while self._supervisor.pid(name) == pid:
            await asyncio.sleep(0.005)
        return True

    @contextlib.contextmanager
    def frozen(self, name: str) -> Iterator[list[psutil.Process]]:
        """Stop a process with all that it started, and let it go on when the block ends. Gives what is stopped."""
        processes = _tree(self._supervisor.pid(name))
        _signal(processes, signal.SIGSTOP)
        try:
            yield processes
        finally:
            _signal(processes, signal.SIGCONT)

    async def lose_journal(self, bridge: str, *, down_s: float) -> bool:
        if not await self.kill(bridge, down_s=down_s + 0.5):
            return False
        await asyncio.to_thread(shutil.rmtree, self.folder / bridge / "data", ignore_errors=True)
        return True

    @contextlib.asynccontextmanager
    async def twin(self, bridge: str, *, with_journal: bool) -> AsyncIterator[str]:
        """A second process with a bridge's identity; it dies when the block ends. Gives its name."""
        self._twins += 1
        name = f"twin-{self._twins}"
        settings = await self._own_links(name, self._printers[bridge])
        own = self.folder / bridge / "data"
        if with_journal and own.exists():
            with self.frozen(bridge):
                shutil.copytree(own, settings["BRIDGE_DATA_DIR"])
        original = self.bridges[bridge]
        environment = {**original.environment, **settings}
        await self._supervisor.start(replace(original, name=name, environment=environment))
        try:
            yield name
        finally:
            await self.kill(name, down_s=NEVER_S)
            await self._supervisor.end(name)
            for link in [link for link in self.links if link.startswith(f"{name}/")]:
                await self.links.pop(link).cut()
            shutil.rmtree(self.folder / name, ignore_errors=True)

    async def _break_link(self, fault: Fault) -> None:
        link = self.links[fault.target]
        match fault.kind:
            case Kind.CUT:
                await link.cut()
            case Kind.STALL:
                link.stall()
            case Kind.SLOW:
                link.slow()
            case _:
                link.deafen()
        await asyncio.sleep(fault.lasts_s)
        await link.heal()

    # -- repairing -------------------------------------------------------------------------------------------------

    async def healed(self) -> None:
        """Wait until every process answers again."""
        for octoprint in self.octoprints:
            while await octoprint.state() is None:
                await asyncio.sleep(_POLL_S)
        for name in ("auth", "queue"):
            while await http_status("127.0.0.1", self._stack.place.port, f"/api/v1/{name}/health") != 200:
                await asyncio.sleep(_POLL_S)
        while any(self._supervisor.pid(bridge) is None for bridge in self.bridges):
            await asyncio.sleep(_POLL_S)


@contextlib.asynccontextmanager
async def running(folder: Path, **settings: str) -> AsyncIterator[System]:
    """A stack in `folder`, without printers and bridges yet; `settings` go before the hurried ones."""
    timeline = Timeline()
    port = free_port()
    place = Place(data=DataFolder(folder), host="127.0.0.1", port=port, public_url=f"http://127.0.0.1:{port}")
    folder.mkdir(parents=True, exist_ok=True)
    async with _Supervisor(folder, timeline) as supervisor:
        stack = Stack(place, {**SETTINGS, **settings})
        system = System(folder, supervisor, stack, await stack.start(supervisor), timeline)
        try:
            yield system
        finally:
            await system.close()


def _octoprint_process(number: int, octoprint: OctoPrint) -> Process:
    async def is_ready() -> bool:
        return await octoprint.state() == "Operational"

    return Process(
        name=f"octoprint-{number}", command=octoprint.command, environment=octoprint.variables, is_ready=is_ready
    )


def _tree(pid: int | None) -> list[psutil.Process]:
    """A process and all below it."""
    if pid is None:
        return []
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _signal(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)

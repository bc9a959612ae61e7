"""500 printers on one queue service: the bridge's own code against stand-ins for OctoPrint, everything on this machine.

First they are idle, then they print short jobs as fast as people queue them and clear the beds. Meanwhile somebody
uses the API.
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from fluxprint_local.ports import free_port
from fluxprint_local.process import Process, at_once, http_status
from fluxprint_local.supervisor import Supervisor
from tools.bench.system import Json, System, Workshop
from tools.bench.wire import Wire

PRINTERS_A_BRIDGE = 100
PRINT_S = 30.0
#: So many jobs always wait; more are queued as fast as they are claimed.
WAITING = 20
PROBE_PAUSE_S = 0.1
OPERATOR_PAUSE_S = 0.3
ONLINE_TIMEOUT_S = 120
GCODE = b"; a small print\nG21\nG28\nG1 X10 Y10 F3000\nG1 X20 E1\n" * 20


@dataclass(frozen=True)
class Phase:
    """What happened within some seconds."""

    seconds: float
    cores: dict[str, float]
    claims: float
    empty_claims: float
    telemetry: float
    prints: int
    refused: int  # 503: too much to do
    api_s: dict[str, Sequence[float]]


@dataclass(frozen=True)
class FarmFigures:
    """Of so many printers."""

    printers: int
    online_s: float
    bridge_mb: float
    idle: Phase
    busy: Phase


class Yard:
    """The farm's bridges with their printers, as people set them up."""

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self.bridge_tokens: list[str] = []
        self.printers: list[list[str]] = []  # by bridge

    async def furnish(self, count: int) -> None:
        for first in range(0, count, PRINTERS_A_BRIDGE):
            created = await self._workshop.send("POST", "/bridges", json={"name": f"bridge {first}"})
            self.bridge_tokens.append(created["bridge_token"])
            names = range(first, min(first + PRINTERS_A_BRIDGE, count))
            bodies = [
                {"name": f"printer {n}", "bridge_id": created["bridge"]["id"], "bed_is_clear": True} for n in names
            ]
            made = [(await self._workshop.send("POST", "/printers", json=body))["id"] for body in bodies]
            self.printers.append(made)

    async def are_online(self, wanted: int) -> None:
        async with asyncio.timeout(ONLINE_TIMEOUT_S):
            while await self._count("online") < wanted:
                await asyncio.sleep(0.5)

    async def _count(self, connection: str) -> int:
        found, cursor = 0, ""
        while True:
            page: Json = await self._workshop.send("GET", f"/printers?limit=100{cursor}")
            found += sum(1 for printer in page["items"] if printer["connection"] == connection)
            if not page["next_cursor"]:
                return found
            cursor = f"&cursor={page['next_cursor']}"


def standins(port: int, count: int, *, print_s: float, silent: int = 0) -> Process:
    """The OctoPrints: number n is http://127.0.0.1:PORT/n."""

    async def is_ready() -> bool:
        return await http_status("127.0.0.1", port, "/0/api/job") == 200

    return Process(
        name="octoprints",
        command=[sys.executable, "-m", "tools.bench.octoprints", *map(str, (port, count, print_s, silent))],
        is_ready=is_ready,
    )


def bridge(system: System, folder: Path, *, name: str, token: str, places: Sequence[tuple[str, str]]) -> Process:
    """A bridge of several printers: their ids and the addresses of their OctoPrints."""
    config = folder / f"{name}.toml"
    entry = '[[printers]]\nid = "{}"\noctoprint_url = "{}"\noctoprint_api_key = "any"\n'
    config.write_text("\n".join(entry.format(printer, url) for printer, url in places))
    return Process(
        name=name,
        command=[sys.executable, "-P", "-m", "fluxprint_bridge"],
        environment={
            "FLUXPRINT_ENVIRONMENT": "development",
            "FLUXPRINT_API_URL": system.url,
            "BRIDGE_AUTH_TOKEN": token,
            "BRIDGE_DATA_DIR": str(folder / name),
            "BRIDGE_CONFIG": str(config),
        },
        is_ready=at_once,
        stop_timeout_s=30,
    )


async def measure(
    supervisor: Supervisor, system: System, workshop: Workshop, folder: Path, *, printers: int, seconds: float
) -> FarmFigures:
    """Set the farm up, then measure it idle and at work."""
    yard = Yard(workshop)
    await yard.furnish(printers)
    port = free_port()
    await supervisor.start(standins(port, printers, print_s=PRINT_S))
    began = time.perf_counter()
    bridges = []
    for number, (token, ids) in enumerate(zip(yard.bridge_tokens, yard.printers, strict=True)):
        first = number * PRINTERS_A_BRIDGE
        places = [(printer, f"http://127.0.0.1:{port}/{first + n}") for n, printer in enumerate(ids)]
        bridges.append(bridge(system, folder, name=f"bridge-{number}", token=token, places=places))
    await supervisor.start(*bridges)
    await yard.are_online(printers)
    online_s = time.perf_counter() - began
    processes = {name: [system.process(name)] for name in ("queue", "postgres", "redis", "traefik")}
    processes["postgres"] += processes["postgres"][0].children()
    processes["bridges"] = [_process(supervisor, process.name) for process in bridges]
    processes["octoprints"] = [_process(supervisor, "octoprints")]
    meter = Meter(system, workshop, processes)
    idle = await meter.phase(seconds / 3, work=False)
    busy = await meter.phase(seconds, work=True)
    bridge_mb = sum(process.memory_full_info().pss for process in processes["bridges"]) / 1e6
    return FarmFigures(printers, online_s, bridge_mb, idle, busy)


def _process(supervisor: Supervisor, name: str) -> psutil.Process:
    pid = supervisor.pid(name)
    assert pid is not None
    return psutil.Process(pid)


class Meter:
    """People at work, and what it costs."""

    def __init__(self, system: System, workshop: Workshop, processes: dict[str, list[psutil.Process]]) -> None:
        self._system = system
        self._workshop = workshop
        self._processes = processes
        self._file = ""
        self._prints = self._after = self._refused = 0
        self._took_s: dict[str, list[float]] = {}

    async def phase(self, seconds: float, *, work: bool) -> Phase:
        self._file = self._file or await self._workshop.upload(GCODE)
        self._took_s, self._prints, self._refused = {}, 0, 0
        job = await self._workshop.queue(self._file) if work else None
        people = [self._use(f"GET /jobs/{job}" if job else "GET /jobs"), self._use("GET /printers?limit=50")]
        if work:
            people += [self._use("POST /jobs"), self._supply(), self._clear_beds()]
        cpu, counts, began = self._cpu_s(), await self._counts(), time.perf_counter()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(person) for person in people]
            await asyncio.sleep(seconds)
            for task in tasks:
                task.cancel()
        took_s = time.perf_counter() - began
        counted = {name: value - counts[name] for name, value in (await self._counts()).items()}
        return Phase(
            seconds=took_s,
            cores={name: (value - cpu[name]) / took_s for name, value in self._cpu_s().items()},
            claims=counted["200"] / took_s,
            empty_claims=counted["204"] / took_s,
            telemetry=counted["telemetry"] / took_s,
            prints=self._prints,
            refused=self._refused,
            api_s={name.partition("?")[0].replace(job or "?", "{id}"): took for name, took in self._took_s.items()},
        )

    # -- people ----------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _wire(self) -> AsyncIterator[Wire]:
        headers = {"Authorization": f"Bearer {self._workshop.access_token}"}
        async with Wire(self._system.port, headers) as wire:
            yield wire

    async def _use(self, request: str) -> None:
        """Somebody who asks the same again and again."""
        method, path = request.split(" ")
        body = {"file_id": self._file} if method == "POST" else None
        async with self._wire() as wire:
            while True:
                began = time.perf_counter()
                status, answer = await wire.send(method, f"/api/v1{path}", body)
                self._took_s.setdefault(request, []).append(time.perf_counter() - began)
                self._refused += status == 503
                if status >= 300 and status != 503:
                    raise RuntimeError(f"{request}: {status} {answer.decode()}")
                await asyncio.sleep(PROBE_PAUSE_S)

    async def _supply(self) -> None:
        """Somebody who keeps the queue filled."""
        async with self._wire() as wire:
            while True:
                status, answer = await wire.send("GET", f"/api/v1/jobs?state=queued&limit={WAITING}")
                waiting = len(json.loads(answer)["items"]) if status == 200 else WAITING
                for _ in range(WAITING - waiting):
                    await wire.send("POST", "/api/v1/jobs", {"file_id": self._file})
                await asyncio.sleep(PROBE_PAUSE_S)

    async def _clear_beds(self) -> None:
        """Somebody who takes the parts off as soon as they are done."""
        async with self._wire() as wire:
            while True:
                path = f"/api/v1/events?type=attempt.completed&limit=200&after={self._after}"
                status, answer = await wire.send("GET", path)
                if status != 200:
                    continue
                events: Json = json.loads(answer)
                self._after = events["next_after"]
                for event in events["items"]:
                    self._prints += 1
                    bed = {"attempt_id": event["subject"]}
                    await wire.send("POST", f"/api/v1/printers/{event['data']['printer_id']}/bed-cleared", bed)
                await asyncio.sleep(OPERATOR_PAUSE_S)

    # -- what it costs -----------------------------------------------------------------------------------------------

    def _cpu_s(self) -> dict[str, float]:
        used = {}
        for name, processes in self._processes.items():
            times = [process.cpu_times() for process in processes if process.is_running()]
            used[name] = sum(each.user + each.system for each in times)
        return used

    async def _counts(self) -> dict[str, float]:
        """Claims by status, and telemetry, as the queue service counts them."""
        async with Wire(self._system.ports.queue, {}) as wire:
            lines = (await wire.send("GET", "/metrics"))[1].decode().splitlines()
        counts = {"200": 0.0, "204": 0.0, "telemetry": 0.0}
        for line in lines:
            series, _, value = line.rpartition(" ")
            if series == "telemetry_messages_total":
                counts["telemetry"] = float(value)
            elif series.startswith("http_requests_total") and '/claim"' in series:
                counts[series.partition('status="')[2][:3]] = float(value)
        return counts


def show(figures: FarmFigures) -> None:
    """Print the figures."""
    idle, busy = figures.idle, figures.busy
    print(f"""
{figures.printers} printers on one queue service                            idle        busy
  claims that found work, per second                {idle.claims:12.1f}{busy.claims:12.1f}
  claims that found none, per second                {idle.empty_claims:12.1f}{busy.empty_claims:12.1f}
  prints completed, per second                      {idle.prints / idle.seconds:12.1f}{busy.prints / busy.seconds:12.1f}
  telemetry messages, per second                    {idle.telemetry:12.0f}{busy.telemetry:12.0f}""")
    for name, cores in idle.cores.items():
        print(f"  cores of {name:<41}{cores:12.2f}{busy.cores[name]:12.2f}")
    for request, busy_s in busy.api_s.items():
        idle_s = idle.api_s.get(request, [])
        print(f"  {request + ', median / p99 in ms':<48}{_spread(idle_s):>14}{_spread(busy_s):>12}")
    print(f"""  of them answered with 503                         {idle.refused:12}{busy.refused:12}
  memory of the bridges, per printer                {figures.bridge_mb / figures.printers:12.2f} MB
  until all of them were online                     {figures.online_s:12.1f} s""")


def _spread(seconds: Sequence[float]) -> str:
    if len(seconds) < 2:
        return "-"
    return f"{statistics.median(seconds) * 1000:.0f} / {statistics.quantiles(seconds, n=100)[98] * 1000:.0f}"

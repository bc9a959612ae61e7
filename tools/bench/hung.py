"""Whether printers that hang slow those that live: `POST /jobs` to `Printing` on a bridge with 50 of them, and on one
without.

Half of the hung ones accept a connection and never answer, the other half do not even accept.
"""

import asyncio
import socket
import statistics
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from fluxprint_bridge.octoprint import push
from fluxprint_bridge.octoprint.client import OctoPrintClient
from fluxprint_local.ports import free_port
from fluxprint_local.supervisor import Supervisor
from tools.bench.farm import GCODE, bridge, standins
from tools.bench.system import WAIT_TIMEOUT_S, Json, System, Workshop

LIVE, HUNG = 2, 50
ROUNDS = 40
PRINT_S = 0.2
SETTLE_S = 15  # for the hung ones to be tried in all ways
POLL_S = 0.05


@dataclass
class Live:
    """A printer that answers, and when it was last seen to begin."""

    id: str
    url: str
    began: asyncio.Event = field(default_factory=asyncio.Event)
    began_at: float = 0.0

    async def watch(self) -> None:
        async with OctoPrintClient(self.url, SecretStr("any")) as client:
            async for message in push.listen(client):
                if isinstance(message, push.Event) and message.text("state_id") == "PRINTING":
                    self.began_at = time.perf_counter()
                    self.began.set()


@dataclass(frozen=True)
class Hung:
    """Seconds from `POST /jobs` to `Printing` on the live printers."""

    without: Sequence[float]
    beside: Sequence[float]


async def measure(supervisor: Supervisor, system: System, workshop: Workshop, folder: Path) -> Hung:
    """Start both bridges, then print on the one and on the other by turns."""
    port = free_port()
    with black_hole() as hole:
        await supervisor.start(standins(port, 2 * LIVE + HUNG // 2, print_s=PRINT_S, silent=HUNG // 2))
        urls = [f"http://127.0.0.1:{port}/{number}" for number in range(2 * LIVE + HUNG // 2)]
        silent = urls[2 * LIVE :] + [f"http://127.0.0.1:{hole}/{number}" for number in range(HUNG - HUNG // 2)]
        without = await _start(supervisor, system, workshop, folder, name="without", live=urls[:LIVE], hung=[])
        beside = await _start(
            supervisor, system, workshop, folder, name="beside", live=urls[LIVE : 2 * LIVE], hung=silent
        )
        async with _watched([*without, *beside]):
            await asyncio.sleep(SETTLE_S)
            return await _rounds(workshop, without, beside)


async def _rounds(workshop: Workshop, without: Sequence[Live], beside: Sequence[Live]) -> Hung:
    file = await workshop.upload(GCODE)
    took_s: dict[str, list[float]] = {printer.id: [] for printer in (*without, *beside)}
    ends: dict[str, asyncio.Task[None]] = {}
    async with asyncio.TaskGroup() as group:
        for _ in range(ROUNDS + 1):
            for pair in zip(without, beside, strict=True):
                for printer in pair:
                    if printer.id in ends:
                        await ends[printer.id]
                    took_s[printer.id].append(await _print(workshop, file, printer))
                    ends[printer.id] = group.create_task(_clear(workshop, printer))
    return Hung(*([s for printer in side for s in took_s[printer.id][1:]] for side in (without, beside)))


async def _print(workshop: Workshop, file: str, printer: Live) -> float:
    printer.began.clear()
    began = time.perf_counter()
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        await workshop.send("POST", "/jobs", json={"file_id": file, "printer_id": printer.id})
        await printer.began.wait()
    return printer.began_at - began


async def _clear(workshop: Workshop, printer: Live) -> None:
    """Wait until the print is over, and take the part off."""
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while True:
            await asyncio.sleep(POLL_S)
            bed: Json = (await workshop.send("GET", f"/printers/{printer.id}"))["bed"]
            if bed["attempt_id"] is None:
                continue
            attempt = await workshop.send("GET", f"/attempts/{bed['attempt_id']}")
            if attempt["state"] == "completed":
                body = {"attempt_id": attempt["id"]}
                await workshop.send("POST", f"/printers/{printer.id}/bed-cleared", json=body)
                return


async def _start(
    supervisor: Supervisor,
    system: System,
    workshop: Workshop,
    folder: Path,
    *,
    name: str,
    live: Sequence[str],
    hung: Sequence[str],
) -> list[Live]:
    """A bridge of these printers."""
    created = await workshop.send("POST", "/bridges", json={"name": name})
    places = []
    for number, url in enumerate([*live, *hung]):
        body = {"name": f"{name} {number}", "bridge_id": created["bridge"]["id"], "bed_is_clear": True}
        places.append(((await workshop.send("POST", "/printers", json=body))["id"], url))
    await supervisor.start(bridge(system, folder, name=name, token=created["bridge_token"], places=places))
    return [Live(printer, url) for printer, url in places[: len(live)]]


@asynccontextmanager
async def _watched(printers: Sequence[Live]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(printer.watch()) for printer in printers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def black_hole() -> Iterator[int]:
    """A port of loopback on which no connection is ever made: its queue of those to be accepted is full."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filling in (first, second):
            filling.setblocking(False)
            filling.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def show(hung: Hung) -> None:
    """Print the figures."""
    print(f"""
From POST /jobs to Printing on {LIVE} live printers         median         p95""")
    for name, seconds in ((f"{HUNG} hung ones on the bridge", hung.beside), ("none", hung.without)):
        print(f"  {name:<40}{statistics.median(seconds) * 1000:12.0f} ms{_p95(seconds) * 1000:9.0f} ms")
    medians = statistics.median(hung.beside) / statistics.median(hung.without)
    print(f"  {'ratio':<40}{medians:12.2f}   {_p95(hung.beside) / _p95(hung.without):9.2f}    <= 1.2")


def _p95(seconds: Sequence[float]) -> float:
    return statistics.quantiles(seconds, n=20)[18]

"""`make bench`: measures everything in one run and prints it. Figures are for reading, nothing fails by them."""

import argparse
import asyncio
import shutil
import tempfile
import time
from pathlib import Path

from fluxprint_local.supervisor import Supervisor
from tools.bench import accounts, answering, camera, claims, crowd, farm, hung, memory, printing, staging, uplink, ways
from tools.bench.answering import Answering
from tools.bench.printing import Prints
from tools.bench.system import System, Workshop, bridge, running_octoprint

IDLE_S = 3
PARTS = ("system", "staging", "claims", "farm", "hung", "accounts", "camera", "crowd", "uplink")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="what to measure; all where none is named")
    parser.add_argument("--finished", type=int, default=1_000_000, help="finished jobs for the claims")
    parser.add_argument("--printers", type=int, default=500, help="printers of the farm")
    parser.add_argument("--seconds", type=float, default=60, help="for which the farm works")
    wanted = parser.parse_args()
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="fluxprint-bench-"))
    try:
        for part in wanted.parts or PARTS:
            asyncio.run(_measure(part, folder / part, wanted))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"\nmeasured in {time.monotonic() - began:.0f} s")


async def _measure(part: str, folder: Path, wanted: argparse.Namespace) -> None:
    folder.mkdir()
    match part:
        case "system":
            await _system(folder)
        case "staging":
            await _staging(folder)
        case "claims":
            await _claims(folder, wanted.finished)
        case "farm":
            await _farm(folder, wanted.printers, wanted.seconds)
        case "hung":
            await _hung(folder)
        case "accounts":
            await _accounts(folder)
        case "camera":
            camera.show(await camera.measure(folder))
        case "crowd":
            crowd.show(await crowd.measure(folder))
        case "uplink":
            await _uplink(folder)


async def _staging(folder: Path) -> None:
    system = System(folder / "data")
    async with Supervisor(folder) as supervisor:
        await supervisor.start(system.up())
        async with (
            Workshop(system, bed_is_clear=False) as workshop,
            running_octoprint(supervisor, folder) as printer,
        ):
            with_bridge = bridge(system, workshop, printer, folder)
            staging.show(await staging.measure(supervisor, with_bridge, workshop, printer))


async def _claims(folder: Path, finished: int) -> None:
    system = System(folder / "data")
    async with Supervisor(folder) as supervisor:
        await supervisor.start(system.up())
        async with Workshop(system) as workshop:
            claims.show(await claims.measure(supervisor, system, workshop, folder, finished))


async def _farm(folder: Path, printers: int, seconds: float) -> None:
    system = System(folder / "data")
    async with Supervisor(folder) as supervisor:
        await supervisor.start(system.up())
        async with Workshop(system) as workshop:
            farm.show(await farm.measure(supervisor, system, workshop, folder, printers=printers, seconds=seconds))


async def _hung(folder: Path) -> None:
    system = System(folder / "data")
    async with Supervisor(folder) as supervisor:
        await supervisor.start(system.up())
        async with Workshop(system) as workshop:
            hung.show(await hung.measure(supervisor, system, workshop, folder))


async def _accounts(folder: Path) -> None:
    system = System(folder / "data", **accounts.SETTINGS)
    async with Supervisor(folder) as supervisor:
        await supervisor.start(system.up())
        async with Workshop(system) as workshop:
            accounts.show(await accounts.measure(system, workshop))


async def _uplink(folder: Path) -> None:
    system = System(folder / "data")
    async with Supervisor(folder) as supervisor:
        await supervisor.start(system.up())
        async with Workshop(system) as workshop:
            uplink.show(await uplink.measure(system, workshop))


async def _system(folder: Path) -> None:
    system = System(folder / "data")
    async with Supervisor(folder) as supervisor:
        await supervisor.start(system.up())
        await asyncio.sleep(IDLE_S)
        fresh = memory.measure(system)
        async with Workshop(system) as workshop:
            answers = await answering.measure(supervisor, system, workshop, ways.gcode())
            async with running_octoprint(supervisor, folder) as printer:
                with_bridge = bridge(system, workshop, printer, folder)
                prints = await printing.measure(supervisor, with_bridge, workshop, printer)
        await asyncio.sleep(IDLE_S)
        used = memory.measure(system)
    _show(prints, answers, fresh, used)


def _show(prints: Prints, answers: Answering, fresh: dict[str, float], used: dict[str, float]) -> None:
    brought, at_once = prints.brought, prints.at_once
    through = answers.through_traefik
    proxied_ratio = through / answers.bare_through_traefik
    print(f"""
From the request to OctoPrint's `Printing`, 1 MB        median            aim
  upload and start at OctoPrint itself            {brought.direct_s * 1000:7.0f} ms
  POST /jobs, seconds after the upload            {brought.system_s * 1000:7.0f} ms
  ratio                                           {brought.ratio:7.2f}       <= 3
  upload and start at OctoPrint itself            {at_once.direct_s * 1000:7.0f} ms
  POST /jobs, at once after the upload            {at_once.system_s * 1000:7.0f} ms
  ratio                                           {at_once.ratio:7.2f}

GET /jobs/{{id}}, requests per second of one core      median   of bare     aim
  bare FastAPI and asyncpg                        {answers.bare:7.0f}      1.00
  queue service                                   {answers.direct:7.0f}      {answers.direct / answers.bare:.2f}  >= 0.7
  bare, through Traefik                           {answers.bare_through_traefik:7.0f}      {1:.2f}
  queue service, through Traefik                  {through:7.0f}      {proxied_ratio:.2f}  >= 0.7
  (Traefik itself, on its own core)               {answers.traefik_itself:7.0f}

Memory of the idle cloud side, PSS                      started      used     aim""")
    for name, started_mb in fresh.items():
        print(f"  {name:<46}{started_mb:7.0f} MB{used[name]:7.0f} MB")
    print(f"  {'all but the supervisor':<46}{memory.cloud_mb(fresh):7.0f} MB{memory.cloud_mb(used):7.0f} MB  <= 450")


main()

"""`make soak`: viewers come and go, prints are recorded, bridges die and cameras hang, for minutes; ends with 1 if
memory grows."""

import argparse
import asyncio
import os
import random
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import psutil

from fluxprint_local.camera_source import CameraSource
from fluxprint_local.octoprint import OctoPrint
from fluxprint_local.process import Process
from fluxprint_local.supervisor import Supervisor
from tools.bench.memory import pss_mb
from tools.bench.system import POLL_S, WAIT_TIMEOUT_S, System, Workshop, bridge_process, running_octoprint
from tools.soak.memory import Held
from tools.soak.prints import RECORDING, Prints
from tools.soak.viewers import Crowd

CAMERAS, PLACES, FPS = 4, 40, 10
PICTURE_BYTES = 45_000
SAMPLES = 60
TROUBLE_EVERY_S = 20.0
RENEW_S = 120.0
NICENESS = 10
#: Nobody is left by then when all have gone.
LEAVE_WITHIN_S = 60.0


class Camera(CameraSource):
    """Pictures of the size that cameras give."""

    def make_picture(self, number: int) -> bytes:
        return super().make_picture(number).ljust(PICTURE_BYTES, b"\0")


class Soak:
    """One run."""

    def __init__(self, system: System, workshop: Workshop, supervisor: Supervisor, seed: int) -> None:
        self._system = system
        self._workshop = workshop
        self._supervisor = supervisor
        self._random = random.Random(seed)
        self.troubles: Counter[str] = Counter()
        self.held = [Held("camera"), Held("traefik")]
        self.renderer_mb = 0.0
        self.crowd: Crowd
        self.prints = Prints(workshop, self.troubles)
        self.recorded: Counter[str] = Counter()

    async def run(self, folder: Path, seconds: float) -> None:
        async with AsyncExitStack() as stack:
            sources = [await stack.enter_async_context(Camera(fps=FPS)) for _ in range(CAMERAS)]
            printer = await stack.enter_async_context(running_octoprint(self._supervisor, folder))
            await self._supervisor.start(_bridge(self._system, self._workshop, folder, printer, sources))
            cameras = await self._online()
            token = await self._workshop.send("POST", "/cameras/view-tokens", json={"camera_ids": cameras})
            self.crowd = Crowd(self._system.port, cameras, token["token"], self._random)
            beside = [
                asyncio.create_task(self.prints.go_on()),
                asyncio.create_task(self._renew()),
                asyncio.create_task(self._hurt(sources)),
                asyncio.create_task(self._sample(seconds / SAMPLES)),
            ]
            try:
                await self.crowd.fill(PLACES, seconds)
                for task in beside:
                    if task.done():
                        task.result()
            finally:
                for task in beside:
                    task.cancel()
                await asyncio.gather(*beside, return_exceptions=True)
            await self._sign_in()
            await self._all_gone(cameras)
            self.recorded = await self.prints.recorded()

    async def _online(self) -> list[str]:
        async with asyncio.timeout(WAIT_TIMEOUT_S):
            while True:
                cameras = (await self._workshop.send("GET", "/cameras"))["items"]
                if len(ids := [camera["id"] for camera in cameras if camera["status"] == "online"]) == CAMERAS:
                    return ids
                await asyncio.sleep(POLL_S)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            await self._sign_in()
            body = {"token": self.crowd.token}
            self.crowd.token = (await self._workshop.send("POST", "/cameras/view-tokens/renew", json=body))["token"]

    async def _hurt(self, sources: list[Camera]) -> None:
        while True:
            await asyncio.sleep(TROUBLE_EVERY_S)
            source = self._random.choice(sources)
            match what := self._random.choice(["bridge killed", "camera cut", "camera frozen"]):
                case "bridge killed" if pid := self._supervisor.pid("bridge"):
                    os.kill(pid, signal.SIGKILL)
                case "camera cut":
                    source.drop()
                case "camera frozen":
                    source.frozen = True
                    await asyncio.sleep(self._random.uniform(0, TROUBLE_EVERY_S))
                    source.frozen = False
            self.troubles[what] += 1

    async def _sample(self, every_s: float) -> None:
        processes = [self._system.process(held.name) for held in self.held]
        while True:
            await asyncio.sleep(every_s)
            for held, process in zip(self.held, processes, strict=True):
                held.sample(process)
            with suppress(psutil.NoSuchProcess, OSError):  # it has just ended
                renderers = [pss_mb(child) for child in processes[0].children(recursive=True)]
                self.renderer_mb = max(self.renderer_mb, *renderers, 0.0)

    async def _all_gone(self, cameras: list[str]) -> None:
        """Wait until the service counts no viewer any more."""
        async with asyncio.timeout(LEAVE_WITHIN_S):
            for camera in cameras:
                while (await self._workshop.send("GET", f"/cameras/{camera}"))["viewers"]:
                    await asyncio.sleep(POLL_S)

    async def _sign_in(self) -> None:
        """Anew: what one signs in with ends after minutes."""
        body = {"email": self._workshop.email, "password": self._workshop.password}
        token = (await self._workshop.send("POST", "/auth/login", json=body))["access_token"]
        self._workshop.http.headers["Authorization"] = f"Bearer {token}"

    def show(self, seconds: float) -> None:
        print(f"\n{seconds / 60:.0f} minutes, {CAMERAS} cameras at {FPS} fps, {PLACES} viewers at a time")
        for what, counts in (
            ("came", self.crowd.came), ("ended early", self.crowd.trouble), ("trouble", self.troubles),
            ("printed", self.prints.ended), ("recorded", self.recorded),
        ):  # fmt: skip
            print(f"  {what}: {', '.join(f'{count} {name}' for name, count in sorted(counts.items())) or 'nothing'}")
        print(f"  pictures that were read: {self.crowd.pictures}")
        print("\nMemory, median of each quarter in MB (PSS)        growth   files  threads")
        for held in self.held:
            print(held.show())
        seen = f"at most {self.renderer_mb:.0f} MB" if self.renderer_mb else "over too soon to be weighed"
        print(f"  a renderer's process: {seen}")


def _bridge(system: System, workshop: Workshop, folder: Path, printer: OctoPrint, sources: list[Camera]) -> Process:
    """A bridge of one printer with all the cameras."""
    file = folder / "bridge.toml"
    cameras = "".join(f'[[printers.cameras]]\nkey = "{n}"\nurl = "{s.url}"\n' for n, s in enumerate(sources))
    file.write_text(
        f'[[printers]]\nid = "{workshop.printer}"\noctoprint_url = "{printer.url}"\n'
        f'octoprint_api_key = "{printer.keys.bridge}"\n{cameras}'
    )
    return bridge_process(system, workshop, folder, {"BRIDGE_CONFIG": str(file)})


async def _run(folder: Path, seconds: float, seed: int) -> bool:
    system = System(folder / "data", **RECORDING)
    async with Supervisor(folder) as supervisor:
        await supervisor.start(system.up())
        async with Workshop(system) as workshop:
            soak = Soak(system, workshop, supervisor, seed)
            served_by = system.process("camera")
            await soak.run(folder, seconds)
            soak.show(seconds)
            lives = served_by.is_running() and system.process("camera").pid == served_by.pid
            print("" if lives else "\nThe camera service died on the way.")
            if not soak.recorded["ready"]:
                print("\nNothing was recorded.")
            return lives and bool(soak.recorded["ready"]) and all(held.is_flat for held in soak.held)


def main() -> None:
    parser = argparse.ArgumentParser(prog="make soak")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=None, help="of who comes and what fails")
    wanted = parser.parse_args()
    seed = secrets.randbits(32) if wanted.seed is None else wanted.seed
    psutil.Process().nice(NICENESS)  # and with it all that it starts
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="fluxprint-soak-"))
    try:
        print(f"seed {seed}")
        flat = asyncio.run(_run(folder, wanted.minutes * 60, seed))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"took {time.monotonic() - began:.0f} s")
    sys.exit(0 if flat else 1)


main()

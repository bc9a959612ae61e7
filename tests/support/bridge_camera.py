"""The bridge's end of cameras, without the rest of a bridge: in this process, or in one that can be killed."""

import asyncio
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from pydantic import SecretStr

from fluxprint_bridge.camera.config import Address, CameraConfig
from fluxprint_bridge.camera.roster import Roster
from fluxprint_bridge.camera.uplink import CameraUplink
from fluxprint_bridge.cloud.token import AccessToken


class KnownToken(AccessToken):
    """An access token that nobody has to be asked for."""

    def __init__(self, token: str) -> None:
        super().__init__(httpx.AsyncClient(), SecretStr("none"))
        self._known = SecretStr(token)

    async def get(self) -> SecretStr:
        return self._known


def camera_at(url: str, number: int = 0, **more: object) -> CameraConfig:
    """`default`, then `camera-1` and so on."""
    key = f"camera-{number}" if number else "default"
    stream = Address.of(url, base="http://octoprint")
    return CameraConfig(key=key, name="Camera", stream=stream, **more)  # type: ignore[arg-type]


@asynccontextmanager
async def sending(cloud_url: str, token: str, printer: str, *urls: str) -> AsyncIterator[None]:
    """An uplink that carries the cameras at these addresses."""
    roster = Roster()
    roster.set(printer, [camera_at(url, number) for number, url in enumerate(urls)])
    running = asyncio.create_task(CameraUplink(f"{cloud_url}/api/v1", KnownToken(token), roster).run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def sending_process(cloud_url: str, token: str, printer: str, *urls: str) -> AsyncIterator[Process]:
    """The same in a process of its own."""
    command = [sys.executable, "-m", "support.bridge_camera", cloud_url, token, printer, *urls]
    process = await asyncio.create_subprocess_exec(*command, cwd=Path(__file__).parents[1])
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _main(cloud_url: str, token: str, printer: str, *urls: str) -> None:
    async with sending(cloud_url, token, printer, *urls):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))

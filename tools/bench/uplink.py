"""How old pictures are that a bridge sends over a slow line: from the camera to a viewer at Traefik."""

import asyncio
import statistics
import time
from collections.abc import Sequence

from pydantic import SecretStr

from fluxprint_bridge.camera.config import Address, CameraConfig
from fluxprint_bridge.camera.multipart import PictureCutter
from fluxprint_bridge.camera.roster import Roster
from fluxprint_bridge.camera.uplink import CameraUplink
from fluxprint_bridge.cloud.api import CloudApi
from fluxprint_local.camera_source import CameraSource
from fluxprint_local.jpeg import frame_number
from tools.bench.line import slow_line
from tools.bench.system import POLL_S, WAIT_TIMEOUT_S, System, Workshop

FPS = 15
PICTURE_BYTES = 45_000
#: Four such pictures a second fit.
BYTES_PER_S = 4 * PICTURE_BYTES
PICTURES = 60
LEFT_OUT = 4  # of each camera, while it begins

Ages = Sequence[float]


class TimedSource(CameraSource):
    """A camera that remembers when it took each picture."""

    def __init__(self) -> None:
        super().__init__(fps=FPS)
        self.taken_at: dict[int, float] = {}

    def make_picture(self, number: int) -> bytes:
        self.taken_at[number] = time.monotonic()
        return super().make_picture(number).ljust(PICTURE_BYTES, b"\0")


async def measure(system: System, workshop: Workshop) -> dict[int, list[Ages]]:
    """The ages in seconds of each camera's pictures, by how many cameras share the line."""
    found = {}
    async with CloudApi(f"{system.url}/api/v1", SecretStr(workshop.bridge_token)) as api:
        for count in (1, 2):
            sources = [TimedSource() for _ in range(count)]
            async with slow_line(system.url, bytes_per_s=BYTES_PER_S) as url:
                roster = Roster()
                uplink = asyncio.create_task(CameraUplink(f"{url}/api/v1", api.token, roster).run())
                try:
                    for source in sources:
                        await source.__aenter__()
                    roster.set(workshop.printer, [_camera(number, source) for number, source in enumerate(sources)])
                    cameras = await _online(workshop, count)
                    found[count] = await asyncio.gather(
                        *(_ages(workshop, cameras[f"camera-{n}"], source) for n, source in enumerate(sources))
                    )
                finally:
                    uplink.cancel()
                    await asyncio.gather(uplink, return_exceptions=True)
                    for source in sources:
                        await source.__aexit__()
    return found


def _camera(number: int, source: CameraSource) -> CameraConfig:
    return CameraConfig(f"camera-{number}", f"Camera {number}", Address.of(source.url, base="http://octoprint"))


async def _online(workshop: Workshop, count: int) -> dict[str, str]:
    """The cameras' ids by key, once all send pictures."""
    async with asyncio.timeout(WAIT_TIMEOUT_S):
        while True:
            cameras = (await workshop.send("GET", "/cameras"))["items"]
            there = {camera["key"]: camera["id"] for camera in cameras if camera["status"] == "online"}
            if len(there) >= count:
                return there
            await asyncio.sleep(POLL_S)


async def _ages(workshop: Workshop, camera: str, source: TimedSource) -> Ages:
    ages: list[float] = []
    async with workshop.http.stream("GET", f"/cameras/{camera}/stream") as answer:
        cutter = PictureCutter()
        async for chunk in answer.aiter_raw():
            for picture in cutter.feed(chunk):
                taken_at = source.taken_at.get(frame_number(picture) or 0)
                if taken_at is not None:
                    ages.append(time.monotonic() - taken_at)
            if len(ages) >= PICTURES + LEFT_OUT:
                break
    return ages[LEFT_OUT:]


def show(found: dict[int, list[Ages]]) -> None:
    """Print the table."""
    print(f"""
Pictures of {PICTURE_BYTES // 1000} KB at {FPS} fps, the line up carries {BYTES_PER_S // 1000} kB/s
from the camera to a viewer at Traefik          age p50      p99      aim""")
    for count, cameras in found.items():
        ages = sorted(age for of_camera in cameras for age in of_camera)
        p99 = ages[min(len(ages) - 1, int(len(ages) * 0.99))]
        what = f"{count} camera{'s share' if count > 1 else ' has'} the line"
        aim = "p50 < 0.4 s" if count == 1 else ""
        print(f"  {what:<46}{statistics.median(ages):5.2f} s  {p99:5.2f} s  {aim}")

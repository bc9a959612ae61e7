"""The real OctoPrint that tests print on: one for all tests of a process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fluxprint_local import octoprint as local
from fluxprint_local.octoprint import OctoPrint
from fluxprint_local.ports import free_port


@asynccontextmanager
async def running_octoprint(folder: Path) -> AsyncIterator[OctoPrint]:
    """A new OctoPrint in `folder`, from when its printer is connected (about 6 s)."""
    python = await asyncio.to_thread(local.environment)
    octoprint = OctoPrint(folder, free_port(), python=python)
    await octoprint.start()
    try:
        yield octoprint
    finally:
        await octoprint.stop()


async def ready_again(octoprint: OctoPrint) -> None:
    """Bring a printer that a test left somewhere back to where the next test can start."""
    if await octoprint.state() is None:
        octoprint.thaw()
        await octoprint.stop()
        await octoprint.start()
    await octoprint.call("POST", "/api/job", json_body={"command": "cancel"})
    async with asyncio.timeout(30):
        while (state := await octoprint.state()) != "Operational":
            if state is not None and state.startswith("Offline"):
                await octoprint.connect()
            await asyncio.sleep(0.05)
    job = await octoprint.job()
    file = job["job"]["file"]  # type: ignore[index]
    if file["path"] is not None:
        # A finished print that stays selected would tell the next bridge that somebody printed without it.
        await octoprint.call("POST", f"/api/files/local/{file['path']}", json_body={"command": "unselect"})


def slow_gcode(seconds: float, *, step_ms: int = 50, seed: str = "") -> bytes:
    """G-code that the virtual printer takes about `seconds` for, in steps short enough for faults to hit promptly."""
    lines = [f"; test {seed}", "G21", "G90", "M82", "G92 E0"]
    for number in range(int(seconds * 1000 / step_ms)):
        lines += [f"G4 P{step_ms}", f"G1 X{number % 100} Y{number % 50} E{number * 0.01:.2f} F60000"]
    return "\n".join([*lines, ""]).encode()

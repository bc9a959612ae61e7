"""The real OctoPrint that tests print on: one for all tests of a process."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import SecretStr

from fluxprint_bridge.octoprint.client import OctoPrintClient
from fluxprint_local import octoprint as local
from fluxprint_local.octoprint import OctoPrint
from fluxprint_local.ports import free_port


class SpoolingElsewhere(OctoPrint):
    """Its uploads arrive on another file system than they are stored on, and are copied: that can be cut."""

    spool: Path

    @property
    def variables(self) -> dict[str, str]:
        return {**super().variables, "TMPDIR": str(self.spool)}


@asynccontextmanager
async def running_octoprint(folder: Path, *, spool: Path | None = None) -> AsyncIterator[OctoPrint]:
    """A new OctoPrint in `folder`, from when its printer is connected (about 6 s)."""
    python = await asyncio.to_thread(local.environment)
    # Its analysis of each upload would take more of the machine than all else that a test does.
    octoprint = (SpoolingElsewhere if spool else OctoPrint)(folder, free_port(), python=python, analyses_files=False)
    if isinstance(octoprint, SpoolingElsewhere) and spool is not None:
        octoprint.spool = spool
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


async def copies_of(octoprint: OctoPrint, content: bytes) -> list[str]:
    """Where OctoPrint holds this content in a folder of ours."""
    wanted = hashlib.sha1(content, usedforsecurity=False).hexdigest()
    held = (await contents(octoprint)).items()
    return [path for path, file in held if path.startswith("fluxprint/") and file.get("hash") == wanted]


async def contents(octoprint: OctoPrint) -> dict[str, dict[str, Any]]:
    """All files and folders by their paths, read anew: a list that OctoPrint keeps may lack what came meanwhile."""
    answer = await octoprint.call("GET", "/api/files/local?recursive=true&force=true")
    found: dict[str, dict[str, Any]] = {}
    waiting: list[dict[str, Any]] = answer.raise_for_status().json()["files"]
    while waiting:
        entry = waiting.pop()
        found[entry["path"]] = entry
        waiting += entry.get("children", [])
    return found


def slow_gcode(seconds: float, *, step_ms: int = 50) -> bytes:
    """G-code that the virtual printer takes about `seconds` for, in steps short enough for faults to hit promptly.

    No two are equal: tests that share an OctoPrint find their files in it by what they hold.
    """
    lines = [f"; test {uuid4()}", "G21", "G90", "M82", "G92 E0"]
    for number in range(int(seconds * 1000 / step_ms)):
        lines += [f"G4 P{step_ms}", f"G1 X{number % 100} Y{number % 50} E{number * 0.01:.2f} F60000"]
    return "\n".join([*lines, ""]).encode()


def gcode_with_a_long_end() -> bytes:
    """G-code that is sent in 0.3 s and then keeps the printer moving for 4 s: OctoPrint calls that `Finishing`.

    The virtual printer has room for 64 moves and takes a tenth of each one's time.
    """
    short = 5 * ["G4 P50", "G1 X1 F6000"]
    long = [f"G1 X{5 * number} F300" for number in range(1, 41)]
    return "\n".join([f"; test {uuid4()}", "G21", "G90", *short, *long, ""]).encode()


def client_of(octoprint: OctoPrint) -> OctoPrintClient:
    """As the bridge has one."""
    return OctoPrintClient(octoprint.url, SecretStr(octoprint.keys.bridge))


def rewrite_history(octoprint: OctoPrint, path: str, history: list[dict[str, object]]) -> None:
    """Change what an OctoPrint that is down remembers of a file's prints."""
    folder, _, name = path.rpartition("/")
    file = octoprint.folder / "uploads" / folder / ".metadata.json"
    metadata = json.loads(file.read_text())
    metadata[name]["history"] = history
    file.write_text(json.dumps(metadata))

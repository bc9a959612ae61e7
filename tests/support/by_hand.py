"""What people do at the real OctoPrint itself, beside FluxPrint."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Literal

import httpx

from fluxprint_local.octoprint import BRIDGE_PERMISSIONS, OctoPrint
from support.queue import eventually


async def upload(octoprint: OctoPrint, path: str, content: bytes, *, start: bool = False) -> httpx.Response:
    """Put a file there. It may be started, where nothing else prints: the answer says whether it was."""
    folder, _, name = path.rpartition("/")
    data = {"path": folder, "print": str(start).lower()}
    async with httpx.AsyncClient(base_url=octoprint.url, headers={"X-Api-Key": octoprint.keys.admin}) as http:
        answer = await http.post("/api/files/local", data=data, files={"file": (name, content)})
    return answer.raise_for_status()


async def upload_and_start(octoprint: OctoPrint, path: str, content: bytes) -> None:
    """Put a file there, and print it on an idle printer."""
    assert (await upload(octoprint, path, content, start=True)).json()["effectivePrint"] is True


async def delete(octoprint: OctoPrint, path: str) -> None:
    (await octoprint.call("DELETE", f"/api/files/local/{path}")).raise_for_status()


async def start(octoprint: OctoPrint, path: str) -> None:
    """Select and print a file that is there."""
    await _file_command(octoprint, path, command="select", print=True)


async def unselect(octoprint: OctoPrint, path: str) -> None:
    await _file_command(octoprint, path, command="unselect")


async def print_to_its_end(octoprint: OctoPrint, path: str) -> None:
    """The first print of a file that is there. It stays selected."""
    await start(octoprint, path)
    await until_counted(octoprint, path, 1, 0)
    await until_operational(octoprint)


async def press(octoprint: OctoPrint, button: Literal["pause", "resume", "cancel"]) -> None:
    """Pause, resume or cancel what prints."""
    body = {"command": "cancel"} if button == "cancel" else {"command": "pause", "action": button}
    (await octoprint.call("POST", "/api/job", json_body=body)).raise_for_status()


async def disconnect(octoprint: OctoPrint) -> None:
    """Disconnect the printer; `OctoPrint.connect` is the way back."""
    (await octoprint.call("POST", "/api/connection", json_body={"command": "disconnect"})).raise_for_status()


@asynccontextmanager
async def bridge_may(octoprint: OctoPrint, permissions: Iterable[str]) -> AsyncIterator[None]:
    """Give the bridge's user these permissions, and in the end those that it should have."""
    await permit(octoprint, permissions)
    try:
        yield
    finally:
        await permit(octoprint, BRIDGE_PERMISSIONS)


async def permit(octoprint: OctoPrint, permissions: Iterable[str]) -> None:
    """Give the bridge's user these permissions and no other."""
    body = {"active": True, "permissions": sorted(permissions), "groups": []}
    (await octoprint.call("PUT", "/api/access/users/bridge", json_body=body)).raise_for_status()


async def until_counted(octoprint: OctoPrint, path: str, success: int, failure: int) -> None:
    """Until OctoPrint's history says so of a file."""

    async def counted() -> bool:
        return await octoprint.successes_and_failures(path) == (success, failure)

    await eventually(counted, within_s=20)


async def until_operational(octoprint: OctoPrint) -> None:
    """Until the printer is connected and idle."""

    async def operational() -> bool:
        return await octoprint.state() == "Operational"

    await eventually(operational, within_s=30)


async def _file_command(octoprint: OctoPrint, path: str, **command: object) -> None:
    (await octoprint.call("POST", f"/api/files/local/{path}", json_body=command)).raise_for_status()

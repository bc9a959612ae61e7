"""A claim that waits: what is left of it where it is broken off."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fluxprint_bridge.cloud.errors import CloudUnavailable
from fluxprint_bridge.octoprint.state import Job, PrinterState, StoredFile
from fluxprint_bridge.printer.asking import Answer, ask
from fluxprint_bridge.printer.desk import Desk
from fluxprint_bridge.printer.foreign import gist
from fluxprint_bridge.staged import StagedFile

IDLE = Job(PrinterState.IDLE, "Operational")
STAGED = StagedFile("attempt_1", "fluxprint/2026-11/attempt_1.gcode", sha256="c" * 64, size_bytes=1, sha1="a")


class Cloud:
    """Answers a claim when it is told to; what it was asked with is kept."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.asked: list[object] = []

    async def claim(self, _printer_id: str, *, ready: bool = False, **_more: object) -> None:
        self.asked.append(ready)
        await self.answer


def desk_of(cloud: Cloud) -> Desk:
    """What a claim needs of a desk: an idle printer with a whole file."""

    async def file(_path: str) -> StoredFile:
        return StoredFile.model_validate({"path": STAGED.path, "size": 1, "hash": "a"})

    async def look() -> Job:
        return IDLE

    async def staged() -> StagedFile:
        return STAGED

    stand_ins: dict[str, Any] = {
        "octoprint": SimpleNamespace(file=file),
        "monitor": SimpleNamespace(gaps=1, look=look, changed=asyncio.Event(), snapshot=SimpleNamespace(job=IDLE)),
        "journal": SimpleNamespace(journal_id=""),
        "api": cloud,
        "outbox": SimpleNamespace(stale=False),
        "shelf": SimpleNamespace(file=staged),
        "foreign": SimpleNamespace(),
    }
    desk = Desk("printer_1", spool=Path(), poll_s=10.0, **stand_ins)
    desk.asked, desk.nothing_to_claim, desk.handled, desk.problem = True, True, gist(desk, IDLE), None
    desk.foreign_told.set()
    return desk


async def begun(desk: Desk, cloud: Cloud) -> asyncio.Task[Answer]:
    asking = asyncio.create_task(ask(desk, None, adopt_only=False))
    async with asyncio.timeout(30):
        while not cloud.asked and not asking.done():
            await asyncio.sleep(0)
    return asking


async def test_what_may_have_got_a_permit_stays_until_that_is_known() -> None:
    cloud = Cloud()
    desk = desk_of(cloud)
    asking = await begun(desk, cloud)
    cloud.answer.set_exception(CloudUnavailable("cut"))
    with pytest.raises(CloudUnavailable):
        await asking
    assert (cloud.asked, desk.asked, desk.offered) == ([True], False, STAGED.attempt_id)
    desk.handled = None  # so that the next claim offers nothing
    again = Cloud()
    desk.api = again  # type: ignore[assignment]
    asking = await begun(desk, again)
    assert (again.asked, desk.offered) == ([False], STAGED.attempt_id)
    asking.cancel()


@pytest.mark.parametrize("moment", range(8))
async def test_it_ends_whenever_it_is_stopped(moment: int) -> None:
    cloud = Cloud()
    asking = await begun(desk_of(cloud), cloud)
    cloud.answer.set_result(None)
    for _ in range(moment):
        await asyncio.sleep(0)
    is_late = not asking.cancel()
    await asyncio.wait([asking], timeout=30)
    assert asking.cancelled() or is_late

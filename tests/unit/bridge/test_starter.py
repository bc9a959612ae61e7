"""Before a start: the state of the printer is waited for, and not longer than it takes."""

import asyncio
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fluxprint_bridge.journal import Attempt, Step
from fluxprint_bridge.octoprint.outcome import Sightings
from fluxprint_bridge.octoprint.state import Job, PrinterState
from fluxprint_bridge.printer import starter
from fluxprint_bridge.printer.desk import Desk, Work
from fluxprint_bridge.printer.foreign import gist
from fluxprint_bridge.printer.starter import until_idle
from fluxprint_bridge.printer.worker import Worker

OURS = f"fluxprint/2026-11/attempt_{'1' * 32}.gcode"
IDLE = Job(PrinterState.IDLE, "Operational", path=OURS)


def desk_of(looks: list[Job]) -> Desk:
    """A desk whose OctoPrint answers what comes next in `looks`; the last of them for ever."""

    async def look() -> Job:
        return looks.pop(0) if len(looks) > 1 else looks[0]

    stand_ins: dict[str, Any] = {
        name: SimpleNamespace() for name in ("octoprint", "journal", "api", "outbox", "shelf", "foreign")
    }
    monitor: Any = SimpleNamespace(gaps=1, look=look, changed=asyncio.Event(), snapshot=SimpleNamespace(job=IDLE))
    desk = Desk("printer_1", spool=Path(), poll_s=10.0, monitor=monitor, **stand_ins)
    desk.foreign_told.set()
    return desk


async def test_a_start_goes_on_as_soon_as_somebody_looked_for_prints_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starter, "LOOK_BACK_S", 3600.0)
    desk = desk_of([IDLE])
    attempt = Attempt("attempt_2", "printer_1", 1, "", Step.CLAIMED, "claimed", cancel_asked=False, seen=Sightings())
    waiting = asyncio.create_task(until_idle(desk, Work(attempt), timeout_s=None))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    desk.has_handled(gist(desk, IDLE))
    async with asyncio.timeout(30):
        await waiting


@pytest.mark.parametrize(
    ("job", "disowned"),
    [
        pytest.param(IDLE, set(), id="it only shows the last print"),
        pytest.param(replace(IDLE, state=PrinterState.PRINTING), {OURS}, id="it prints"),
        pytest.param(replace(IDLE, state=PrinterState.PRINTING, path="hand.gcode"), set(), id="another's"),
    ],
)
async def test_only_what_seems_to_print_is_disowned(job: Job, disowned: set[str]) -> None:
    """The watch for prints by hand looks anew where that set is another, in the middle of a start."""
    desk = desk_of([IDLE])
    before = desk.disowned
    assert not await Worker(desk)._disown(job, None)
    assert desk.disowned == disowned
    assert (desk.disowned is before) == (not disowned)

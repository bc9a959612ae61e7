"""What people see of a printer between two events: docs/protocol.md, "Telemetry"."""

import asyncio
from datetime import UTC, datetime

from fluxprint_bridge.cloud.telemetry import Telemetry, TelemetrySlots
from fluxprint_bridge.octoprint.monitor import Snapshot
from fluxprint_bridge.octoprint.state import ACTIVE, PrinterState, Temperature
from fluxprint_bridge.plain import plain_text
from fluxprint_bridge.printer.desk import Desk, Work

AT_LEAST_EVERY_S = 5.0
AT_MOST_EVERY_S = 0.5
FIGURES_EVERY_S = 1.0  # while nothing else changes: of hundreds of printers that is plenty
MAX_ERROR_CHARS = 300
MAX_TEXT_CHARS = 200
#: What the queue takes; a message with one figure outside of it is refused as a whole.
MIN_C, MAX_C = -300.0, 2000.0
MAX_TIME_S = 1e8


async def send_telemetry(desk: Desk, slots: TelemetrySlots) -> None:
    """Fill the printer's slot for ever: at each change, but not too often, and now and then without one."""
    clock = asyncio.get_running_loop().time
    while True:
        changed, sent_at, sent = desk.monitor.changed, clock(), _now(desk)
        slots.put(desk.printer_id, sent)
        await asyncio.sleep(AT_MOST_EVERY_S)
        while (left_s := sent_at + FIGURES_EVERY_S - clock()) > 0:
            next_change = desk.monitor.changed
            if _words(_now(desk)) != _words(sent):
                break
            await desk.monitor.wait(next_change, left_s)
        await desk.monitor.wait(changed, sent_at + AT_LEAST_EVERY_S - clock())


def _now(desk: Desk) -> Telemetry:
    return telemetry(desk.monitor.snapshot, desk.work, desk.problem)


def _words(data: Telemetry) -> list[object]:
    return [data[name] for name in ("connection", "state", "text", "attempt_id", "error")]


def telemetry(snapshot: Snapshot, work: Work | None, problem: str | None) -> Telemetry:
    """A printer's state in the form and within the bounds that the queue takes, whatever OctoPrint says."""
    job = snapshot.job
    data: Telemetry = {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "connection": "octoprint_offline",
        "state": "offline",
        "text": "OctoPrint does not answer",
        "attempt_id": work.attempt.id if work is not None else None,
        "progress": None,
        "print_time_s": None,
        "print_time_left_s": None,
        "height_mm": None,
        "temperatures": {
            name: _celsius(heater) for name, heater in snapshot.temperatures.items() if _is_likely(heater)
        },
        "error": plain_text(snapshot.problem or "")[:MAX_ERROR_CHARS] or None,
    }
    if job is None:
        return data
    ours = work is not None and job.is_of(work.attempt.path)
    data |= {
        "connection": "printer_offline" if job.state in {PrinterState.OFFLINE, PrinterState.ERROR} else "online",
        "state": "foreign" if job.state in ACTIVE and not ours else str(job.state),
        "text": job.text[:MAX_TEXT_CHARS],
        "error": plain_text(job.error or problem or "")[:MAX_ERROR_CHARS] or None,
    }
    if job.state in ACTIVE:
        data |= {
            "progress": None if job.completion is None else round(min(max(job.completion / 100, 0.0), 1.0), 4),
            "print_time_s": _within(job.print_time_s, 0, MAX_TIME_S),
            "print_time_left_s": _within(job.print_time_left_s, 0, MAX_TIME_S),
            "height_mm": job.height_mm,
        }
    return data


def _is_likely(heater: Temperature) -> bool:
    return _within(heater.actual, MIN_C, MAX_C) is not None


def _celsius(heater: Temperature) -> dict[str, float | None]:
    return {"actual": heater.actual, "target": _within(heater.target, MIN_C, MAX_C)}


def _within(figure: float | None, low: float, high: float) -> float | None:
    return figure if figure is not None and low <= figure <= high else None

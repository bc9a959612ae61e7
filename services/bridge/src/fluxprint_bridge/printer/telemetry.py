"""What people see of a printer between two events: docs/protocol.md, "Telemetry"."""

import asyncio
from datetime import UTC, datetime

from fluxprint_bridge.cloud.telemetry import Telemetry, TelemetrySlots
from fluxprint_bridge.octoprint.state import ACTIVE, PrinterState
from fluxprint_bridge.printer.desk import Desk

AT_LEAST_EVERY_S = 5.0
AT_MOST_EVERY_S = 0.5
MAX_ERROR_CHARS = 300
MAX_TEXT_CHARS = 200
MAX_HEATERS = 20


async def send_telemetry(desk: Desk, slots: TelemetrySlots) -> None:
    """Fill the printer's slot for ever: at each change, but not too often, and now and then without one."""
    while True:
        changed = desk.monitor.changed
        slots.put(desk.printer_id, telemetry(desk))
        await asyncio.sleep(AT_MOST_EVERY_S)
        await desk.monitor.wait(changed, AT_LEAST_EVERY_S - AT_MOST_EVERY_S)


def telemetry(desk: Desk) -> Telemetry:
    snapshot, work = desk.monitor.snapshot, desk.work
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
        "temperatures": {
            name[:20]: value.model_dump() for name, value in list(snapshot.temperatures.items())[:MAX_HEATERS]
        },
        "error": (snapshot.problem or "")[:MAX_ERROR_CHARS] or None,
    }
    if job is None:
        return data
    ours = work is not None and job.is_of(work.attempt.path)
    data |= {
        "connection": "printer_offline" if job.state in {PrinterState.OFFLINE, PrinterState.ERROR} else "online",
        "state": "foreign" if job.state in ACTIVE and not ours else str(job.state),
        "text": job.text[:MAX_TEXT_CHARS],
        "error": (job.error or desk.problem or "")[:MAX_ERROR_CHARS] or None,
    }
    if job.state in ACTIVE:
        data |= {
            "progress": None if job.completion is None else round(min(max(job.completion / 100, 0.0), 1.0), 4),
            "print_time_s": job.print_time_s,
            "print_time_left_s": job.print_time_left_s,
        }
    return data

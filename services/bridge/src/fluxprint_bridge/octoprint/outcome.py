"""What OctoPrint's words prove about one print. Pure functions of facts, no input or output.

A print is known by its path, which belongs to one attempt and is started at most once. The facts: what its events
told (`Sightings`), what the printer does now (`Job`) and what the file's history counts (`StoredFile`). OctoPrint
forgets a print that a crash of its own interrupted, so "no trace" proves nothing: the verdict is then `UNKNOWN`.
"""

from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from fluxprint_bridge.octoprint.log import LogTrace
from fluxprint_bridge.octoprint.push import Event
from fluxprint_bridge.octoprint.state import ACTIVE, Job, PrinterState, Prints, StoredFile

#: What is concluded from something missing must hold for so long: requests and events may still be on their way.
ABSENCE_SETTLES_S = 5.0
#: A history without its event: the event, which says more, is about to come if we were listening.
HISTORY_SETTLES_S = 1.0
#: A printer that is offline after a success is mostly on its way back, and an operational one stood still.
OFFLINE_SETTLES_S = 60.0
PRINTER_DISCONNECTED = "printer_disconnected"
NOT_DECIDABLE = "not_decidable"
LOST_WHILE_FINISHING = "lost_while_finishing"


class Verdict(StrEnum):
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """A verdict with a short code and a sentence for a person."""

    verdict: Verdict
    reason: str | None = None
    detail: str | None = None
    settle_s: float = 0.0  #: for how long it must hold before it is believed

    @property
    def is_proof(self) -> bool:
        """Whether it holds for an outcome that was unknown: a lost connection is then of another day."""
        return self.verdict is not Verdict.UNKNOWN and self.reason != PRINTER_DISCONNECTED


@dataclass(frozen=True)
class Sightings:
    """What push events told about a print since its start."""

    started: bool = False
    done: bool = False  #: the whole file was sent; the printer may still be moving
    done_time_s: float | None = None  #: null is OctoPrint's signature of a print that two starts tore apart
    settled: bool = False  #: the printer was operational again after `done`
    cancelled: bool = False
    cancelled_by: str | None = None  #: the OctoPrint user; the printer itself names nobody
    failed: bool = False
    disconnected: bool = False
    error: str | None = None

    def with_event(self, event: Event, path: str) -> "Sightings":
        """These sightings and one event more."""
        if event.text("path") is None:
            return self._with_printer_event(event)
        if event.text("path") == path and event.text("origin") == "local":
            return self._with_print_event(event)
        return self

    def _with_printer_event(self, event: Event) -> "Sightings":
        match event.kind:
            case "Disconnected":
                return replace(self, disconnected=True)
            case "Error":
                return replace(self, error=event.text("error") or self.error)
            case "PrinterStateChanged" if event.text("state_id") == "OPERATIONAL" and self.done:
                # After a lost connection it only says that the printer is connected again.
                return self if self.disconnected else replace(self, settled=True)
        return self

    def _with_print_event(self, event: Event) -> "Sightings":
        match event.kind:
            case "PrintStarted":
                return Sightings(started=True)
            case "PrintDone":
                time = event.payload.get("time")
                return replace(self, done=True, done_time_s=time if isinstance(time, int | float) else None)
            case "PrintCancelled":
                return replace(self, cancelled=True, cancelled_by=event.text("user") or self.cancelled_by)
            case "PrintFailed" if event.text("reason") == "cancelled":
                return replace(self, cancelled=True, cancelled_by=event.text("user") or self.cancelled_by)
            case "PrintFailed":
                return replace(self, failed=True, error=event.text("error") or self.error)
        return self

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def judge(
    path: str, *, job: Job, file: StoredFile | None, seen: Sightings, was_printing: bool, cancel_asked: bool
) -> Finding:
    """What became of the print of `path`, for which start was or may have been pressed.

    Args:
        was_printing: it was seen printing, now or by a process before this one.
    """
    if job.prints(path):
        return Finding(Verdict.RUNNING)
    return (
        _by_events(job, seen, cancel_asked)
        or _by_history(path, job, file.prints if file else Prints(), cancel_asked)
        or _by_selection(path, job)
        or _without_trace(path, job, file, seen, was_printing)
    )


def _by_events(job: Job, seen: Sightings, cancel_asked: bool) -> Finding | None:
    if seen.cancelled:
        return _cancelled(cancel_asked, seen.cancelled_by)
    if seen.failed:
        what = seen.error or "the connection to the printer was closed"
        return Finding(Verdict.FAILED, "octoprint_error", f"OctoPrint stopped the print: {what}")
    return _by_done(job, seen) if seen.done else None


def _by_done(job: Job, seen: Sightings) -> Finding:
    if seen.done_time_s is None:
        return _torn()
    if seen.settled:
        return Finding(Verdict.COMPLETED)
    if seen.disconnected:
        # That the printer is connected again, or that the history counts a success since then, proves no more.
        what = f" ({seen.error})" if seen.error else ""
        return Finding(
            Verdict.UNKNOWN,
            LOST_WHILE_FINISHING,
            f"The whole file had been sent, then the connection to the printer was lost{what} before it stood still.",
        )
    if job.state is PrinterState.IDLE or job.state in ACTIVE:
        return Finding(Verdict.COMPLETED)
    return _success_of_an_offline_printer(job)


def _by_history(path: str, job: Job, prints: Prints, cancel_asked: bool) -> Finding | None:
    if prints.failure:
        # After an error the printer is disconnected and nothing is selected; after a cancel the file stays selected.
        if cancel_asked or (job.is_of(path) and job.state is PrinterState.IDLE):
            return replace(_cancelled(cancel_asked, None), settle_s=HISTORY_SETTLES_S)
        why = f"OctoPrint's history counts this print as failed: {job.error or job.text}"
        return Finding(Verdict.FAILED, "print_failed", why, settle_s=HISTORY_SETTLES_S)
    if not prints.success:
        return None
    if prints.last is None or prints.last.print_time_s is None:
        return _torn()
    if job.state is PrinterState.IDLE or job.state in ACTIVE:
        return Finding(Verdict.COMPLETED)
    return _success_of_an_offline_printer(job)


def _success_of_an_offline_printer(job: Job) -> Finding:
    return Finding(
        Verdict.UNKNOWN,
        LOST_WHILE_FINISHING,
        "OctoPrint counts a success, which it does when the last line is sent, but the printer is not connected"
        f" ({job.error or job.text}): whether it stood still by itself can't be told before it is.",
        settle_s=OFFLINE_SETTLES_S,
    )


def _by_selection(path: str, job: Job) -> Finding | None:
    finished = job.is_of(path) and job.state is PrinterState.IDLE and (job.completion or 0) >= 100
    return Finding(Verdict.COMPLETED) if finished else None


def by_log(trace: LogTrace, *, cancel_asked: bool) -> Finding | None:
    """What OctoPrint's log proves where nothing else does. A line that is missing in it proves nothing.

    Its "done" is of the moment when the last line was sent: a print that is cut off while it finishes has one, too.
    """
    match trace.end:
        case "done" if trace.stood_still:
            return Finding(Verdict.COMPLETED)
        case "done":
            return Finding(
                Verdict.UNKNOWN,
                LOST_WHILE_FINISHING,
                "octoprint.log says that the whole file was sent, but not that the printer stood still after it: the"
                " print may have been cut off while it finished.",
            )
        case "cancelled":
            return _cancelled(cancel_asked, trace.cancelled_by)
    return None


def _without_trace(path: str, job: Job, file: StoredFile | None, seen: Sightings, was_printing: bool) -> Finding:
    if seen.disconnected and was_printing:
        return Finding(
            Verdict.FAILED,
            PRINTER_DISCONNECTED,
            "The connection to the printer was lost while the print was on: " + (seen.error or job.error or job.text),
            settle_s=ABSENCE_SETTLES_S,
        )
    if file is None:
        why = "the file is gone from OctoPrint, and its history with it"
    elif job.is_of(path):
        why = "the file is selected but OctoPrint remembers no print of it"
    elif job.path is not None:
        why = f"another file is selected ({job.path[:100]}) and OctoPrint remembers no print of this one"
    else:
        why = "nothing is selected and OctoPrint remembers no print, as after a restart of OctoPrint"
    return Finding(
        Verdict.UNKNOWN,
        NOT_DECIDABLE,
        f"It can't be told whether this was printed: {why}.",
        settle_s=ABSENCE_SETTLES_S,
    )


def _cancelled(cancel_asked: bool, user: str | None) -> Finding:
    if cancel_asked:
        return Finding(Verdict.CANCELLED, "cancelled_by_request", "Cancelled through FluxPrint.")
    by = f"by the OctoPrint user {user}" if user else "at the printer"
    return Finding(Verdict.CANCELLED, "cancelled_at_printer", f"Cancelled {by}.")


def _torn() -> Finding:
    return Finding(
        Verdict.UNKNOWN,
        "print_time_missing",
        "OctoPrint counts a success without a print time: it may have printed only the first lines.",
    )

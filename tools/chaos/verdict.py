"""Whether a run kept the promises: OctoPrint's records against the queue's. Pure functions of facts."""

from collections.abc import Iterator
from dataclasses import dataclass

from tools.chaos.facts import Asked, Attempt, Facts, Job, LogLine

ENDED = {"completed", "failed", "cancelled", "released"}


@dataclass(frozen=True)
class Violation:
    """A broken promise: in one sentence, and of what."""

    rule: str
    text: str
    job: str | None = None
    attempt: str | None = None
    printer: int | None = None


def judge(facts: Facts) -> list[Violation]:
    """Everything that went wrong in a run."""
    found = [*_stuck(facts), *_submits(facts), *_starts(facts), *_beds(facts)]
    for attempt in facts.attempts:
        found += _attempt(facts, attempt)
    for job in facts.jobs:
        found += _job(facts, job)
    return found


def _stuck(facts: Facts) -> Iterator[Violation]:
    for crash in facts.crashes:
        yield Violation("nothing ends by itself", crash)
    if facts.stuck is not None:
        yield Violation("nothing is stuck", f"After all faults had ended, this had not: {facts.stuck}")


def _submits(facts: Facts) -> Iterator[Violation]:
    for asked in facts.asked:
        there = [job.id for job in facts.jobs if job.name == asked.name]
        lost = set(asked.answered) - set(there)
        if lost:
            yield Violation("no job is lost", f"{asked.name} was answered with {sorted(lost)}, which are not there.")
        if asked.key and len(there) > 1:
            yield Violation(
                "one key makes one job", f"{asked.name} was sent {asked.sent} times with one key: {len(there)} jobs."
            )
        if not asked.key and not _as_many(asked, there):
            yield Violation(
                "one request makes one job",
                f"{asked.name} was sent {asked.sent} times, answered {len(asked.answered)} times: {len(there)} jobs.",
            )


def _as_many(asked: Asked, there: list[str]) -> bool:
    return len(set(asked.answered)) == len(asked.answered) <= len(there) <= asked.sent


# -- printers ----------------------------------------------------------------------------------------------------------


def _starts(facts: Facts) -> Iterator[Violation]:
    """Each file at most once, of a known attempt, and on a printer on which no print is on."""
    seen: set[str] = set()
    on: dict[int, LogLine] = {}
    for line in facts.log:
        if line.kind in {"ended", "boot"}:
            on.pop(line.printer, None)
        if line.kind != "started":
            continue
        of = next((attempt for attempt in facts.attempts if attempt.owns(line.path)), None)
        where = {"printer": line.printer, "attempt": of.id if of else None, "job": of.job if of else None}
        if of is None and line.at >= facts.began_at:
            yield Violation(
                "only what is wanted", f"{line.path} was started, and is of no attempt.", printer=line.printer
            )
        if line.path in seen:
            yield Violation("started once", f"{line.path} was started again at {line.at:.3f}.", **where)  # type: ignore[arg-type]
        if line.printer in on:
            before = on[line.printer]
            yield Violation(
                "not on a busy printer",
                f"{line.path} was started while {before.path} was printing.",
                **where,  # type: ignore[arg-type]
            )
        seen.add(line.path or "")
        on[line.printer] = line


def _beds(facts: Facts) -> Iterator[Violation]:
    """Between the end of a print and the next start somebody has seen that print, and said that the bed is clear."""
    since: dict[int, float] = {}
    before: dict[int, LogLine] = {}
    printing: set[int] = set()
    for line in facts.log:
        if line.kind in {"ended", "boot"} and line.printer in printing:
            printing.discard(line.printer)
            since[line.printer] = line.at
        if line.kind != "started":
            continue
        if line.printer in since and not _confirmed(facts, before[line.printer], since[line.printer], line.at):
            yield Violation(
                "not on an occupied bed",
                f"{line.path} was started at {line.at:.3f}; nobody who had seen {before[line.printer].path} had said "
                f"that the bed is clear since {since[line.printer]:.3f}, when that print ended or began.",
                attempt=next((attempt.id for attempt in facts.attempts if attempt.owns(line.path)), None),
                printer=line.printer,
            )
        since[line.printer], before[line.printer] = line.at, line
        printing.add(line.printer)


def _confirmed(facts: Facts, before: LogLine, since: float, until: float) -> bool:
    return any(
        said.printer == before.printer
        and said.answered_at >= since
        and said.asked_at <= until
        and said.is_of(before.path, since)
        for said in facts.confirmations
    )


# -- attempts and jobs -------------------------------------------------------------------------------------------------


def _attempt(facts: Facts, attempt: Attempt) -> Iterator[Violation]:
    of = {"job": attempt.job, "attempt": attempt.id, "printer": attempt.printer}

    def broken(rule: str, text: str) -> Violation:
        return Violation(rule, f"{attempt.id} {text}", **of)  # type: ignore[arg-type]

    starts, done = facts.lines(attempt, "started"), facts.lines(attempt, "done")
    first = starts[0].at if starts else None
    if first is not None and (attempt.permitted_at is None or first < attempt.permitted_at):
        yield broken("permitted first", f"was started at {first:.3f}, and permitted at {attempt.permitted_at}.")
    if first is not None and attempt.state == "released":
        yield broken("released means not started", f"was given back ({attempt.reason}), but started.")
    if starts and attempt.ended_at is not None and starts[-1].at > attempt.ended_at:
        yield broken("nothing starts after its end", f"was started {starts[-1].at - attempt.ended_at:.3f} s after it.")
    cancelled_at = facts.cancelled.get(attempt.job)
    if starts and cancelled_at is not None and starts[-1].at > cancelled_at:
        yield broken("nothing starts after a cancel", f"was started {starts[-1].at - cancelled_at:.3f} s after it.")
    if attempt.state == "completed" and not attempt.resolved and max(len(done), attempt.successes) != 1:
        yield broken("completed means printed", f"OctoPrint counts {attempt.successes} and logs {len(done)}.")
    if attempt.successes > 1:
        yield broken("printed once", f"was printed {attempt.successes} times by OctoPrint's history.")
    if attempt.state not in ENDED and facts.stuck is None:
        yield broken("every attempt ends", f"is still {attempt.state}.")


def _job(facts: Facts, job: Job) -> Iterator[Violation]:
    def broken(rule: str, text: str) -> Violation:
        return Violation(rule, f"{job.name} ({job.id}) {text}", job=job.id)

    attempts = facts.of(job.id)
    for copy in range(1, job.copies + 1):
        printed = [a.id for a in attempts if a.copy == copy and facts.lines(a, "done")]
        if len(printed) > 1:
            yield broken("each copy once", f"had copy {copy} printed {len(printed)} times: {printed}")
    completed = sorted(attempt.copy for attempt in attempts if attempt.state == "completed")
    match job.state:
        case "completed" if completed != list(range(1, job.copies + 1)):
            yield broken("completed means all copies", f"is completed with copies {completed} of {job.copies}.")
        case "failed" if not job.reason:
            yield broken("an end has a reason", "failed and does not say why.")
        case "cancelled" if not job.reason and not _cancel_asked(facts, job):
            yield broken("an end has a reason", "is cancelled; nobody asked for that, and it does not say why.")
        case "completed" | "failed" | "cancelled":
            pass
        case _ if facts.stuck is None:
            yield broken("every job ends", f"is still {job.state}.")


def _cancel_asked(facts: Facts, job: Job) -> bool:
    return any(asked.name == job.name and asked.cancel_asked for asked in facts.asked)

"""Tells what happened in a run, for whoever has to find out why."""

from datetime import UTC, datetime

from tools.chaos.facts import Facts
from tools.chaos.plan import Plan
from tools.chaos.system import Timeline
from tools.chaos.verdict import Violation


def tell(plan: Plan, facts: Facts, timeline: Timeline, violations: list[Violation]) -> str:
    """The violations, and everything else in the order of time: faults, people, the queue's events, OctoPrint's log."""
    lines = [f"# Run {plan.name}", ""]
    lines += [f"- **{violation.rule}**: {violation.text}" for violation in violations]
    lines += ["", "## Jobs", ""]
    for job in facts.jobs:
        lines.append(f"- {job.name} {job.id}: {job.state}, {job.reason or 'no reason'}, {job.copies} copies")
        lines += [
            f"  - {a.id} copy {a.copy} on printer {a.printer}: {a.state}, {a.reason or 'no reason'}; OctoPrint counts "
            f"{a.successes} successes, {a.failures} failures, and logs {[x.kind for x in facts.log if a.owns(x.path)]}"
            for a in facts.of(job.id)
        ]
    happened = [
        *timeline.notes,
        *((event.at, f"    queue: {event.subject} {event.type} {event.data}") for event in facts.events),
        *((line.at, f"        OctoPrint {line.printer}: {line.text}") for line in facts.log),
    ]
    lines += ["", "## What happened (UTC)", "", "```"]
    lines += [f"{_clock(at)} {text}" for at, text in sorted(happened)]
    return "\n".join([*lines, "```", ""])


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S.%f")[:-3]

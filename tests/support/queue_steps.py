"""What people and bridges ask of the queue service, as steps that hypothesis puts together."""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine, initialize

from fluxprint_common.ids import new_id, show
from fluxprint_model import queue as model
from fluxprint_model.tables import Queue, Rules
from fluxprint_queue.attempts.states import AttemptState, ReportKind
from support.queue import GCODE
from support.queue_model import Answer, Step, Twins

RULES = Rules(max_releases=3)


class QueueSteps(RuleBasedStateMachine):
    """The service and its model at one point of a history; subclasses make up what comes next."""

    def __init__(self, open_twins: Callable[[], Twins], loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.twins = open_twins()
        self._loop = loop

    @initialize()
    def begin(self) -> None:
        self.run(self.twins.open())

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def do(self, *steps: Step) -> None:
        self.run(self.twins.do(*steps))

    @property
    def queue(self) -> Queue:
        return self.twins.queue

    def any_attempt(self, pick: int, *, among: frozenset[AttemptState] | None = None) -> int | None:
        fitting = [n for n, a in enumerate(self.queue.attempts) if among is None or a.state in among]
        return fitting[pick % len(fitting)] if fitting else None

    def queue_job(self, *, copies: int, priority: int, printer: int) -> None:
        twins = self.twins
        body = {"file_id": twins.file, "copies": copies, "priority": priority}
        if printer >= 0:
            body["printer_id"] = twins.names.printers[printer]

        async def created() -> None:
            job = (await twins.world.send("POST", "/jobs", json=body, expect=201)).json()["id"]
            twins.names.jobs.append(job)
            await twins.became(model.create(twins.queue, copies=copies, priority=priority, printer=printer))

        self.run(created())

    def next_of(self, printer: int, report_id: int, *, well: bool, ready: bool = False) -> Step:
        """What a bridge does when nothing disturbs it, or a person for whom it waits."""
        held = model.live_attempts(self.queue, printer)
        bed = self.queue.beds[printer]
        if not held:
            version = bed.version if bed.attempt < 0 else None
            if bed.clear:
                return self.claim_of(printer, 0, ready=ready)
            return self.bed_cleared_of(printer, bed.attempt, version)
        number, attempt = held[0], self.queue.attempts[held[0]]
        kind = {
            AttemptState.STARTING: ReportKind.STARTED,
            AttemptState.PRINTING: ReportKind.COMPLETED if well else ReportKind.UNKNOWN,
            AttemptState.PAUSED: ReportKind.RESUMED,
            AttemptState.UNKNOWN: ReportKind.COMPLETED,
        }.get(attempt.state)
        if kind is None:
            return self.permit_of(number, attempt.fence, attempt.journal)
        return self.report_of(number, attempt.fence, report_id, kind, fault=False)

    def by_hand_of(self, printer: int) -> Step:
        path = f"/printers/{self.twins.names.printers[printer]}/foreign-print"
        return Step(
            "foreign-print",
            lambda: self.twins.world.call("POST", path, json={"file_name": "by hand.gcode"}),
            lambda queue: (model.foreign_print(queue, RULES, printer), None),
        )

    def cancel_of(self, job: int) -> Step:
        path = f"/jobs/{self.twins.names.jobs[job]}/cancel"
        return Step(
            "cancel",
            lambda: self.twins.world.send("POST", path),
            lambda queue: (model.cancel(queue, RULES, job), None),
        )

    def claim_of(self, printer: int, journal: int, *, ready: bool = False) -> Step:
        """`ready`: of the one file that all jobs print, staged under a new id."""
        path = f"/printers/{self.twins.names.printers[printer]}/claim"
        body: dict[str, object] = {"journal_id": str(self.twins.journals[journal]), "ready": ready}
        if ready:
            sha256 = hashlib.sha256(GCODE).hexdigest()
            body["staged"] = {"attempt_id": show("attempt", new_id()), "sha256": sha256}
        return Step(
            "claim",
            lambda: self.twins.world.call("POST", path, json=body),
            lambda queue: model.claim(queue, RULES, printer, journal, ready=ready),
        )

    def permit_of(self, number: int, fence: int, journal: int) -> Step:
        path = f"/attempts/{self.twins.names.attempts[number]}/permit"
        body = {"fence": self.twins.names.fences[number, fence], "journal_id": str(self.twins.journals[journal])}

        def apply(queue: Queue) -> tuple[Queue, Answer]:
            return model.permit(queue, RULES, number, fence=fence, journal=journal), None

        return Step("permit", lambda: self.twins.world.call("POST", path, json=body), apply)

    def report_of(self, number: int, fence: int, report_id: int, kind: ReportKind, *, fault: bool) -> Step:
        path = f"/attempts/{self.twins.names.attempts[number]}/reports"
        body = {
            "fence": self.twins.names.fences[number, fence],
            "report_id": str(self.twins.report_ids[report_id]),
            "kind": kind,
            "reason": "start_refused" if fault else "some_reason",
        }

        def apply(queue: Queue) -> tuple[Queue, Answer]:
            after = model.report(queue, RULES, number, fence=fence, report_id=report_id, kind=kind, fault=fault)
            return after, after.attempts[number].state

        return Step(f"report {kind}", lambda: self.twins.world.call("POST", path, json=body), apply)

    def bed_cleared_of(self, printer: int, attempt: int, version: int | None) -> Step:
        names = self.twins.names
        path = f"/printers/{names.printers[printer]}/bed-cleared"
        changed_at = names.beds[printer, version].isoformat() if version is not None else None
        body = {"attempt_id": names.attempts[attempt] if attempt >= 0 else None, "changed_at": changed_at}
        return Step(
            "bed-cleared",
            lambda: self.twins.world.send("POST", path, json=body),
            lambda queue: (model.bed_cleared(queue, printer, attempt=attempt, version=version), None),
        )

"""The real queue service beside the model's queue (docs/model): a step is made in both, and both must say the same."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import permutations
from uuid import uuid4

import asyncpg
import httpx

from fluxprint_common.ids import show
from fluxprint_model.tables import Bed, Given, Queue, Refused
from fluxprint_queue.attempts.states import AttemptState
from fluxprint_queue.chores import Chores
from support.queue import QueueWorld

#: What a step answers in the model: nothing, an assignment, or the attempt's state after a report.
Answer = Given | AttemptState | None


@dataclass(frozen=True)
class Step:
    """One request, and what it does to the model's queue."""

    name: str
    send: Callable[[], Awaitable[httpx.Response]]
    apply: Callable[[Queue], tuple[Queue, Answer]]


@dataclass
class Names:
    """What the service calls the model's numbers."""

    printers: list[str] = field(default_factory=list)
    jobs: list[str] = field(default_factory=list)
    attempts: list[str] = field(default_factory=list)
    fences: dict[tuple[int, int], int] = field(default_factory=dict)
    beds: dict[tuple[int, int], datetime] = field(default_factory=dict)

    def copy(self) -> "Names":
        return Names(self.printers, self.jobs, [*self.attempts], {**self.fences}, {**self.beds})


class Twins:
    """One organisation at the service, and its reference. Raises AssertionError where they differ."""

    def __init__(self, world: QueueWorld, database: asyncpg.Connection, chores: Chores, *, printers: int) -> None:
        self.world = world
        self.queue = Queue(beds=(Bed(),) * printers)
        self.names = Names()
        self.journals = [uuid4(), uuid4()]
        self.report_ids = [uuid4() for _ in range(8)]
        self.file = ""
        self.chores = chores
        self._database = database

    async def open(self) -> None:
        """Printers with clear beds, and a file."""
        for number in range(len(self.queue.beds)):
            self.names.printers.append(await self.world.printer(f"Printer {number}"))
        self.file = await self.world.file()
        await self._compare(self.queue, self.names)

    async def execute(self, statement: str, *arguments: object) -> None:
        """What only time could do."""
        await self._database.execute(statement, *arguments)

    async def fetch(self, statement: str, *arguments: object) -> Sequence[asyncpg.Record]:
        rows: Sequence[asyncpg.Record] = await self._database.fetch(statement, *arguments)
        return rows

    async def do(self, *steps: Step) -> None:
        """Make one step, or several at once: then what comes of them must be what some order of them gives."""
        answers = await asyncio.gather(*(step.send() for step in steps))
        differences = []
        for order in permutations(range(len(steps))):
            queue, names = self.queue, self.names.copy()
            try:
                for number in order:
                    if len(steps) > 1 and steps[number].name == "claim" and answers[number].status_code == 204:
                        continue  # a claim that meets another may be told to come again
                    queue = _agreed(steps[number], answers[number], queue, names)
                await self._compare(queue, names)
            except AssertionError as different:
                differences.append(f"in the order {[steps[number].name for number in order]}: {different}")
            else:
                self.queue, self.names = queue, names
                return
        raise AssertionError("\n".join(differences))

    async def became(self, queue: Queue) -> None:
        """Time did something in both."""
        await self._compare(queue, self.names)
        self.queue = queue

    # -- what can be seen -------------------------------------------------------------------------------------------

    async def _compare(self, queue: Queue, names: Names) -> None:
        await self._check_promises()
        await self._compare_jobs(queue, names)
        await self._compare_printers(queue, names)
        columns = "id, job_id, printer_id, copy_number, state, fence"
        rows = await self._of_organisation(f"SELECT {columns} FROM queue.{{}}", "attempt")  # noqa: S608
        found = {
            show("attempt", row["id"]): (
                show("job", row["job_id"]),
                show("printer", row["printer_id"]),
                *(row["copy_number"], row["state"], row["fence"]),
            )
            for row in rows
        }
        assert found == {
            names.attempts[number]: (
                names.jobs[attempt.job],
                names.printers[attempt.printer],
                *(attempt.copy, attempt.state, names.fences.get((number, attempt.fence))),
            )
            for number, attempt in enumerate(queue.attempts)
        }
        commands = await self._of_organisation("SELECT attempt_id, kind, state FROM queue.{}", "command")
        assert Counter((show("attempt", row["attempt_id"]), row["kind"], row["state"]) for row in commands) == Counter(
            (names.attempts[command.attempt], command.kind, command.state) for command in queue.commands
        )

    async def _compare_jobs(self, queue: Queue, names: Names) -> None:
        shown = (await self.world.send("GET", "/jobs", params={"limit": 50}, expect=200)).json()["items"]
        assert {job["id"]: (job["state"], job["copies_completed"], job["copies_dropped"]) for job in shown} == {
            names.jobs[number]: (job.state, job.completed, job.dropped) for number, job in enumerate(queue.jobs)
        }
        hidden = await self._of_organisation("SELECT id, copies_open, releases, failed_at FROM queue.{}", "job")
        assert {
            show("job", row["id"]): (row["copies_open"], row["releases"], row["failed_at"] is not None)
            for row in hidden
        } == {names.jobs[n]: (job.copies_open, job.releases, job.failed) for n, job in enumerate(queue.jobs)}

    async def _compare_printers(self, queue: Queue, names: Names) -> None:
        shown = (await self.world.send("GET", "/printers", params={"limit": 50}, expect=200)).json()["items"]
        assert {printer["id"]: (printer["bed"]["state"], printer["bed"]["attempt_id"]) for printer in shown} == {
            names.printers[number]: (
                "clear" if bed.clear else "occupied",
                names.attempts[bed.attempt] if bed.attempt >= 0 else None,
            )
            for number, bed in enumerate(queue.beds)
        }
        for number, bed in enumerate(queue.beds):
            changed_at = next(p["bed"]["changed_at"] for p in shown if p["id"] == names.printers[number])
            known = names.beds.setdefault((number, bed.version), datetime.fromisoformat(changed_at))
            assert known == datetime.fromisoformat(changed_at)

    async def _check_promises(self) -> None:
        """What must hold whatever the reference says."""
        broken = await self._database.fetch(_BROKEN, self.world.organisation)
        assert not broken, [dict(row) for row in broken]

    async def _of_organisation(self, statement: str, table: str) -> Sequence[asyncpg.Record]:
        return await self.fetch(statement.format(table) + " WHERE organisation_id = $1", self.world.organisation)


_LIVE = "('claimed', 'starting', 'printing', 'paused', 'unknown')"
_BROKEN = f"""
    SELECT 'two live attempts of a printer' AS what, printer_id AS of FROM queue.attempt
     WHERE organisation_id = $1 AND state IN {_LIVE} GROUP BY printer_id HAVING count(*) > 1
    UNION ALL
    SELECT 'a copy is printed twice', job_id FROM queue.attempt
     WHERE organisation_id = $1 AND (state IN {_LIVE} OR state = 'completed')
     GROUP BY job_id, copy_number HAVING count(*) > 1
    UNION ALL
    SELECT 'a job has ended and an attempt of it lives', a.id FROM queue.attempt a JOIN queue.job j ON j.id = a.job_id
     WHERE j.organisation_id = $1 AND a.state IN {_LIVE} AND j.state IN ('completed', 'failed', 'cancelled')
    UNION ALL
    SELECT 'a print may run on a bed that is called clear', p.id
      FROM queue.printer p JOIN queue.attempt a ON a.printer_id = p.id
     WHERE p.organisation_id = $1 AND p.bed_state = 'clear' AND a.state IN {_LIVE} AND a.state <> 'claimed'
    UNION ALL
    SELECT 'a job is completed without its copies', id FROM queue.job j
     WHERE organisation_id = $1 AND state = 'completed' AND copies <>
           (SELECT count(*) FROM queue.attempt a WHERE a.job_id = j.id AND a.state = 'completed')
"""  # noqa: S608  (constants)


def _agreed(step: Step, response: httpx.Response, queue: Queue, names: Names) -> Queue:
    """The queue after this step, which the service must have answered as the model does."""
    said = f"{step.name} was answered with {response.status_code} {response.text[:300]}"
    try:
        after, expected = step.apply(queue)
    except Refused as refusal:
        code = refusal.code
    else:
        code = ""
    if code:
        assert (response.status_code, response.json().get("code")) == (409, code), f"{said}, not {code}"
        return queue
    assert response.is_success, said
    match expected:
        case Given():
            assert response.status_code == 200, said
            _learn(expected, response, after, names)
        case AttemptState():
            assert response.json()["state"] == expected, f"{said}, not {expected}"
        case None if step.name == "claim":
            assert response.status_code == 204, said
    return after


def _learn(given: Given, response: httpx.Response, queue: Queue, names: Names) -> None:
    """Check an assignment, and learn the names in it."""
    body = response.json()["attempt"]
    attempt = queue.attempts[given.attempt]
    if given.attempt == len(names.attempts):
        names.attempts.append(body["id"])
    told = (body["id"], body["state"], body["same_journal"], body["job_id"], body["copy_number"])
    known = (names.attempts[given.attempt], given.state, given.same_journal, names.jobs[attempt.job], attempt.copy)
    assert told == known
    assert (response.json()["permit_valid_s"] is not None) is given.permitted
    older = [fence for (number, _), fence in names.fences.items() if number == given.attempt]
    assert body["fence"] > max(older, default=0)
    names.fences[given.attempt, given.fence] = body["fence"]

"""Random interleavings at the real queue service with a real database, compared with the model step by step.

`PROPERTY_EXAMPLES` asks for more of them, each time others: see docs/model/README.md.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from uuid import UUID

import httpx
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from fluxprint_common.lookup import Lookups
from fluxprint_common.principal import Principal
from fluxprint_model import queue as model
from fluxprint_model.tables import Queue
from fluxprint_queue.attempts import repository as attempt_rows
from fluxprint_queue.attempts import service as attempts
from fluxprint_queue.attempts.errors import AttemptEnded
from fluxprint_queue.attempts.repository import Held
from fluxprint_queue.attempts.schemas import Resolution
from fluxprint_queue.attempts.states import ENDED, LIVE, PERMITTED, AttemptState, ReportKind
from fluxprint_queue.bridge import repository as doorbells
from fluxprint_queue.bridge.repository import Waiting
from fluxprint_queue.chores import Chores
from fluxprint_queue.commands.states import CommandKind, CommandState
from fluxprint_queue.printers.states import BedState
from support.queue import QueueWorld, queue_app
from support.queue_model import Answer, Step, Twins
from support.queue_steps import RULES, QueueSteps
from support.servers import Database, connected
from support.serving import serving
from support.tokens import Issuer

EXAMPLES = int(os.environ.get("PROPERTY_EXAMPLES", "0"))
#: A search is long on a machine with other work.
pytestmark = pytest.mark.timeout(600)

CHECK = settings(
    max_examples=EXAMPLES or 15,
    stateful_step_count=40,
    derandomize=not EXAMPLES,  # a check that is red without a change helps nobody
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)

numbers = st.integers(0, 1000)
mostly = st.sampled_from([True, True, True, False])


class QueueMachine(QueueSteps):
    """Makes up what people, bridges and time do.

    A rule that has nothing to do does nothing, and is no less likely for it: what comes of steps that are made at once
    is not the same each time, and hypothesis cannot have what it may draw depend on that.
    """

    # -- people -----------------------------------------------------------------------------------------------------

    @rule(copies=st.integers(1, 2), priority=st.sampled_from([40, 50]), printer=st.sampled_from([-1, -1, 0, 1]))
    def create(self, copies: int, priority: int, printer: int) -> None:
        if len(self.queue.jobs) >= 4:
            return
        self.queue_job(copies=copies, priority=priority, printer=printer)

    @rule(pick=numbers, really=mostly)
    def cancel(self, pick: int, really: bool) -> None:
        if not self.queue.jobs:
            return
        if not really:  # less often, or nothing is ever printed
            self.do(self.cancel_of(pick % len(self.queue.jobs)))

    @rule(pick=numbers, kind=st.sampled_from([CommandKind.PAUSE, CommandKind.RESUME]))
    def order(self, pick: int, kind: CommandKind) -> None:
        if not self.queue.jobs:
            return
        number = pick % len(self.queue.jobs)
        path = f"/jobs/{self.twins.names.jobs[number]}/{kind}"
        self.do(Step(kind, lambda: self.twins.world.send("POST", path), lambda q: (model.order(q, number, kind), None)))

    @rule(pick=numbers, outcome=st.sampled_from(Resolution), fitting=mostly, bed_is_clear=st.booleans())
    def resolve(self, pick: int, outcome: Resolution, fitting: bool, bed_is_clear: bool) -> None:
        if not self.queue.attempts:
            return
        number = self.any_attempt(pick, among=frozenset({AttemptState.UNKNOWN}) if fitting else None)
        if number is None:
            return
        path = f"/attempts/{self.twins.names.attempts[number]}/resolve"
        permit_is_old = False

        async def send() -> httpx.Response:
            nonlocal permit_is_old
            long_ago = (
                "SELECT permitted_at < now() - interval '30 minutes' AS is_old FROM queue.attempt WHERE id = $1::uuid"
            )
            found = await self.twins.fetch(long_ago, self.twins.names.attempts[number].removeprefix("attempt_"))
            permit_is_old = bool(found[0]["is_old"])
            return await self.twins.world.send("POST", path, json={"outcome": outcome, "bed_is_clear": bed_is_clear})

        def apply(queue: Queue) -> tuple[Queue, Answer]:
            after = model.resolve(
                queue, number, outcome,
                bed_is_clear=bed_is_clear, abandoned=permit_is_old, permit_usable=not permit_is_old,
            )  # fmt: skip
            return after, None

        self.do(Step("resolve", send, apply))

    @rule(printer=st.integers(0, 1), right=mostly, older=st.integers(0, 3))
    def bed_cleared(self, printer: int, right: bool, older: int) -> None:
        bed = self.queue.beds[printer]
        attempt = bed.attempt if right else len(self.queue.attempts) - 1 - older
        version = (bed.version if right else max(1, bed.version - older)) if attempt < 0 else None
        if version is None or (printer, version) in self.twins.names.beds:
            self.do(self.bed_cleared_of(printer, max(-1, attempt), version))

    # -- bridges ----------------------------------------------------------------------------------------------------

    @rule(printer=st.integers(0, 1), first=mostly, ready=st.booleans())
    def claim(self, printer: int, first: bool, ready: bool) -> None:
        self.do(self.claim_of(printer, 0 if first else 1, ready=ready))

    @rule(
        printer=st.integers(0, 1), first=mostly, ready=st.booleans(),
        other=st.sampled_from(["claim", "cancel", "permit", "report"]),
    )  # fmt: skip
    def at_once(self, printer: int, first: bool, ready: bool, other: str) -> None:
        steps = [self.claim_of(printer, 0 if first else 1, ready=ready)]
        held = model.live_attempts(self.queue, printer)
        if other == "claim":
            steps.append(self.claim_of(printer, 1, ready=not ready))
        elif other == "cancel" and not held and self.queue.jobs:
            steps.append(self.cancel_of(len(self.queue.jobs) - 1))
        elif held and other == "cancel":
            steps.append(self.cancel_of(self.queue.attempts[held[0]].job))
        elif held and other == "permit":
            steps += [self.permit_of(held[0], self.queue.attempts[held[0]].fence, 0)] * 2
        elif held:
            steps.append(
                self.report_of(held[0], self.queue.attempts[held[0]].fence, 0, ReportKind.RELEASED, fault=True)
            )
        self.do(*steps)

    @rule(pick=numbers, newest=mostly, first=mostly)
    def permit(self, pick: int, newest: bool, first: bool) -> None:
        if not self.queue.attempts:
            return
        number = self.any_attempt(pick, among=LIVE if newest else None)
        if number is not None:
            fence = self.queue.attempts[number].fence
            self.do(self.permit_of(number, fence if newest else max(1, fence - 1), 0 if first else 1))

    @rule(pick=numbers, newest=mostly)
    def renew(self, pick: int, newest: bool) -> None:
        if not self.queue.attempts:
            return
        number = self.any_attempt(pick)
        assert number is not None
        fence = self.queue.attempts[number].fence if newest else 1
        path = f"/attempts/{self.twins.names.attempts[number]}/lease"
        body = {"fence": self.twins.names.fences[number, fence]}
        self.do(
            Step(
                "lease",
                lambda: self.twins.world.call("POST", path, json=body),
                lambda queue: (model.renew(queue, RULES, number, fence), None),
            )
        )

    @rule(
        pick=numbers, newest=mostly, report_id=st.integers(0, 7), kind=st.sampled_from(ReportKind),
        fault=st.booleans(), live=mostly,
    )  # fmt: skip
    def report(self, pick: int, newest: bool, report_id: int, kind: ReportKind, fault: bool, live: bool) -> None:
        if not self.queue.attempts:
            return
        number = self.any_attempt(pick, among=LIVE if live else None)
        if number is not None:
            fence = self.queue.attempts[number].fence
            self.do(self.report_of(number, fence if newest else max(1, fence - 1), report_id, kind, fault=fault))

    @rule(printer=st.integers(0, 1), report_id=st.integers(0, 7), well=mostly, ready=st.booleans())
    def what_comes_next(self, printer: int, report_id: int, well: bool, ready: bool) -> None:
        self.do(self.next_of(printer, report_id, well=well, ready=ready))

    @rule(printer=st.integers(0, 1))
    def print_by_hand(self, printer: int) -> None:
        self.do(self.by_hand_of(printer))

    @rule(pick=numbers, result=st.sampled_from([CommandState.SUCCEEDED, CommandState.FAILED]))
    def command_result(self, pick: int, result: CommandState) -> None:
        if not self.queue.commands:
            return
        number = pick % len(self.queue.commands)
        command = self.queue.commands[number]

        async def send() -> httpx.Response:
            attempt = self.twins.names.attempts[command.attempt].removeprefix("attempt_")
            found = await self.twins.fetch(
                "SELECT id FROM queue.command WHERE attempt_id = $1::uuid AND kind = $2 AND state = $3",
                attempt, str(command.kind), str(command.state),
            )  # fmt: skip
            path = f"/commands/command_{found[0]['id'].hex}/result"
            return await self.twins.world.call("POST", path, json={"state": result})

        self.do(Step("result", send, lambda queue: (model.command_result(queue, number, result), None)))

    # -- time -------------------------------------------------------------------------------------------------------

    @rule(pick=numbers, release=st.booleans())
    def lease_runs_out(self, pick: int, release: bool) -> None:
        number = self.any_attempt(pick, among=frozenset({AttemptState.CLAIMED}))
        if number is None:
            return
        past = "UPDATE queue.attempt SET lease_expires_at = now() - interval '1 second' WHERE id = $1::uuid"

        async def time() -> None:
            twins = self.twins
            await twins.execute(past, twins.names.attempts[number].removeprefix("attempt_"))
            queue = model.lease_runs_out(twins.queue, number)
            if release:
                await twins.chores.release_expired_leases()
                for other in range(len(queue.attempts)):
                    queue = model.release_expired(queue, RULES, other)
            await twins.became(queue)

        self.run(time())

    @rule(pick=numbers)
    def permit_grows_old(self, pick: int) -> None:
        """By more than two permits: nobody presses start any more, and the printer, never heard of, is abandoned."""
        number = self.any_attempt(pick, among=PERMITTED)
        if number is None:
            return
        past = "UPDATE queue.attempt SET permitted_at = permitted_at - interval '1 hour' WHERE id = $1::uuid"
        self.run(self.twins.execute(past, self.twins.names.attempts[number].removeprefix("attempt_")))

    @rule(really=mostly)
    def commands_expire(self, really: bool) -> None:
        if all(c.state != CommandState.PENDING for c in self.queue.commands):
            return
        if really:
            return

        async def time() -> None:
            twins = self.twins
            await twins.execute("UPDATE queue.command SET deadline_at = now() - interval '1 second'")
            await twins.chores.expire_commands()
            queue = twins.queue
            for number in range(len(queue.commands)):
                queue = model.expire_command(queue, number)
            await twins.became(queue)

        self.run(time())


class NarrowMachine(QueueSteps):
    """Less, so that a fault is found soon."""

    @precondition(lambda self: len(self.queue.jobs) < 3)
    @rule()
    def create(self) -> None:
        self.queue_job(copies=2, priority=50, printer=-1)

    @rule(printer=st.integers(0, 1))
    def what_comes_next(self, printer: int) -> None:
        self.do(self.next_of(printer, printer, well=True))

    @rule(printer=st.integers(0, 1))
    def print_by_hand(self, printer: int) -> None:
        self.do(self.by_hand_of(printer))

    @rule(printer=st.integers(0, 1))
    def claim(self, printer: int) -> None:
        self.do(self.claim_of(printer, 0))

    @precondition(lambda self: any(a.fence > 1 and a.state in LIVE for a in self.queue.attempts))
    @rule()
    def permit_with_an_old_fence(self) -> None:
        number = next(n for n, a in enumerate(self.queue.attempts) if a.fence > 1 and a.state in LIVE)
        self.do(self.permit_of(number, 1, 0))


class ReadyMachine(QueueSteps):
    """Claims that bring the permit along, and beds that are not clear."""

    @precondition(lambda self: len(self.queue.jobs) < 3)
    @rule()
    def create(self) -> None:
        self.queue_job(copies=2, priority=50, printer=-1)

    @rule(printer=st.integers(0, 1))
    def claim(self, printer: int) -> None:
        self.do(self.claim_of(printer, 0, ready=True))

    @rule(printer=st.integers(0, 1))
    def print_by_hand(self, printer: int) -> None:
        self.do(self.by_hand_of(printer))


async def search(machine: type[QueueSteps], open_twins: Callable[[], Twins], check: settings) -> None:
    """Make up histories in a thread; what they ask for runs here."""
    loop = asyncio.get_running_loop()

    def made_up() -> None:
        class Machine(machine):  # type: ignore[misc, valid-type]
            def __init__(self) -> None:
                super().__init__(open_twins, loop)

        run_state_machine_as_test(Machine, settings=check)

    await asyncio.to_thread(made_up)


@pytest.fixture
async def open_twins(
    database: Database, issuer: Issuer, auth_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[[], Twins]]:
    """Organisations of their own, at a service on which time does nothing by itself."""

    async def nothing(_chores: Chores) -> None:
        pass

    app = queue_app(
        database, issuer, auth_url, tmp_path,
        lease_s=3600, permit_valid_s=300, fault_rest_s=0, max_releases=RULES.max_releases,
    )  # fmt: skip
    with monkeypatch.context() as start:
        for chore in ("release_expired_leases", "expire_commands", "mark_silent_printers"):
            start.setattr(Chores, chore, nothing)
        server = serving(app)
        url = await server.__aenter__()
    try:
        async with connected(database.url) as owner, httpx.AsyncClient(base_url=url, timeout=20) as http:
            chores = Chores(app.state.database, app.state.storage, app.state.settings)
            yield lambda: Twins(QueueWorld(http, issuer, tmp_path), owner, chores, printers=2)
    finally:
        await server.__aexit__(None, None, None)


class TestQueue:
    async def test_it_does_what_the_model_does(self, open_twins: Callable[[], Twins]) -> None:
        await search(QueueMachine, open_twins, CHECK)


class TestPlantedFaults:
    """The same search finds a service that is wrong."""

    FINDS = settings(CHECK, max_examples=60, stateful_step_count=20, phases=[Phase.generate], derandomize=True)

    async def test_a_permit_without_a_look_at_the_bed(
        self, open_twins: Callable[[], Twins], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Whatever(str):
            def __ne__(self, other: object) -> bool:
                return False

        beds = SimpleNamespace(CLEAR=Whatever(BedState.CLEAR), OCCUPIED=BedState.OCCUPIED)
        monkeypatch.setattr(attempts, "BedState", beds)
        with pytest.raises(AssertionError, match="not bed_occupied"):
            await search(NarrowMachine, open_twins, self.FINDS)

    async def test_a_permit_with_the_claim_without_a_look_at_the_bed(
        self, open_twins: Callable[[], Twins], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def anything(_polls: Lookups, _principal: Principal, _printer_id: UUID) -> Waiting:
            return Waiting(attempt=False, job=True, command=False, free=True)

        checked = " AND p.bed_state = 'clear'"
        unchecked = attempt_rows._CLAIM_SQL.replace(checked, "")
        assert len(unchecked) == len(attempt_rows._CLAIM_SQL) - len(checked)
        monkeypatch.setattr(attempt_rows, "_CLAIM", attempt_rows._claiming(unchecked))
        monkeypatch.setattr(doorbells, "waiting", anything)
        with pytest.raises(AssertionError, match="claim was answered with 200"):
            await search(ReadyMachine, open_twins, self.FINDS)

    async def test_a_fence_that_is_not_checked(
        self, open_twins: Callable[[], Twins], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unfenced(held: Held, _fence: int) -> None:
            if AttemptState(held.attempt.state) in ENDED:
                raise AttemptEnded

        monkeypatch.setattr(attempts, "_check_holder", unfenced)
        with pytest.raises(AssertionError, match="not fence_stale"):
            await search(NarrowMachine, open_twins, self.FINDS)

"""What a claim costs with a million finished jobs in the database, and with none.

Two databases on one PostgreSQL, a queue service on each, and each claim on the one followed by one on the other.
"""

import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg

from fluxprint_common.database import Database
from fluxprint_common.ids import new_id
from fluxprint_common.permissions import Role
from fluxprint_common.principal import Principal
from fluxprint_local.bootstrap import ROOT
from fluxprint_local.ports import free_port
from fluxprint_local.process import Process, is_healthy
from fluxprint_local.supervisor import Supervisor
from fluxprint_queue.attempts import repository
from tools.bench import history
from tools.bench.history import Farm
from tools.bench.system import System, Workshop
from tools.bench.wire import Wire

WAITING = 1_000
PRINTERS = 50
BATCHES, ROUNDS = 8, 5  # of a claim for each printer
STATEMENTS = 200
LEASE_S = 60

# What a bridge does with what it claimed, in one step, so that as many jobs wait as before.
_FINISH = """
WITH ended AS (
    UPDATE queue.attempt SET state = 'completed', permitted_at = now(), started_at = now(), ended_at = now()
    WHERE state = 'claimed' RETURNING job_id
)
UPDATE queue.job SET state = 'completed', copies_completed = copies, ended_at = now()
WHERE id IN (SELECT job_id FROM ended)"""

_PRINTED_OFTEN = """
WITH j AS (UPDATE queue.job SET copies_open = 10, copies_completed = 990 WHERE copies = 1000 RETURNING *)
INSERT INTO queue.attempt (id, organisation_id, job_id, printer_id, bridge_id, journal_id, copy_number, state,
                           lease_expires_at, ended_at)
SELECT gen_random_uuid(), j.organisation_id, j.id, $1, $2, $2, n, 'completed', now(), now()
FROM j CROSS JOIN generate_series(1, 990) n"""

_FOR_ANOTHER_PRINTER = "UPDATE queue.job SET printer_id = $1 WHERE state = 'queued'"


@dataclass
class Side:
    """One database with its queue service, and how long its claims took, in seconds."""

    farm: Farm
    owner: asyncpg.Connection
    database: Database
    wire: Wire
    batches: list[list[float]] = field(default_factory=lambda: [[]])
    statement_s: list[float] = field(default_factory=list)

    async def claim(self, printer: UUID) -> None:
        began = time.perf_counter()
        status, body = await self.wire.send(
            "POST", f"/api/v1/bridge/printers/printer_{printer.hex}/claim", {"journal_id": str(self.farm.bridge)}
        )
        self.batches[-1].append(time.perf_counter() - began)
        if status != 200:
            raise RuntimeError(f"a claim was answered with {status} {body.decode()}")

    async def statement(self, printer: UUID, *, finds: bool = True) -> float:
        """The claim's own statement alone, taken back."""
        bridge = Principal(
            subject=self.farm.bridge,
            organisation_id=self.farm.organisation,
            role=Role.BRIDGE,
            session_id=uuid4(),
            permissions=frozenset(),
            expires_at=datetime.now(UTC),
            issued_at=datetime.now(UTC),
        )
        async with self.database.sessions() as session:
            await session.connection()
            began = time.perf_counter()
            found = await repository.claim(
                session, bridge, printer, journal_id=uuid4(), staged=None, lease_s=LEASE_S, rest_s=60
            )
            took_s = time.perf_counter() - began
            await session.rollback()
        assert (found is not None) is finds
        return took_s

    async def finish(self) -> None:
        await self.owner.execute(_FINISH)
        await history.queue_jobs(self.owner, self.farm, len(self.farm.printers))


@dataclass(frozen=True)
class Claims:
    """`young` has only what waits, `old` the finished jobs too. The skewed cases are seconds of the statement alone."""

    young: Side
    old: Side
    filled_s: float
    released_often: Sequence[float]
    printed_often: Sequence[float]
    for_another_printer: Sequence[float]


def p99(batches: Sequence[Sequence[float]]) -> float:
    """The median of the batches' 99th percentiles: what else the machine does shows in some of them only."""
    return statistics.median(statistics.quantiles(batch, n=100)[98] for batch in batches)


def median(batches: Sequence[Sequence[float]]) -> float:
    return statistics.median(seconds for batch in batches for seconds in batch)


async def measure(supervisor: Supervisor, system: System, workshop: Workshop, folder: Path, finished: int) -> Claims:
    """Fill the one database, then claim from both by turns."""
    async with AsyncExitStack() as stack:
        began = time.perf_counter()
        old = await stack.enter_async_context(
            _side(supervisor, system, workshop, folder, name="old", finished=finished)
        )
        filled_s = time.perf_counter() - began
        young = await stack.enter_async_context(_side(supervisor, system, workshop, folder, name="young", finished=0))
        await _round(young, old)  # warms up
        for number in range(BATCHES):
            for side in (young, old):
                side.batches[number:] = [[]]
            for _ in range(ROUNDS):
                await _round(young, old)
        for number in range(STATEMENTS):
            for side in (young, old):
                side.statement_s.append(await side.statement(side.farm.printers[number % PRINTERS]))
        return Claims(young, old, filled_s, *(await _skewed(old)))


async def _round(young: Side, old: Side) -> None:
    for number, (first, second) in enumerate(zip(young.farm.printers, old.farm.printers, strict=True)):
        turns = [(young, first), (old, second)]
        for side, printer in turns if number % 2 else reversed(turns):
            await side.claim(printer)
    await young.finish()
    await old.finish()


async def _skewed(side: Side) -> tuple[list[float], list[float], list[float]]:
    """Three cases one after the other: the best job was given back 10,000 times, 990 of its 1,000 copies are printed,
    and everything waits for another printer."""
    printer, another = side.farm.printers[:2]
    await history.give_back(side.owner, side.farm, 10_000, printer=another)
    released = [await side.statement(printer) for _ in range(STATEMENTS)]
    await history.queue_jobs(side.owner, side.farm, 1, copies=1000, priority=90)
    await side.owner.execute(_PRINTED_OFTEN, another, side.farm.bridge)
    printed = [await side.statement(printer) for _ in range(STATEMENTS)]
    await side.owner.execute(_FOR_ANOTHER_PRINTER, another)
    await side.owner.execute("VACUUM queue.job")
    return released, printed, [await side.statement(printer, finds=False) for _ in range(STATEMENTS)]


@asynccontextmanager
async def _side(
    supervisor: Supervisor, system: System, workshop: Workshop, folder: Path, *, name: str, finished: int
) -> AsyncIterator[Side]:
    """A database with so many finished jobs on the system's PostgreSQL, and a queue service on it."""
    server = f"127.0.0.1:{system.ports.postgres}"
    owner_url = f"postgresql://fluxprint:{system.secrets.postgres_password}@{server}"
    maintenance = await asyncpg.connect(f"{owner_url}/fluxprint")
    await maintenance.execute(f"CREATE DATABASE {name}")
    await maintenance.close()
    migrate = [sys.executable, "-P", "-m", "alembic", "-c", str(ROOT / "alembic.ini"), "upgrade", "head"]
    migrated_url = f"{owner_url}/{name}".replace("postgresql:", "postgresql+asyncpg:")
    await supervisor.run(f"migrate-{name}", migrate, {"MIGRATE_DATABASE_URL": migrated_url}, timeout_s=60)
    database_url = f"postgresql+asyncpg://fluxprint_queue:{system.secrets.migrate_queue_password}@{server}/{name}"
    port = free_port()
    printer = await workshop.send("GET", f"/printers/{workshop.printer}")
    token = await workshop.send("POST", "/auth/bridge-token", json={"bridge_token": workshop.bridge_token})
    farm = Farm(
        organisation=_uuid(workshop.organisation),
        user=new_id(),
        bridge=_uuid(printer["bridge_id"]),
        file=new_id(),
        printers=[new_id() for _ in range(PRINTERS)],
    )
    owner = await asyncpg.connect(f"{owner_url}/{name}")
    database = Database(database_url, application="bench", pool_size=1)
    try:
        await history.open_farm(owner, farm)
        if finished:
            await history.finish_jobs(owner, farm, finished)
        await history.queue_jobs(owner, farm, WAITING)
        await owner.execute("VACUUM ANALYZE")
        await owner.execute("CHECKPOINT")
        # Only now: it would take all that for news.
        await supervisor.start(_queue(system, folder, name=name, port=port, database_url=database_url))
        async with Wire(port, {"Authorization": f"Bearer {token['access_token']}"}) as wire:
            yield Side(farm, owner, database, wire)
    finally:
        await database.close()
        await owner.close()
        await supervisor.end(f"queue-{name}")


def _queue(system: System, folder: Path, *, name: str, port: int, database_url: str) -> Process:
    auth = f"http://127.0.0.1:{system.ports.auth}"
    return Process(
        name=f"queue-{name}",
        command=[sys.executable, "-P", "-m", "fluxprint_queue"],
        environment={
            "FLUXPRINT_ENVIRONMENT": "development",
            "FLUXPRINT_JWKS_URL": f"{auth}/api/v1/auth/jwks",
            "QUEUE_AUTH_URL": auth,
            "QUEUE_PORT": str(port),
            "QUEUE_DATABASE_URL": database_url,
            "QUEUE_STORAGE_DIR": str(folder / f"files-{name}"),
        },
        is_ready=lambda: is_healthy(port),
    )


def _uuid(shown: str) -> UUID:
    return UUID(shown.rpartition("_")[2])


def show(claims: Claims) -> None:
    """Print the figures."""
    young, old = claims.young, claims.old
    plain = statistics.median(old.statement_s)
    print(f"""
A claim with {WAITING} jobs waiting                        none finished     finished   ratio     aim""")
    for what, without, behind, aim in (
        ("over HTTP, median", median(young.batches), median(old.batches), ""),
        ("over HTTP, p99", p99(young.batches), p99(old.batches), "<= 1.5"),
        ("its statement alone, median", statistics.median(young.statement_s), plain, ""),
    ):
        print(f"  {what:<41}{without * 1000:11.2f} ms{behind * 1000:10.2f} ms{behind / without:8.2f}  {aim:>6}")
    for what, seconds in (
        ("where the best job was given back 10,000 times", claims.released_often),
        ("where 990 of its 1,000 copies are printed", claims.printed_often),
        ("where all wait for another printer", claims.for_another_printer),
    ):
        print(f"  {'statement, ' + what:<67}{statistics.median(seconds) / plain:8.2f}")
    print(f"  (filled in {claims.filled_s:.0f} s)")

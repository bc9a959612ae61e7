"""How many `GET /jobs/{id}` a core answers, against a bare FastAPI route that answers the same."""

import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import psutil

from fluxprint_local.ports import free_port
from fluxprint_local.process import Process, http_status
from fluxprint_local.supervisor import Supervisor
from fluxprint_local.traefik import Traefik
from tools.bench.load import get, load
from tools.bench.system import System, Workshop

ROUNDS = 9
REQUESTS = 600
CONNECTIONS = 12


@dataclass
class Target:
    """Something that answers, and the processes whose CPU time that takes."""

    port: int
    path: str
    servers: Sequence[psutil.Process]
    rates: list[list[float]] = field(default_factory=list)

    async def round(self, authorization: str) -> None:
        """Note the requests per second of CPU time, for each server."""
        before = [cpu_s(server) for server in self.servers]
        await load(self.port, self.path, authorization=authorization, connections=CONNECTIONS, requests=REQUESTS)
        used = [cpu_s(server) - then for server, then in zip(self.servers, before, strict=True)]
        self.rates.append([REQUESTS / seconds for seconds in used])

    def rate(self, server: int = 0) -> float:
        """The median of all rounds but the first, which warms up."""
        return statistics.median(rates[server] for rates in self.rates[1:])


@dataclass(frozen=True)
class Answering:
    """Requests per second of one core of the serving process, and of Traefik itself.

    Behind Traefik a server is never saturated here, so that it wakes up for single requests: both sides are.
    """

    bare: float
    bare_through_traefik: float
    direct: float
    through_traefik: float
    traefik_itself: float


async def measure(supervisor: Supervisor, system: System, workshop: Workshop, gcode: bytes) -> Answering:
    """Interleaved rounds against the bare route and the queue service, each with and without Traefik before it."""
    job = await workshop.queue(await workshop.upload(gcode))
    bare_port = free_port()
    await supervisor.start(_bare(system, bare_port))
    bare_process = next(child for child in psutil.Process().children() if "tools.bench.bare:app" in child.cmdline())
    before_bare = await _traefik_before(supervisor, system, bare_port)
    queue, traefik = system.process("queue"), system.process("traefik")
    bare_path, path = f"/api/v1/jobs/{workshop.organisation}/{job}", f"/api/v1/jobs/{job}"
    bare = Target(bare_port, bare_path, [bare_process])
    bare_proxied = Target(before_bare, bare_path, [bare_process])
    direct = Target(system.ports.queue, path, [queue])
    proxied = Target(system.port, path, [queue, traefik])
    authorization = f"Bearer {workshop.access_token}"
    targets = (bare, bare_proxied, direct, proxied)
    answers = [json.loads(await get(t.port, t.path, authorization=authorization)) for t in targets]
    assert all(answer == answers[0] for answer in answers), answers
    for _ in range(ROUNDS + 1):
        for target in targets:
            await target.round(authorization)
    await workshop.cancel(job)
    await supervisor.end("traefik")
    await supervisor.end("bare")
    return Answering(bare.rate(), bare_proxied.rate(), direct.rate(), proxied.rate(), proxied.rate(1))


async def _traefik_before(supervisor: Supervisor, system: System, bare_port: int) -> int:
    """The port of a second Traefik, of the same routes and settings, with the bare route for the queue service."""
    services = {name: f"http://127.0.0.1:{getattr(system.ports, name)}" for name in ("auth", "queue", "camera")}
    port = free_port()
    traefik = Traefik(
        host="127.0.0.1",
        port=port,
        internal_port=free_port(),
        services={**services, "queue": f"http://127.0.0.1:{bare_port}"},
    )
    await supervisor.start(traefik.process())
    return port


def _bare(system: System, port: int) -> Process:
    """Served as the services are: one process, uvloop, httptools."""
    password = system.secrets.migrate_queue_password
    database = f"postgresql://fluxprint_queue:{password}@127.0.0.1:{system.ports.postgres}/fluxprint"
    uvicorn = ["--http", "httptools", "--loop", "uvloop", "--no-access-log", "--log-level", "warning"]

    async def is_ready() -> bool:
        return await http_status("127.0.0.1", port, "/") == 404

    return Process(
        name="bare",
        command=[sys.executable, "-m", "uvicorn", "tools.bench.bare:app", "--port", str(port), *uvicorn],
        environment={"BENCH_DATABASE_URL": database},
        is_ready=is_ready,
    )


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system

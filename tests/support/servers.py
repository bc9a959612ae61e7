"""Real servers for the tests: a PostgreSQL, migrated databases in it, and a Redis-protocol server.

The fixtures in `tests/conftest.py` start one of each per test process. A test that stops or
pauses a server starts its own with the functions here.
"""

import asyncio
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import asyncpg

from fluxprint_local.bootstrap import ROOT
from fluxprint_local.ports import free_port
from fluxprint_local.postgres import Cluster
from fluxprint_local.process import Process
from fluxprint_local.redis import Redis

Service = Literal["auth", "queue", "camera"]

ROLE_PASSWORDS: dict[Service, str] = {
    "auth": "auth-role-of-the-test-databases-4b1f",
    "queue": "queue-role-of-the-test-databases-9c2e",
    "camera": "camera-role-of-the-test-databases-7d3a",
}
# A test database is worth nothing after a power cut.
_FAST = (("fsync", "off"), ("full_page_writes", "off"), ("synchronous_commit", "off"))


@dataclass(frozen=True)
class Database:
    """One migrated database of a test cluster."""

    cluster: Cluster
    name: str

    @property
    def url(self) -> str:
        """As the owner, for SQLAlchemy with asyncpg."""
        return self.cluster.url(self.name)

    def as_owner(self) -> asyncpg.Pool:
        """Connections as the owner, made when they are needed, for `async with`."""
        return asyncpg.create_pool(self.url.replace("+asyncpg", ""), min_size=0, statement_cache_size=0)

    def url_for(self, service: Service) -> str:
        """As the role of one service, which sees its own schema only."""
        return f"postgresql+asyncpg://fluxprint_{service}:{ROLE_PASSWORDS[service]}@127.0.0.1:{self.cluster.port}/{self.name}"


@asynccontextmanager
async def started(process: Process, log: Path, *, timeout_s: float = 30) -> AsyncIterator[subprocess.Popen[bytes]]:
    """Run `process` until the block ends, from when it is ready. It dies with this Python at the latest."""
    with log.open("ab") as output:
        running = subprocess.Popen(
            process.full_command(),
            env=process.full_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        async with asyncio.timeout(timeout_s):
            while not await process.is_ready():
                assert running.poll() is None, f"{process.name} ended: {log.read_text()[-2000:]}"
                await asyncio.sleep(0.02)
        yield running
    finally:
        running.send_signal(process.stop_signal)
        try:
            await asyncio.to_thread(running.wait, process.stop_timeout_s)
        except subprocess.TimeoutExpired:  # a test left it paused
            running.kill()
            running.wait()


@asynccontextmanager
async def running_postgres(folder: Path) -> AsyncIterator[Cluster]:
    """A new, empty PostgreSQL in `folder`."""
    cluster = Cluster(data=folder / "data", port=free_port(), password=secrets.token_hex(16), settings=_FAST)
    await asyncio.to_thread(cluster.initialise)
    async with started(cluster.process(), folder / "postgres.log"):
        yield cluster


@asynccontextmanager
async def running_redis(folder: Path) -> AsyncIterator[Redis]:
    """A new, empty Redis-protocol server in `folder`."""
    redis = Redis(folder=folder, port=free_port(), password=secrets.token_hex(16))
    async with started(redis.process(), folder / "redis.log"):
        yield redis


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    """One connection to a database past our services; `url` is as SQLAlchemy takes it."""
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        yield connection
    finally:
        await connection.close()


async def execute(url: str, statement: str, *arguments: object) -> None:
    """One statement outside a transaction, as `url` says."""
    async with connected(url) as connection:
        await connection.execute(statement, *arguments)


async def migrate(url: str, target: str = "head", *, direction: Literal["upgrade", "downgrade"] = "upgrade") -> None:
    """Run Alembic on the database at `url`, as the deployments do."""
    environment = {
        **os.environ,
        "MIGRATE_DATABASE_URL": url,
        **{f"MIGRATE_{service.upper()}_PASSWORD": password for service, password in ROLE_PASSWORDS.items()},
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "alembic", direction, target,
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-4000:]

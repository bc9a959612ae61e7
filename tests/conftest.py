"""The real servers that tests share, started when the first test asks and once per test process."""

import zlib
from collections.abc import AsyncIterator
from functools import cache

import httpx
import pytest
import structlog
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from fluxprint_local.postgres import Cluster
from support import databases, servers

# Plain lines: structlog's own default draws the locals of every frame, which takes seconds per error.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.KeyValueRenderer(key_order=["level", "event"]),
    ]
)

# Hundreds of clients are made, nearly all for loopback without TLS, and each would read the authorities anew.
httpx._transports.default.create_ssl_context = cache(httpx.create_ssl_context)  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
async def postgres_cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """A PostgreSQL server without databases of ours."""
    async with servers.running_postgres(tmp_path_factory.mktemp("postgres")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def postgres(postgres_cluster: Cluster) -> str:
    """The owner's URL of an empty, unmigrated database."""
    return postgres_cluster.url()


@pytest.fixture(scope="session")
async def migrated_cluster(postgres_cluster: Cluster) -> Cluster:
    """The same server, ready for `databases.new_database(cluster)`."""
    await databases.make_template(postgres_cluster)
    return postgres_cluster


@pytest.fixture
async def database(migrated_cluster: Cluster) -> AsyncIterator[servers.Database]:
    """A migrated database for one test, in which nothing is."""
    async with databases.new_database(migrated_cluster) as database:
        yield database


@pytest.fixture(scope="session")
async def redis_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A Redis-protocol server, shared by all tests of the process: use keys and channels of your own."""
    async with servers.running_redis(tmp_path_factory.mktemp("redis")) as redis:
        yield redis.url()


class _FewProcesses(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """A file is one process's, and so is what shares what takes long to start: OctoPrint, cameras, a provider."""

    _SHARING = {
        "tests/integration/auth/attacks": 1,
        "tests/integration/auth/providers": 1,
        "tests/integration/bridge": 2,
        "tests/integration/camera": 1,
    }

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folder = file.rpartition("/")[0]
        processes = self._SHARING.get(folder)
        return f"{folder} {zlib.crc32(file.encode()) % processes}" if processes else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """The scheduler of `--numprocesses`."""
    return _FewProcesses(config, log)

"""A running queue service with its people, bridges and printers."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from fluxprint_local.postgres import Cluster
from support import databases
from support.queue import QueueWorld, auth_url, start_queue
from support.servers import Database
from support.tokens import Issuer, issuer

__all__ = ["auth_url", "issuer"]


@pytest.fixture(scope="session")
async def queue_url(
    migrated_cluster: Cluster, redis_url: str, issuer: Issuer, auth_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[str]:
    """One service for all tests that do not look behind it."""
    folder = tmp_path_factory.mktemp("queue")
    async with (
        databases.new_database(migrated_cluster) as database,
        start_queue(database, issuer, auth_url, folder, redis_url=redis_url) as url,
    ):
        yield url


@pytest.fixture
async def world(queue_url: str, issuer: Issuer, tmp_path: Path) -> AsyncIterator[QueueWorld]:
    """An organisation of one's own at the shared service."""
    async with httpx.AsyncClient(base_url=queue_url, timeout=20) as http:
        yield QueueWorld(http, issuer, tmp_path)


@pytest.fixture
async def own_world(
    database: Database, redis_url: str, issuer: Issuer, auth_url: str, tmp_path: Path
) -> AsyncIterator[QueueWorld]:
    """An organisation at a service with a database and a storage of its own, for tests that look there."""
    async with (
        start_queue(database, issuer, auth_url, tmp_path, redis_url=redis_url) as url,
        httpx.AsyncClient(base_url=url, timeout=20) as http,
    ):
        yield QueueWorld(http, issuer, tmp_path)

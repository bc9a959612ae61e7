"""A running queue service with its people, bridges and printers."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from fluxprint_local.postgres import Cluster
from support import servers
from support.queue import QueueWorld, start_queue
from support.servers import Database
from support.serving import serving
from support.tokens import Issuer, issuer

__all__ = ["issuer"]


@pytest.fixture(scope="session")
async def auth_url() -> AsyncIterator[str]:
    """What the queue asks auth: a bridge whose id the caller's organisation knows. Here: all but the id of zeros."""
    app = FastAPI()

    @app.get("/api/v1/bridges/{bridge_id}")
    async def get_bridge(bridge_id: str, request: Request) -> Response:
        assert request.headers["authorization"].startswith("Bearer ")
        return Response(status_code=404 if bridge_id == "bridge_" + "0" * 32 else 200)

    async with serving(app) as url:
        yield url


@pytest.fixture(scope="session")
async def queue_url(
    migrated_cluster: Cluster, redis_url: str, issuer: Issuer, auth_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[str]:
    """One service for all tests that do not look behind it."""
    folder = tmp_path_factory.mktemp("queue")
    async with (
        servers.new_database(migrated_cluster) as database,
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

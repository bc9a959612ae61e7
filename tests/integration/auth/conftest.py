"""The auth service, shared by tests that bring people of their own, or alone for tests that count."""

from collections.abc import AsyncIterator

import pytest

from fluxprint_local.postgres import Cluster
from support.auth import Auth, running_auth
from support.databases import new_database
from support.servers import Database


@pytest.fixture(scope="session")
async def auth(migrated_cluster: Cluster) -> AsyncIterator[Auth]:
    """The auth service; others are in its database."""
    async with new_database(migrated_cluster) as database, running_auth(database) as auth:
        yield auth


@pytest.fixture
async def lone_auth(database: Database) -> AsyncIterator[Auth]:
    """The auth service on a database where nobody is yet."""
    async with running_auth(database) as auth:
        yield auth

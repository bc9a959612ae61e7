"""All three services on one database and one Redis, two organisations, and one of everything in the first."""

from collections.abc import AsyncIterator

import pytest

from fluxprint_local.postgres import Cluster
from support.access import House, running_house
from support.databases import new_database


@pytest.fixture(scope="session")
async def house(
    migrated_cluster: Cluster, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[House]:
    async with (
        new_database(migrated_cluster) as database,
        running_house(database, redis_url, tmp_path_factory.mktemp("house")) as house,
    ):
        yield house

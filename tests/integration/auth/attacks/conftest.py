"""A provider whose answers are changed on their way, and a journey to it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fluxprint_local.postgres import Cluster
from support.auth import Auth, running_auth
from support.databases import new_database
from support.meddling import (
    Forger,
    Meddler,
    meddled,
)
from support.providers import Journey, OidcServer, running_provider, settings_for


@pytest.fixture(scope="session")
async def provider(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OidcServer]:
    async with running_provider(Path(tmp_path_factory.mktemp("provider"))) as provider:
        yield provider


@pytest.fixture(scope="session")
async def auth(migrated_cluster: Cluster, provider: OidcServer) -> AsyncIterator[Auth]:
    async with new_database(migrated_cluster) as database, running_auth(database, **settings_for(provider.url)) as auth:
        yield auth


@pytest.fixture
async def meddler(auth: Auth, provider: OidcServer) -> AsyncIterator[Meddler]:
    async with meddled(auth, provider.url) as meddler:
        yield meddler


@pytest.fixture
def forger(provider: OidcServer, meddler: Meddler) -> Forger:
    forger = Forger(provider.url)
    forger.publish(meddler)
    forger.replace(meddler)
    return forger


@pytest.fixture
def journey(auth: Auth) -> Journey:
    return Journey(auth)

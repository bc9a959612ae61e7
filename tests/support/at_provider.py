"""The auth service at which people sign in with a real provider.

Import the fixtures where they are used: `from support.at_provider import auth, journey, provider`.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from fluxprint_local.postgres import Cluster
from support.auth import Auth, Person, running_auth
from support.databases import new_database
from support.providers import Journey, OidcServer, running_provider, settings_for


@pytest.fixture(scope="session")
async def provider(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OidcServer]:
    async with running_provider(tmp_path_factory.mktemp("provider")) as provider:
        yield provider


@pytest.fixture(scope="session")
async def auth(migrated_cluster: Cluster, provider: OidcServer) -> AsyncIterator[Auth]:
    """The auth service that knows the provider; others are in its database."""
    async with new_database(migrated_cluster) as database, running_auth(database, **settings_for(provider.url)) as auth:
        yield auth


@pytest.fixture
def journey(auth: Auth) -> Journey:
    return Journey(auth)


async def me(auth: Auth, tokens: dict[str, Any]) -> dict[str, Any]:
    """Who has those tokens, and where."""
    answer = await auth.http.get("/auth/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def unverify_email(auth: Auth, person: Person) -> None:
    await auth.fetch("UPDATE auth.user SET email_verified_at = NULL WHERE email = $1", person.email)

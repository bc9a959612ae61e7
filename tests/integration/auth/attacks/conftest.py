"""A provider whose answers are changed on their way, and a journey to it."""

from collections.abc import AsyncIterator

import pytest

from support.at_provider import auth, journey, provider
from support.auth import Auth
from support.meddling import (
    Forger,
    Meddler,
    meddled,
)
from support.providers import OidcServer

__all__ = ["auth", "journey", "provider"]


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

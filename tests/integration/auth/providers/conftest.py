"""A real OpenID Connect provider, which these tests start, and somebody there."""

import pytest

from support.at_provider import auth, journey, provider
from support.providers import OidcServer, known

__all__ = ["auth", "journey", "provider"]


@pytest.fixture
async def grace(provider: OidcServer) -> str:
    """Somebody whom only the provider knows; her subject is her address, as the provider's own pages do it."""
    return await known(provider)

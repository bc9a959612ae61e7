"""What auth says of revocations over Redis, said by a test."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from uuid import UUID

import pytest

from fluxprint_common import doorbell
from fluxprint_common.doorbell import Publisher
from fluxprint_common.revocations import CHANNEL, Revocation, message
from support.queue import eventually


class Bell:
    """Rings as auth does after a commit."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def revoke(self, sid: UUID, before: datetime | None = None) -> None:
        async def heard() -> bool:
            self._publisher.publish(CHANNEL, message([Revocation(sid, before)]))
            return self._publisher.heard_by.get(CHANNEL, 0) > 0

        await eventually(heard)


@pytest.fixture
async def bell(redis_url: str) -> AsyncIterator[Bell]:
    async with doorbell.connect(redis_url) as redis:
        publisher = Publisher(redis)
        sending = asyncio.create_task(publisher.run())
        yield Bell(publisher)
        sending.cancel()

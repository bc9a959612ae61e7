"""What auth and the queue say over Redis, said by a test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

import pytest

from fluxprint_common import doorbell
from fluxprint_common.doorbell import Publisher
from fluxprint_common.events import WAKE_CHANNEL
from fluxprint_common.revocations import CHANNEL, Revocation, message
from support.queue import eventually


class Bell:
    """Rings as they do after a commit, until so many have heard it."""

    def __init__(self, publisher: Publisher, hearers: int) -> None:
        self._publisher = publisher
        self._hearers = hearers

    async def revoke(self, sid: UUID, before: datetime | None = None) -> None:
        """Auth: something that tokens stand on has ended."""
        await self._ring(CHANNEL, message([Revocation(sid, before)]))

    async def wake(self) -> None:
        """The queue: something has happened."""
        await self._ring(WAKE_CHANNEL, {})

    async def _ring(self, channel: str, said: dict[str, object]) -> None:
        async def heard() -> bool:
            self._publisher.publish(channel, said)
            return self._publisher.heard_by.get(channel, 0) >= self._hearers

        await eventually(heard)


@asynccontextmanager
async def bell_of(redis_url: str, *, hearers: int = 1) -> AsyncIterator[Bell]:
    """A bell at one Redis."""
    async with doorbell.connect(redis_url) as redis:
        publisher = Publisher(redis)
        sending = asyncio.create_task(publisher.run())
        yield Bell(publisher, hearers)
        sending.cancel()


@pytest.fixture
async def bell(redis_url: str) -> AsyncIterator[Bell]:
    """A bell at the Redis that tests share."""
    async with bell_of(redis_url) as bell:
        yield bell

"""Redis pub/sub as a doorbell: it may be lost, late or doubled, and nothing depends on it but speed.

Publishing never waits for Redis: messages pass through a bounded buffer and the oldest are dropped. Subscribing
reconnects for ever; whoever listens is told after each connect, because rings may have been missed meanwhile.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.connection import AbstractConnection, Connection, ConnectionPool, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from fluxprint_common.logs import get_logger
from fluxprint_common.messages import Message, parse

log = get_logger(__name__)

Handler = Callable[[str, Message], Awaitable[None]]
OnConnect = Callable[[], Awaitable[None]]

CONNECT_TIMEOUT_S = 1.0
COMMAND_TIMEOUT_S = 1.0
HEALTH_CHECK_S = 10
#: What a call may raise while Redis is away.
REDIS_ERRORS = (RedisError, OSError, TimeoutError)
BUFFER = 1000
CHANNELS_KEPT = 10_000


def connect(url: str) -> Redis:
    """A client with short time-outs: Redis is never worth waiting for."""
    # A pooled connection that died with the last Redis is noticed at its next use, and a machine that stood still for a
    # moment has not lost Redis: try once more on a new one. What is rung twice does no harm.
    pool = ConnectionPool.from_url(
        url,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=COMMAND_TIMEOUT_S,
        health_check_interval=HEALTH_CHECK_S,
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError, RedisTimeoutError)),
        decode_responses=False,
    )
    pool.connection_class = _NOTICING.get(pool.connection_class, pool.connection_class)
    return Redis.from_pool(pool)


class _Noticing(AbstractConnection):
    """Says of a connection that was just lost what redis-py understands; uvloop has a bare `RuntimeError` for that."""

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:  # as its base has it
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError as error:
            if "handler is closed" not in str(error):
                raise
            raise RedisConnectionError("the connection was lost") from error


class _Plain(_Noticing, Connection):
    pass


class _Encrypted(_Noticing, SSLConnection):
    pass


_NOTICING: Mapping[type[AbstractConnection], type[AbstractConnection]] = {
    Connection: _Plain,
    SSLConnection: _Encrypted,
}


class Publisher:
    """Rings doorbells; run `run()` under a supervisor."""

    def __init__(self, redis: Redis | None) -> None:
        self._redis = redis
        self._waiting: deque[tuple[str, bytes]] = deque(maxlen=BUFFER)
        self._wake = asyncio.Event()
        self.dropped = 0
        #: How many heard the last message on a channel, by channel: what only its sender hears need not be sent.
        self.heard_by: dict[str, int] = {}

    def publish(self, channel: str, message: Message) -> None:
        """Hand over a message and return at once. Without Redis it is gone: pollers find what it announced."""
        if self._redis is None:
            return
        if len(self._waiting) == BUFFER:
            self.dropped += 1
        self._waiting.append((channel, json.dumps(message, separators=(",", ":")).encode()))
        self._wake.set()

    async def run(self) -> None:
        """Send what waits, for ever; what can't be sent now is dropped, not kept."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self.flush()

    async def flush(self) -> None:
        """Send what waits now, for a process that ends."""
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), 100))]
            await self._send(batch)

    async def _send(self, batch: Sequence[tuple[str, bytes]]) -> None:
        if self._redis is None:
            return
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for channel, data in batch:
                    pipe.publish(channel, data)
                heard_by = await pipe.execute()
            if len(self.heard_by) > CHANNELS_KEPT:
                self.heard_by.clear()
            self.heard_by |= {channel: count for (channel, _data), count in zip(batch, heard_by, strict=True)}
        except REDIS_ERRORS as error:
            self.dropped += len(batch)
            log.warning("doorbell_lost", messages=len(batch), error=repr(error))


async def listen(
    redis: Redis, patterns: Sequence[str], handle: Handler, *, on_connect: OnConnect | None = None
) -> None:
    """Hear every message on `patterns`; raises when Redis goes away or silent, so that a supervisor starts it again.

    Messages that are too large or no JSON object are dropped with a warning.
    """
    async with redis.pubsub() as pubsub, _without_retry(pubsub, patterns):
        if on_connect is not None:
            await on_connect()
        asked = False
        while True:
            raw = await pubsub.get_message(timeout=HEALTH_CHECK_S)
            if raw is None:  # nothing for a while is normal, no answer to a ping is a dead connection
                if asked:
                    raise RedisConnectionError("Redis does not answer")
                await pubsub.ping()
                asked = True
                continue
            asked = False
            if raw["type"] != "pmessage":
                continue
            message = parse(raw["data"])
            if message is None:
                log.warning("message_refused", channel=_text(raw["channel"]), size_bytes=len(raw["data"]))
                continue
            await handle(_text(raw["channel"]), message)


@asynccontextmanager
async def _without_retry(pubsub: PubSub, patterns: Sequence[str]) -> AsyncIterator[None]:
    """Subscribed, on a connection that is not made anew in silence: what was rung meanwhile would not be asked for."""
    await pubsub.psubscribe(*patterns)
    connection: Any = pubsub.connection  # whose type redis-py does not say
    retry, connection.retry = connection.retry, Retry(NoBackoff(), 0)
    try:
        yield
    finally:
        connection.retry = retry  # it goes back to the pool


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value

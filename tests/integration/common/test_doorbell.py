"""Doorbells over a real Redis: heard at once, lost without harm, and never waited for."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import uvloop
from redis.asyncio import Redis
from redis.exceptions import RedisError

from fluxprint_common import doorbell
from fluxprint_common.background import Supervisor
from fluxprint_common.doorbell import BUFFER, Publisher
from fluxprint_common.messages import MAX_MESSAGE_BYTES, Message
from support.switch import Switch, switched_redis


class Ear:
    """Hears a channel; what it heard is a queue."""

    def __init__(self, redis: Redis, *patterns: str) -> None:
        self._redis = redis
        self._patterns = patterns
        self.heard: asyncio.Queue[tuple[str, Message]] = asyncio.Queue()
        self.connected: asyncio.Queue[None] = asyncio.Queue()

    async def run(self) -> None:
        await doorbell.listen(self._redis, self._patterns, self._handle, on_connect=self._connect)

    async def _handle(self, channel: str, message: Message) -> None:
        self.heard.put_nowait((channel, message))

    async def _connect(self) -> None:
        self.connected.put_nowait(None)

    async def next(self) -> tuple[str, Message]:
        async with asyncio.timeout(10):
            return await self.heard.get()


class House:
    """A publisher and an ear under a supervisor, on one Redis."""

    def __init__(self, redis: Redis, channel: str) -> None:
        self.channel = channel
        self.loops = Supervisor()
        self.publisher = Publisher(redis)
        self.ear = Ear(redis, f"{channel}*")
        self.loops.start("doorbells", self.publisher.run)
        self.loops.start("ear", self.ear.run, critical=False)

    async def ready(self) -> None:
        async with asyncio.timeout(20):
            await self.ear.connected.get()


@asynccontextmanager
async def house(url: str) -> AsyncIterator[House]:
    async with doorbell.connect(url) as redis:
        built = House(redis, f"test:{uuid4().hex}:")
        try:
            await built.ready()
            yield built
        finally:
            await built.loops.stop()


@pytest.fixture
async def own_redis(tmp_path: Path) -> AsyncIterator[Switch]:
    async with switched_redis(tmp_path) as switch:
        yield switch


class TestRinging:
    async def test_is_heard_in_order_with_its_channel(self, redis_url: str) -> None:
        async with house(redis_url) as at:
            for n in range(250):
                at.publisher.publish(f"{at.channel}{n % 3}", {"n": n, "text": "Kaffee ☕"})
            for n in range(250):
                assert await at.ear.next() == (f"{at.channel}{n % 3}", {"n": n, "text": "Kaffee ☕"})

    async def test_without_redis_goes_nowhere(self) -> None:
        publisher = Publisher(None)
        publisher.publish("anywhere", {})
        assert publisher.dropped == 0

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"{",
            b"[]",
            b'"text"',
            b"null",
            b"5",
            b"\xff\xfe",
            b"[" * 50_000,
            b'{"a": "' + b"x" * MAX_MESSAGE_BYTES + b'"}',
        ],
    )
    async def test_nonsense_is_passed_over(self, redis_url: str, data: bytes) -> None:
        async with house(redis_url) as at, Redis.from_url(redis_url) as stranger:
            await stranger.publish(at.channel, data)
            at.publisher.publish(at.channel, {"after": "nonsense"})
            assert (await at.ear.next())[1] == {"after": "nonsense"}

    async def test_a_handler_that_fails_ends_the_loop_for_its_supervisor(self, redis_url: str) -> None:
        async def fail(_channel: str, _message: Message) -> None:
            raise RuntimeError("boom")

        channel = f"test:{uuid4().hex}"
        async with doorbell.connect(redis_url) as redis:
            heard = asyncio.Event()

            async def connected() -> None:
                heard.set()

            task = asyncio.create_task(doorbell.listen(redis, [channel], fail, on_connect=connected))
            await heard.wait()
            await redis.publish(channel, "{}")
            with pytest.raises(RuntimeError, match="boom"):
                await task


class TestRedisAway:
    async def test_restarted_is_heard_again_and_the_listener_told(self, own_redis: Switch) -> None:
        async with house(own_redis.url) as at:
            at.publisher.publish(at.channel, {"n": 1})
            assert (await at.ear.next())[1] == {"n": 1}
            await own_redis.off()
            at.publisher.publish(at.channel, {"n": "lost"})
            await own_redis.on()
            await at.ready()  # the listener is told: it may have missed something
            at.publisher.publish(at.channel, {"n": 2})
            assert (await at.ear.next())[1] == {"n": 2}
            assert at.publisher.dropped == 1
            assert at.loops.unhealthy() == []

    async def test_from_the_start_is_found_later(self, own_redis: Switch) -> None:
        await own_redis.off()
        async with doorbell.connect(own_redis.url) as redis:
            at = House(redis, f"test:{uuid4().hex}:")
            try:
                at.publisher.publish(at.channel, {"n": "lost"})
                await own_redis.on()
                await at.ready()
                at.publisher.publish(at.channel, {"n": 1})
                assert (await at.ear.next())[1] in ({"n": 1}, {"n": "lost"})
            finally:
                await at.loops.stop()

    async def test_paused_delays_no_caller_and_keeps_a_bounded_number(self, own_redis: Switch) -> None:
        async with house(own_redis.url) as at:
            with own_redis.paused():
                started = time.monotonic()
                for n in range(BUFFER * 5):
                    at.publisher.publish(at.channel, {"n": n})
                assert time.monotonic() - started < 1  # a thousandth of what waiting for each would take
                assert at.publisher.dropped == BUFFER * 4
            heard = [(await at.ear.next())[1]["n"]]
            while heard[-1] != BUFFER * 5 - 1:
                heard.append((await at.ear.next())[1]["n"])
            assert heard == sorted(heard, key=lambda n: int(str(n)))
            assert len(heard) <= BUFFER

    async def test_silent_is_noticed(self, own_redis: Switch, monkeypatch: pytest.MonkeyPatch) -> None:
        """A connection that is open and dead, as behind a broken link: nothing but a missing answer tells."""
        monkeypatch.setattr(doorbell, "HEALTH_CHECK_S", 1)
        async with doorbell.connect(own_redis.url) as redis:
            ear = Ear(redis, "test:*")
            task = asyncio.create_task(ear.run())
            await ear.connected.get()
            with own_redis.paused(), pytest.raises((RedisError, OSError)):
                await asyncio.wait_for(task, 10)

    async def test_quiet_is_not_silent(self, own_redis: Switch, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(doorbell, "HEALTH_CHECK_S", 0.05)
        async with doorbell.connect(own_redis.url) as redis:
            ear = Ear(redis, "test:*", "other:*", "third:*")
            task = asyncio.create_task(ear.run())
            await ear.connected.get()
            done, _ = await asyncio.wait([task], timeout=1)
            assert not done
            await redis.publish("third:1", '{"n": 1}')
            assert (await ear.next())[1] == {"n": 1}
            task.cancel()


class TestLostConnections:
    """A connection that the other side, or the kernel, has just ended: nobody has read from it yet."""

    @pytest.mark.parametrize("loop", [asyncio.SelectorEventLoop, uvloop.new_event_loop])
    async def test_are_made_anew(self, redis_url: str, loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        def run() -> None:
            with asyncio.Runner(loop_factory=loop) as runner:
                runner.run(self.use_lost_connections(redis_url))

        await asyncio.to_thread(run)

    async def use_lost_connections(self, url: str) -> None:
        channel = f"test:{uuid4().hex}"
        async with doorbell.connect(url) as redis, redis.pubsub(ignore_subscribe_messages=True) as pubsub:
            await pubsub.subscribe(channel)
            self.end(pubsub.connection)
            await pubsub.subscribe(f"{channel}:more")
            publisher = Publisher(redis)
            for n in range(2):
                publisher.publish(channel, {"n": n})
                await publisher.flush()
                for connection in redis.connection_pool._available_connections:
                    self.end(connection)
            assert publisher.dropped == 0
            assert [json.loads(await self.next(pubsub)) for _ in range(2)] == [{"n": 0}, {"n": 1}]

    async def next(self, pubsub: Any) -> bytes:
        async with asyncio.timeout(10):
            while (message := await pubsub.get_message(timeout=1)) is None:
                pass
        data: bytes = message["data"]
        return data

    def end(self, connection: Any) -> None:
        connection._writer.transport.abort()

    async def test_are_noticed_by_who_listens(self, redis_url: str) -> None:
        """What was rung before the new connection is not heard on it: whoever listens has to ask."""
        async with doorbell.connect(redis_url) as other:
            others = [client["id"] for client in await other.client_list(_type="pubsub")]
            async with house(redis_url) as at:
                clients = await other.client_list(_type="pubsub")
                own = [client["id"] for client in clients if client["id"] not in others]  # other tests' services listen
                assert [await other.client_kill_filter(_id=client_id) for client_id in own] == [1]
                await at.ready()
                at.publisher.publish(at.channel, {"n": 1})
                assert (await at.ear.next())[1] == {"n": 1}

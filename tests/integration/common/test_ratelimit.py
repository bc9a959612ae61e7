"""Rate limits: counted in a real Redis, in this process without it, and never on the event loop."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import pytest
from fastapi import APIRouter
from redis.asyncio import Redis

from fluxprint_common import ratelimit
from fluxprint_common.metrics import Metrics
from fluxprint_common.principal import Principal, require
from fluxprint_common.problems import RateLimited
from fluxprint_common.ratelimit import RateLimiter, limit_by_address, limit_by_subject
from support.serving import serving
from support.small_service import Issuer, running, settings_of, small_service
from support.switch import Switch, switched_redis

router = APIRouter(tags=["small"])


@router.get("/greeting", dependencies=[limit_by_address("greetings", "limit_greetings")])
async def greet() -> str:
    return "hello"


@router.get("/mine", dependencies=[limit_by_subject("mine", "limit_greetings")])
async def mine(principal: Annotated[Principal, require()]) -> str:
    return str(principal.subject)


@router.get("/unrelated")
async def unrelated() -> str:
    return "quick"


@pytest.fixture
async def own_redis(tmp_path: Path) -> AsyncIterator[Switch]:
    async with switched_redis(tmp_path) as switch:
        yield switch


async def longest_gap(done: asyncio.Event) -> float:
    """The longest time in seconds for which the event loop did nothing else."""
    clock, longest = asyncio.get_running_loop().time, 0.0
    last = clock()
    while not done.is_set():
        await asyncio.sleep(0.01)
        longest, last = max(longest, clock() - last), clock()
    return longest


async def refused(limiter: RateLimiter, limit: str, key: str) -> bool:
    try:
        await limiter.hit(limit, "test", key)
    except RateLimited:
        return True
    return False


class TestCounting:
    async def test_is_shared_between_processes(self, redis_url: str) -> None:
        first, second = (RateLimiter(redis_url=redis_url, metrics=Metrics()) for _ in range(2))
        key = uuid4().hex
        assert [await refused(limiter, "3/minute", key) for limiter in (first, second, first, second, first)] == [
            False, False, False, True, True,
        ]  # fmt: skip

    async def test_of_many_at_once_lets_none_slip_through(self, redis_url: str) -> None:
        limiter, key = RateLimiter(redis_url=redis_url, metrics=Metrics()), uuid4().hex
        answers = await asyncio.gather(*(refused(limiter, "10/minute", key) for _ in range(40)))
        assert answers.count(False) == 10

    async def test_keeps_people_and_scopes_apart(self, redis_url: str) -> None:
        limiter, key = RateLimiter(redis_url=redis_url, metrics=Metrics()), uuid4().hex
        assert not await refused(limiter, "1/minute", key)
        assert await refused(limiter, "1/minute", key)
        assert not await refused(limiter, "1/minute", key + "x")
        await limiter.hit("1/minute", "other", key)

    async def test_leaves_keys_under_its_own_name_that_end(self, own_redis: Switch) -> None:
        await RateLimiter(redis_url=own_redis.url, metrics=Metrics()).hit("5/minute", "test", "me")
        async with Redis.from_url(own_redis.url, decode_responses=True) as redis:
            keys = [key async for key in redis.scan_iter()]
            assert keys
            assert all(key.startswith("fluxprint:limit") for key in keys)
            assert all([0 < await redis.ttl(key) <= 60 for key in keys])

    async def test_can_be_switched_off(self, redis_url: str) -> None:
        limiter = RateLimiter(redis_url=redis_url, metrics=Metrics(), enabled=False)
        assert not any([await refused(limiter, "1/day", "me") for _ in range(5)])


class TestAnswer:
    async def test_says_when_to_come_again(self) -> None:
        async with running(small_service(router)) as client:
            answers = [await client.get("/api/v1/greeting") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        last = answers[-1]
        assert last.json()["code"] == "rate_limited"
        assert 1 <= int(last.headers["retry-after"]) <= 61
        assert last.headers["ratelimit-policy"] == '"greetings";q=2;w=60'
        assert last.headers["ratelimit"] == f'"greetings";r=0;t={last.headers["retry-after"]}'

    async def test_counts_a_person_and_not_an_address(self) -> None:
        issuer = Issuer()
        async with (
            serving(issuer.app) as url,
            running(small_service(router, settings_of(jwks_url=f"{url}/jwks"))) as client,
        ):
            for _ in range(2):
                headers = {"Authorization": f"Bearer {issuer.token()}"}
                codes = [(await client.get("/api/v1/mine", headers=headers)).status_code for _ in range(3)]
                assert codes == [200, 200, 429]


class TestRedisAway:
    async def test_paused_holds_up_nobody_else(self, own_redis: Switch, monkeypatch: pytest.MonkeyPatch) -> None:
        """The storage call blocks for two seconds; on the event loop it would hold up every request of the process."""
        monkeypatch.setattr(ratelimit, "REDIS_TIMEOUT_S", 2.0)
        async with running(small_service(router, settings_of(redis_url=own_redis.url))) as client:
            assert (await client.get("/api/v1/greeting")).status_code == 200
            with own_redis.paused():
                done = asyncio.Event()
                gap = asyncio.create_task(longest_gap(done))
                limited = asyncio.create_task(client.get("/api/v1/greeting"))
                answered = 0
                while not limited.done():
                    assert (await client.get("/api/v1/unrelated")).status_code == 200
                    answered += 1
                    await asyncio.sleep(0.01)
                done.set()
                assert (await limited).status_code == 200
                assert await gap < 1.0
                assert answered > 10

    async def test_paused_counts_in_this_process_and_returns(
        self, own_redis: Switch, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ratelimit, "RETRY_REDIS_AFTER_S", 1.0)
        metrics = Metrics()
        limiter = RateLimiter(redis_url=own_redis.url, metrics=metrics)
        with own_redis.paused():
            assert [await refused(limiter, "2/day", "me") for _ in range(4)] == [False, False, True, True]
            assert (metrics.registry.get_sample_value("rate_limit_storage_failures_total") or 0) >= 1
        async with Redis.from_url(own_redis.url) as redis, asyncio.timeout(10):
            while not await redis.keys("*"):
                await refused(limiter, "100000/day", "someone")

    async def test_stopped_and_started_counts_on(self, own_redis: Switch, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ratelimit, "RETRY_REDIS_AFTER_S", 0.0)
        limiter = RateLimiter(redis_url=own_redis.url, metrics=Metrics())
        assert not await refused(limiter, "2/day", "me")
        await own_redis.off()
        assert [await refused(limiter, "2/day", "me") for _ in range(3)] == [False, False, True]
        await own_redis.on()
        assert not await refused(limiter, "2/day", "me")
        async with Redis.from_url(own_redis.url) as redis:
            assert await redis.keys("*")

    async def test_from_the_start_does_not_keep_the_service_from_starting(self, own_redis: Switch) -> None:
        await own_redis.off()
        async with running(small_service(router, settings_of(redis_url=own_redis.url))) as client:
            codes = [(await client.get("/api/v1/greeting")).status_code for _ in range(3)]
        assert codes == [200, 200, 429]


async def test_no_figure_of_a_client_grows_without_end(redis_url: str) -> None:
    """A refusal is counted by its scope, never by who was refused."""
    metrics = Metrics()
    limiter = RateLimiter(redis_url=redis_url, metrics=metrics)
    for _ in range(20):
        key = uuid4().hex
        await refused(limiter, "1/day", key)
        assert await refused(limiter, "1/day", key)
    samples = [s for metric in metrics.rate_limited.collect() for s in metric.samples if s.name.endswith("_total")]
    assert [(sample.labels, sample.value) for sample in samples] == [({"scope": "test"}, 20.0)]

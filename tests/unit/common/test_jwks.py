"""The issuer's published keys: rotation, a flood of forged key ids, an issuer that is away."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from fluxprint_common.jwks import MAX_KEYS, JwksClient
from fluxprint_common.problems import Unavailable
from fluxprint_common.tokens import SigningKey, UnknownKey
from support.small_service import Issuer, new_key_pem


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Rig:
    """An issuer, a client of its keys, and the clock that the client reads."""

    def __init__(self, http: httpx.AsyncClient, issuer: Issuer) -> None:
        self.issuer = issuer
        self.clock = Clock()
        self.client = JwksClient("http://issuer.test/jwks", http=http, clock=self.clock)

    async def knows(self, kid: str) -> bool:
        try:
            return (await self.client.get(kid)).kid == kid
        except UnknownKey:
            return False


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    issuer = Issuer()
    async with issuer.http() as http:
        yield Rig(http, issuer)


class TestFetching:
    async def test_happens_once_for_many_requests_at_once(self, rig: Rig) -> None:
        assert all(await asyncio.gather(*(rig.knows(rig.issuer.key.kid) for _ in range(50))))
        assert rig.issuer.asked == 1

    async def test_happens_again_when_the_keys_are_old(self, rig: Rig) -> None:
        await rig.knows(rig.issuer.key.kid)
        rig.clock.now += 29
        await rig.knows(rig.issuer.key.kid)
        assert rig.issuer.asked == 1
        rig.clock.now += 1
        await rig.knows(rig.issuer.key.kid)
        assert rig.issuer.asked == 2

    async def test_takes_a_bounded_number_of_keys(self, rig: Rig) -> None:
        rig.issuer.keys = [SigningKey(new_key_pem()) for _ in range(MAX_KEYS + 1)]
        assert await rig.knows(rig.issuer.keys[MAX_KEYS - 1].kid)
        assert not await rig.knows(rig.issuer.keys[MAX_KEYS].kid)


class TestRotation:
    async def test_a_new_key_is_found_at_its_first_token(self, rig: Rig) -> None:
        old, new = rig.issuer.key, SigningKey(new_key_pem())
        await rig.knows(old.kid)
        rig.issuer.keys = [new, old]
        rig.clock.now += 5
        assert await rig.knows(new.kid)
        assert await rig.knows(old.kid)
        assert rig.issuer.asked == 2

    async def test_a_withdrawn_key_is_forgotten(self, rig: Rig) -> None:
        old, new = rig.issuer.key, SigningKey(new_key_pem())
        await rig.knows(old.kid)
        rig.issuer.keys = [new]
        rig.clock.now += 300
        assert not await rig.knows(old.kid)


class TestFlood:
    async def test_of_forged_ids_causes_one_fetch_per_cooldown(self, rig: Rig) -> None:
        await rig.knows(rig.issuer.key.kid)
        rig.clock.now += 5
        forged = await asyncio.gather(*(rig.knows(f"forged-{n}") for n in range(500)))
        assert not any(forged)
        assert rig.issuer.asked == 2
        rig.clock.now += 4.9
        assert not await rig.knows("forged-again")
        assert rig.issuer.asked == 2

    async def test_does_not_keep_a_new_key_out_for_longer_than_the_cooldown(self, rig: Rig) -> None:
        new = SigningKey(new_key_pem())
        await rig.knows("forged")
        rig.issuer.keys.append(new)
        assert not await rig.knows(new.kid)
        rig.clock.now += 5
        assert await rig.knows(new.kid)

    async def test_does_not_touch_known_keys(self, rig: Rig) -> None:
        await rig.knows("forged")
        assert await rig.knows(rig.issuer.key.kid)
        assert rig.issuer.asked == 1


class TestIssuerAway:
    async def test_from_the_start_is_unavailable_and_not_unauthenticated(self, rig: Rig) -> None:
        rig.issuer.away = True
        with pytest.raises(Unavailable):
            await rig.client.get(rig.issuer.key.kid)
        rig.issuer.away = False
        rig.clock.now += 5
        assert await rig.knows(rig.issuer.key.kid)

    async def test_later_leaves_the_known_keys_in_use(self, rig: Rig) -> None:
        await rig.knows(rig.issuer.key.kid)
        rig.issuer.away = True
        rig.clock.now += 10_000
        assert await rig.knows(rig.issuer.key.kid)
        assert not await rig.knows("forged")
        assert rig.issuer.asked == 2

    async def test_hanging_delays_one_request_and_not_all(self) -> None:
        issuer, asked, release = Issuer(), asyncio.Event(), asyncio.Event()
        release.set()

        async def slow(_request: Request) -> JSONResponse:
            asked.set()
            await release.wait()
            return JSONResponse({"keys": [issuer.key.public_jwk]})

        app = Starlette(routes=[Route("/jwks", slow)])
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as http:
            rig = Rig(http, issuer)
            await rig.knows(issuer.key.kid)
            release.clear()
            asked.clear()
            rig.clock.now += 300
            first = asyncio.create_task(rig.knows(issuer.key.kid))
            await asked.wait()
            assert all(await asyncio.gather(*(rig.knows(issuer.key.kid) for _ in range(20))))
            assert not first.done()
            release.set()
            assert await first

    @pytest.mark.parametrize("answer", [{"no": "keys"}, {"keys": 5}, {"keys": None}, ["keys"], "keys", 5])
    async def test_answering_nonsense_is_away(self, rig: Rig, answer: object) -> None:
        rig.issuer.answer = answer
        with pytest.raises(Unavailable):
            await rig.client.get(rig.issuer.key.kid)

    @pytest.mark.parametrize(
        "odd", ["text", None, {}, {"kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB"}, {"kty": 5}]
    )
    async def test_a_key_that_we_cannot_use_leaves_the_others_in_use(self, rig: Rig, odd: object) -> None:
        rig.issuer.answer = {"keys": [odd, rig.issuer.key.public_jwk]}
        assert await rig.knows(rig.issuer.key.kid)

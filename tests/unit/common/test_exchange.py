"""Credentials that are exchanged: asked about once, kept within bounds, and used on while auth is away."""

import asyncio
from dataclasses import dataclass, field

import httpx
import pytest

from fluxprint_common import exchange
from fluxprint_common.exchange import (
    AskOverHttp,
    Caller,
    Credential,
    CredentialKind,
    CredentialRefused,
    Exchange,
    Exchanged,
    NoAnswer,
)
from fluxprint_common.opaque import API_KEY, spell
from fluxprint_common.problems import RateLimited, Unauthenticated, Unavailable

CALLER = Caller("192.0.2.1", "slicer/1.0")


def key(number: int = 1) -> Credential:
    return Credential(CredentialKind.API_KEY, spell(API_KEY, number.to_bytes(32)))


@dataclass
class Auth:
    """What is asked: counts, and answers as it is told to."""

    expires_in_s: int = 300
    refuses: bool = False
    away: bool = False
    full: bool = False
    asked: list[str] = field(default_factory=list)
    admitted: int = 0
    gate: asyncio.Event | None = None
    now: float = 1000.0

    async def ask(self, credential: Credential, _caller: Caller) -> Exchanged:
        self.asked.append(credential.value)
        if self.gate is not None:
            await self.gate.wait()
        if self.away:
            raise NoAnswer("gone")
        if self.refuses:
            raise CredentialRefused
        return Exchanged(f"token-{len(self.asked)}", self.expires_in_s)

    async def admit(self, _caller: Caller) -> None:
        self.admitted += 1
        if self.full:
            raise RateLimited


@pytest.fixture
def auth() -> Auth:
    return Auth()


@pytest.fixture
def shop(auth: Auth) -> Exchange:
    return Exchange(auth.ask, admit=auth.admit, clock=lambda: auth.now)


class TestWhatIsKept:
    async def test_one_question_serves_until_shortly_before_the_end(self, shop: Exchange, auth: Auth) -> None:
        tokens = [await shop.access_token(key(), CALLER) for _ in range(50)]
        auth.now += auth.expires_in_s - exchange.RENEW_BEFORE_S - 1
        tokens.append(await shop.access_token(key(), CALLER))
        assert (set(tokens), len(auth.asked)) == ({"token-1"}, 1)
        auth.now += 2
        assert await shop.access_token(key(), CALLER) == "token-2"

    async def test_a_short_life_is_renewed_at_its_half(self, shop: Exchange, auth: Auth) -> None:
        auth.expires_in_s = 10
        await shop.access_token(key(), CALLER)
        auth.now += 4
        assert await shop.access_token(key(), CALLER) == "token-1"
        auth.now += 2
        assert await shop.access_token(key(), CALLER) == "token-2"

    async def test_a_refusal_is_kept_for_half_a_minute(self, shop: Exchange, auth: Auth) -> None:
        auth.refuses = True
        for _ in range(20):
            with pytest.raises(Unauthenticated):
                await shop.access_token(key(), CALLER)
        assert len(auth.asked) == 1
        auth.refuses = False
        auth.now += exchange.REFUSED_FOR_S
        assert await shop.access_token(key(), CALLER) == "token-2"

    async def test_two_credentials_never_share_an_answer(self, shop: Exchange) -> None:
        outside = Credential(CredentialKind.OUTSIDE_TOKEN, key().value)
        assert len({await shop.access_token(one, CALLER) for one in (key(1), key(2), outside)}) == 3

    async def test_the_longest_unused_goes_first(
        self, shop: Exchange, auth: Auth, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(exchange, "KEPT", 3)
        for number in (1, 2, 3, 1, 4, 1, 3, 2):
            await shop.access_token(key(number), CALLER)
        assert auth.asked == [key(number).value for number in (1, 2, 3, 4, 2)]

    async def test_what_turned_out_worthless_is_asked_about_again(self, shop: Exchange, auth: Auth) -> None:
        token = await shop.access_token(key(), CALLER)
        shop.forget(key(), token)
        assert await shop.access_token(key(), CALLER) == "token-2"
        shop.forget(key(), token)  # late, of a token that is not kept any more
        assert await shop.access_token(key(), CALLER) == "token-2"


class TestWhatIsNeverAsked:
    @pytest.mark.parametrize("value", ["", "fxk_", "fxk_" + "0" * 49, "fxr" + key().value[3:], key().value + "0", "x"])
    async def test_what_is_no_key_by_its_checksum(self, shop: Exchange, auth: Auth, value: str) -> None:
        with pytest.raises(Unauthenticated):
            await shop.access_token(Credential(CredentialKind.API_KEY, value), CALLER)
        assert auth.asked == []
        assert auth.admitted == 0

    async def test_what_comes_too_often_from_one_network(self, shop: Exchange, auth: Auth) -> None:
        await shop.access_token(key(1), CALLER)
        auth.full = True
        with pytest.raises(RateLimited):
            await shop.access_token(key(2), CALLER)
        assert await shop.access_token(key(1), CALLER) == "token-1"
        auth.now += auth.expires_in_s - 10  # to be renewed, but good
        assert await shop.access_token(key(1), CALLER) == "token-1"
        assert len(auth.asked) == 1


class TestManyAtOnce:
    async def test_ask_once(self, shop: Exchange, auth: Auth) -> None:
        auth.gate = asyncio.Event()
        waiting = [asyncio.create_task(shop.access_token(key(), CALLER)) for _ in range(50)]
        while not auth.asked:
            await asyncio.sleep(0)
        auth.gate.set()
        assert (set(await asyncio.gather(*waiting)), len(auth.asked)) == ({"token-1"}, 1)

    async def test_who_asked_first_may_go_away(self, shop: Exchange, auth: Auth) -> None:
        auth.gate = asyncio.Event()
        first, second = (asyncio.create_task(shop.access_token(key(), CALLER)) for _ in range(2))
        while not auth.asked:
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        auth.gate.set()
        assert await second == "token-1"
        assert first.cancelled()

    async def test_a_renewal_delays_only_who_begins_it(self, shop: Exchange, auth: Auth) -> None:
        await shop.access_token(key(), CALLER)
        auth.now += auth.expires_in_s - exchange.RENEW_BEFORE_S
        auth.gate = asyncio.Event()
        renewing = asyncio.create_task(shop.access_token(key(), CALLER))
        while len(auth.asked) < 2:
            await asyncio.sleep(0)
        assert await shop.access_token(key(), CALLER) == "token-1"
        auth.gate.set()
        assert await renewing == "token-2"


class TestAuthAway:
    async def test_what_is_kept_goes_on_until_it_ends(self, shop: Exchange, auth: Auth) -> None:
        await shop.access_token(key(), CALLER)
        auth.away = True
        auth.now += auth.expires_in_s - 1
        assert await shop.access_token(key(), CALLER) == "token-1"
        auth.now += 2
        with pytest.raises(Unavailable):
            await shop.access_token(key(), CALLER)

    async def test_it_is_left_alone_for_a_moment(self, shop: Exchange, auth: Auth) -> None:
        auth.away = True
        for number in range(20):
            with pytest.raises(Unavailable):
                await shop.access_token(key(number), CALLER)
        assert len(auth.asked) == 1
        auth.away = False
        auth.now += exchange.PAUSE_S
        assert await shop.access_token(key(), CALLER) == "token-2"

    async def test_an_outside_issuer_that_is_away_stops_no_api_key(self, shop: Exchange, auth: Auth) -> None:
        auth.away = True
        with pytest.raises(Unavailable):
            await shop.access_token(Credential(CredentialKind.OUTSIDE_TOKEN, "outside"), CALLER)
        auth.away = False
        assert await shop.access_token(key(), CALLER) == "token-2"


class TestOverHttp:
    async def ask(self, answer: httpx.Response) -> Exchanged:
        self.requests: list[httpx.Request] = []

        def serve(request: httpx.Request) -> httpx.Response:
            self.requests.append(request)
            return answer

        async with httpx.AsyncClient(transport=httpx.MockTransport(serve)) as http:
            return await AskOverHttp(http, "http://auth.test:8001/api/v1/auth/jwks")(key(), CALLER)

    async def test_is_asked_beside_the_published_keys(self) -> None:
        got = await self.ask(httpx.Response(200, json={"access_token": "t", "expires_in_s": 60, "more": 1}))
        assert got == Exchanged("t", 60)
        assert str(self.requests[0].url) == "http://auth.test:8001/internal/exchange"

    async def test_401_is_a_refusal(self) -> None:
        with pytest.raises(CredentialRefused):
            await self.ask(httpx.Response(401))

    @pytest.mark.parametrize(
        "answer",
        [
            httpx.Response(500),
            httpx.Response(404),
            httpx.Response(429),
            httpx.Response(307, headers={"Location": "http://elsewhere.test/"}),
            httpx.Response(200, text="<html>"),
            httpx.Response(200, json=[]),
            httpx.Response(200, json={"access_token": "t"}),
            httpx.Response(200, json={"access_token": "t", "expires_in_s": "soon"}),
        ],
        ids=lambda answer: f"{answer.status_code}{len(answer.content)}",
    )
    async def test_everything_else_is_no_answer(self, answer: httpx.Response) -> None:
        with pytest.raises(NoAnswer) as caught:
            await self.ask(answer)
        assert key().value not in str(caught.value)

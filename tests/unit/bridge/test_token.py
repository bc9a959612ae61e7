"""One token for all of a bridge: whoever does not accept it does not take it from the others."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI, Request, Response
from pydantic import SecretStr

from fluxprint_bridge import clock
from fluxprint_bridge.cloud.api import CloudApi
from fluxprint_bridge.cloud.errors import CloudUnavailable
from fluxprint_bridge.cloud.token import KEEP_S
from support.serving import serving


class Cloud:
    """Exchanges tokens, and accepts only those that it is told to."""

    def __init__(self) -> None:
        self.exchanges = 0
        self.bodies: list[dict[str, str]] = []
        self.knows_instances = True
        self.asked: list[str] = []
        self.accepted: set[str] = set()

    @asynccontextmanager
    async def api(self) -> AsyncIterator[CloudApi]:
        app = FastAPI()

        @app.post("/auth/bridge-token")
        async def exchange(body: dict[str, str], response: Response) -> dict[str, object]:
            self.bodies.append(body)
            if "instance" in body and not self.knows_instances:
                response.status_code = 422
                return {"code": "validation_failed"}
            self.exchanges += 1
            return {"access_token": f"token-{self.exchanges}", "expires_in_s": 900}

        @app.get("/bridge/printers")
        async def printers(request: Request, response: Response) -> dict[str, object]:
            token = request.headers["authorization"].removeprefix("Bearer ")
            self.asked.append(token)
            response.status_code = 200 if token in self.accepted else 401
            return {"items": []} if token in self.accepted else {"code": "token_invalid"}

        async with serving(app) as url, CloudApi(url, SecretStr("bridge-token")) as api:
            yield api


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    hands = Hands()
    monkeypatch.setattr(clock, "now", lambda: hands.now)
    return hands


class TestForget:
    async def test_many_who_refuse_a_new_token_cost_no_exchange(self, hands: Hands) -> None:
        cloud = Cloud()
        async with cloud.api() as api:
            for _ in range(100):
                await api.token.get()
                api.token.forget()
                hands.now += (KEEP_S - 1) / 100
        assert cloud.exchanges == 1

    async def test_an_old_one_is_replaced_within_the_call(self, hands: Hands) -> None:
        cloud = Cloud()
        async with cloud.api() as api:
            await api.token.get()
            cloud.accepted = {"token-2"}
            hands.now += KEEP_S
            assert await api.printers() == []
        assert cloud.asked == ["token-1", "token-2"]

    async def test_a_new_one_that_is_refused_is_asked_with_again_later(self, hands: Hands) -> None:
        cloud = Cloud()
        async with cloud.api() as api:
            for _ in range(3):
                with pytest.raises(CloudUnavailable):  # whoever calls waits, longer each time
                    await api.printers()
            assert (cloud.exchanges, len(cloud.asked)) == (1, 6)
            hands.now += KEEP_S
            cloud.accepted = {"token-2"}
            assert await api.printers() == []
        assert cloud.exchanges == 2


class TestInstance:
    async def test_names_the_process(self, hands: Hands) -> None:
        cloud = Cloud()
        for _ in range(2):
            async with cloud.api() as api:
                for _ in range(2):
                    await api.token.get()
                    hands.now += 900
        first, again, other, _ = (body["instance"] for body in cloud.bodies)
        assert first == again
        assert first != other

    async def test_is_left_out_for_a_cloud_that_does_not_know_it(self, hands: Hands) -> None:
        cloud = Cloud()
        cloud.knows_instances = False
        async with cloud.api() as api:
            for _ in range(2):
                await api.token.get()
                hands.now += 900
        assert ["instance" in body for body in cloud.bodies] == [True, False, False]

"""API keys at the other services: exchanged once in a while, refused at once. Auth, queue and Redis are real ones."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from fluxprint_auth import opaque
from fluxprint_common import exchange
from fluxprint_common.ids import new_id, show
from fluxprint_common.principal import Principal, principal_of
from fluxprint_common.tokens import TokenVerifier
from support.auth import ORIGIN, Auth, Person, at_once, running_auth
from support.queue import queue_app
from support.servers import Database
from support.serving import serving


@dataclass
class Wire:
    """What the other services reach of auth: counted, and cut when told so."""

    auth: Auth
    away: bool = False
    asked: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(scope["path"])
        app = Response(status_code=503) if self.away else self.auth.app
        await app(scope, receive, send)

    @property
    def exchanges(self) -> int:
        return self.asked.count(exchange.PATH)


@dataclass
class Site:
    """An auth service and a queue service that asks it."""

    auth: Auth
    wire: Wire
    queue: httpx.AsyncClient
    owner: Person

    async def make(self, *scopes: str, maker: Person | None = None, **more: object) -> str:
        """A new key, and remembers nothing of it."""
        body = {"name": "Program", "scopes": scopes or ["jobs:read", "printers:read"], **more}
        answer = await self.auth.post("/api-keys", body, headers=(maker or self.owner).headers)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["secret"])

    async def get(self, key: str, path: str = "/jobs") -> httpx.Response:
        return await self.queue.get(path, headers={"X-API-Key": key})

    async def revoke(self, key: str) -> None:
        items = (await self.auth.http.get("/api-keys", headers=self.owner.headers)).json()["items"]
        (found,) = (item["id"] for item in items if item["hint"] == key[-4:])
        assert (await self.auth.http.delete(f"/api-keys/{found}", headers=self.owner.headers)).status_code == 204

    async def until(self, status: int, key: str, path: str = "/jobs", *, within_s: float) -> None:
        """Wait until the queue answers so."""
        async with asyncio.timeout(within_s):
            while (await self.get(key, path)).status_code != status:
                await asyncio.sleep(0.01)


#: What is heard so soon came over Redis: services ask every 10 s.
BEFORE_THE_POLL_S = 8


@dataclass(frozen=True)
class _Issuer:
    jwks_url: str


@asynccontextmanager
async def running_site(database: Database, folder: Path, redis_url: str | None, **settings: Any) -> AsyncIterator[Site]:
    async with running_auth(database, redis_url=redis_url) as auth:
        wire = Wire(auth)
        async with serving(wire, lifespan=False) as auth_url:
            issuer: Any = _Issuer(f"{auth_url}/api/v1/auth/jwks")
            app = queue_app(database, issuer, auth_url, folder, redis_url=redis_url, **settings)
            async with serving(app) as url, httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=20) as queue:
                yield Site(auth, wire, queue, await auth.register())


@pytest.fixture
async def site(database: Database, redis_url: str, tmp_path: Path) -> AsyncIterator[Site]:
    async with running_site(database, tmp_path, redis_url) as site:
        yield site


class TestAnotherService:
    async def test_asks_auth_once_for_many_requests(self, site: Site) -> None:
        key = await site.make()
        answers = await at_once(20, lambda: site.get(key))
        answers += [await site.get(key) for _ in range(30)]
        assert {answer.status_code for answer in answers} == {200}
        assert site.wire.exchanges == 1

    async def test_lets_it_do_what_its_scopes_say(self, site: Site) -> None:
        key = await site.make("jobs:read")
        assert (await site.get(key)).status_code == 200
        assert (await site.get(key, "/printers")).status_code == 403

    async def test_keeps_it_to_its_printers(self, site: Site) -> None:
        bridge = await site.auth.post("/bridges", {"name": "Workshop"}, headers=site.owner.headers)
        printers = []
        for name in ("Left", "Right"):
            body = {"name": name, "bridge_id": bridge.json()["bridge"]["id"]}
            made = await site.queue.post("/printers", json=body, headers=site.owner.headers)
            printers.append(made.json()["id"])
        key = await site.make("printers:read", printer_ids=printers[:1])
        assert [item["id"] for item in (await site.get(key, "/printers")).json()["items"]] == printers[:1]
        assert (await site.get(key, f"/printers/{printers[1]}")).status_code == 404

    async def test_looks_a_bridge_up_in_its_name(self, site: Site) -> None:
        bridge = await site.auth.post("/bridges", {"name": "Workshop"}, headers=site.owner.headers)
        body = {"name": "Bench", "bridge_id": bridge.json()["bridge"]["id"]}
        key = await site.make("printers:manage", "bridges:read")
        assert (await site.queue.post("/printers", json=body, headers={"X-API-Key": key})).status_code == 201
        unknown = {**body, "name": "Other", "bridge_id": show("bridge", new_id())}
        assert (await site.queue.post("/printers", json=unknown, headers={"X-API-Key": key})).status_code == 422

    async def test_never_asks_about_what_is_no_key(self, site: Site) -> None:
        good = await site.make()
        mistyped = good[:-1] + ("1" if good.endswith("0") else "0")
        for key in ("", "x", good[:-1], mistyped, good.swapcase(), "fxb" + good[3:], good + " extra"):
            answer = await site.get(key)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), key
        assert site.wire.exchanges == 0

    async def test_asks_once_about_a_key_that_is_nobodys(self, site: Site) -> None:
        key = opaque.new_token(opaque.API_KEY)
        assert {(await site.get(key)).status_code for _ in range(10)} == {401}
        assert site.wire.exchanges == 1

    async def test_refuses_two_credentials(self, site: Site) -> None:
        headers = {"X-API-Key": await site.make(), **site.owner.headers}
        answer = await site.queue.get("/jobs", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "two_credentials")

    async def test_goes_on_while_auth_is_away(self, site: Site) -> None:
        known, unknown = await site.make(), await site.make()
        await site.get(known)
        site.wire.away = True
        assert (await site.get(known)).status_code == 200
        answer = await site.get(unknown)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert "retry-after" in answer.headers
        site.wire.away = False
        await site.until(200, unknown, within_s=30)

    async def test_bounds_how_many_unknown_keys_one_network_may_try(
        self, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("fluxprint_common.service.LIMIT_EXCHANGES", "3/minute")
        async with running_site(database, tmp_path, None, rate_limits_enabled=True) as site:
            known = await site.make()
            assert (await site.get(known)).status_code == 200
            tried = [(await site.get(opaque.new_token(opaque.API_KEY))).status_code for _ in range(4)]
            assert tried == [401, 401, 429, 429]
            assert (await site.get(known)).status_code == 200

    async def test_writes_no_key_into_its_log(self, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
        key = await site.make()
        for given in (key, key[:-1] + "?"):
            await site.get(given)
        site.wire.away = True
        await site.get(await site.make())
        printed = "".join(capsys.readouterr())
        assert key[:20] not in printed


class TestRevoking:
    async def test_ends_a_key_within_a_second(self, site: Site) -> None:
        key, other = await site.make(), await site.make()
        await site.get(key)
        await site.get(other)
        await site.revoke(key)
        await site.until(401, key, within_s=BEFORE_THE_POLL_S)
        assert (await site.get(other)).status_code == 200
        assert {(await site.get(key)).status_code for _ in range(10)} == {401}
        assert site.wire.exchanges <= 3 + 1

    async def test_ends_a_key_without_redis_too(self, database: Database, tmp_path: Path) -> None:
        async with running_site(database, tmp_path, None, revocation_poll_s=0.2) as site:
            key = await site.make()
            await site.get(key)
            await site.revoke(key)
            await site.until(401, key, within_s=BEFORE_THE_POLL_S)

    async def test_ends_a_stream(self, site: Site) -> None:
        key = await site.make("events:read")
        async with site.queue.stream("GET", "/events/stream", headers={"X-API-Key": key}) as answer:
            lines = answer.aiter_lines()
            assert (await anext(lines)).startswith("retry")
            await site.revoke(key)
            async with asyncio.timeout(5):
                async for _line in lines:
                    pass


class TestTheMaker:
    async def test_with_a_lower_role_takes_the_key_along(self, site: Site) -> None:
        grace = await site.auth.add_member(site.owner, "manager")
        key = await site.make("jobs:read", "printers:read", "bridges:read", maker=grace)
        seen = await site.auth.http.get("/bridges", headers={"X-API-Key": key})
        assert (seen.status_code, (await site.get(key)).status_code) == (200, 200)
        change = await self.role_of(site, grace, "client")
        assert change.status_code == 200, change.text
        await site.until(403, key, "/printers", within_s=BEFORE_THE_POLL_S)
        assert (await site.get(key)).status_code == 200
        refused = await site.auth.http.get("/bridges", headers={"X-API-Key": key})
        assert refused.status_code == 403

    async def role_of(self, site: Site, who: Person, role: str) -> httpx.Response:
        me = (await site.auth.http.get("/auth/me", headers=who.headers)).json()
        path = f"/organisations/current/members/{me['user']['id']}"
        return await site.auth.http.patch(path, json={"role": role}, headers=site.owner.headers)

    async def test_of_whom_the_role_changes_loses_no_request(self, site: Site) -> None:
        """Their key is exchanged again behind the scenes: what it may do still, it does without a refusal between."""
        grace = await site.auth.add_member(site.owner, "editor")
        key = await site.make("jobs:read", "files:write", maker=grace)
        await site.get(key)
        statuses: list[int] = []

        async def asking() -> None:
            ends_at = time.monotonic() + 1.5
            while time.monotonic() < ends_at:
                statuses.append((await site.get(key)).status_code)

        asked = asyncio.create_task(asking())
        assert (await self.role_of(site, grace, "viewer")).status_code == 200
        await asked
        assert set(statuses) == {200}
        assert site.wire.exchanges == 2

    async def test_who_is_removed_leaves_no_key_behind(self, site: Site) -> None:
        grace = await site.auth.add_member(site.owner, "editor")
        key = await site.make(maker=grace)
        await site.get(key)
        me = (await site.auth.http.get("/auth/me", headers=grace.headers)).json()
        path = f"/organisations/current/members/{me['user']['id']}"
        assert (await site.auth.http.delete(path, headers=site.owner.headers)).status_code == 204
        await site.until(401, key, within_s=BEFORE_THE_POLL_S)
        rows = await site.auth.fetch("SELECT * FROM auth.security_events WHERE type = 'auth_api_key_revoked'")
        assert [row["reason"] for row in rows] == ["membership_ended"]


class TestTheExchange:
    async def ask(self, auth: Auth, **body: object) -> httpx.Response:
        return await auth.http.post(f"{ORIGIN}/internal/exchange", json=body)

    async def made(self, auth: Auth, **more: object) -> tuple[str, dict[str, Any]]:
        owner = await auth.register()
        body = {"name": "x", "scopes": ["jobs:read"], **more}
        answer = (await auth.post("/api-keys", body, headers=owner.headers)).json()
        return answer["secret"], answer["api_key"]

    async def principal(self, auth: Auth, answer: httpx.Response) -> Principal:
        claims = await auth.app.state.access_tokens.verify(answer.json()["access_token"])
        return principal_of(claims)

    async def test_gives_a_token_in_the_keys_bounds(self, auth: Auth) -> None:
        printer = show("printer", new_id())
        secret, key = await self.made(auth, printer_ids=[printer])
        answer = await self.ask(auth, api_key=secret, address="192.0.2.7", agent="slicer/1.0")
        who = await self.principal(auth, answer)
        assert show("apikey", who.session_id) == key["id"]
        assert who.permissions == {"jobs:read"}
        assert who.authenticated_at is None
        assert [show("printer", one) for one in who.printers or ()] == [printer]
        assert answer.json()["expires_in_s"] == 300 == (who.expires_at - who.issued_at).total_seconds()
        where = await auth.value("SELECT last_used_address FROM auth.api_key WHERE hint = $1", key["hint"])
        assert where == "192.0.2.7"

    async def test_outlives_no_key(self, auth: Auth) -> None:
        expires_at = (datetime.now(UTC) + timedelta(seconds=30)).isoformat()
        secret, _key = await self.made(auth, expires_at=expires_at)
        assert 20 <= (await self.ask(auth, api_key=secret)).json()["expires_in_s"] <= 30

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"api_key": "x", "outside_token": "y"},
            {"api_key": ""},
            {"api_key": "x" * 8193},
            {"api_key": None},
            {"api_key": "x", "address": "1" * 101},
        ],
    )
    async def test_wants_exactly_one_credential(self, auth: Auth, body: dict[str, object]) -> None:
        assert (await self.ask(auth, **body)).status_code == 422

    async def test_refuses_what_it_does_not_know(self, auth: Auth) -> None:
        for body in ({"api_key": "x"}, {"api_key": opaque.new_token("fxk")}, {"outside_token": "a.b.c"}):
            assert (await self.ask(auth, **body)).status_code == 401

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ("UPDATE auth.api_key SET revoked_at = now()", "revoked"),
            ("UPDATE auth.api_key SET expires_at = now()", "expired"),
            ('UPDATE auth."user" SET disabled_at = now()', "maker_gone"),
        ],
    )
    async def test_records_who_uses_what_was_a_key(self, lone_auth: Auth, change: str, reason: str) -> None:
        secret, key = await self.made(lone_auth)
        await lone_auth.fetch(change)
        before = len(await lone_auth.events())
        assert (await self.ask(lone_auth, api_key=opaque.new_token("fxk"))).status_code == 401
        assert (await self.ask(lone_auth, api_key=secret, address="192.0.2.9", agent="curl")).status_code == 401
        (event,) = (await lone_auth.fetch("SELECT * FROM auth.security_events ORDER BY id"))[before:]
        assert (event["type"], event["outcome"], event["reason"]) == ("auth_api_key_refused", "failure", reason)
        assert (event["address"], event["agent"]) == ("192.0.2.9", "curl")
        assert json.loads(event["data"])["api_key_id"] == key["id"]

    async def test_is_nowhere_below_api(self, auth: Auth) -> None:
        answer = await auth.post("/internal/exchange", {"api_key": opaque.new_token("fxk")})
        assert answer.status_code == 404

    async def test_at_the_moment_of_a_change_of_role_leaves_no_token_with_the_old_one(self, lone_auth: Auth) -> None:
        owner = await lone_auth.register()
        grace = await lone_auth.add_member(owner, "manager")
        body = {"name": "x", "scopes": ["jobs:read", "members:read"]}
        secret = (await lone_auth.post("/api-keys", body, headers=grace.headers)).json()["secret"]
        me = (await lone_auth.http.get("/auth/me", headers=grace.headers)).json()
        path = f"/organisations/current/members/{me['user']['id']}"
        answers: list[httpx.Response] = []

        async def exchanging() -> None:
            for _ in range(10):
                answers.append(await self.ask(lone_auth, api_key=secret))

        async def changing() -> None:
            while len(answers) < 8:
                await asyncio.sleep(0)
            changed = await lone_auth.http.patch(path, json={"role": "viewer"}, headers=owner.headers)
            assert changed.status_code == 200, changed.text

        await asyncio.gather(*(exchanging() for _ in range(4)), changing())
        revocations = lone_auth.app.state.revocations
        verifier = lone_auth.app.state.access_tokens
        roles = []
        for answer in answers:
            who = principal_of(await TokenVerifier.verify(verifier, answer.json()["access_token"]))
            if not revocations.refuse(who.session_id, who.issued_at):
                roles.append(str(who.role))
        assert len(answers) == 40
        assert set(roles) <= {"viewer"}
        after = await self.principal(lone_auth, await self.ask(lone_auth, api_key=secret))
        assert after.role == "viewer"
        assert not revocations.refuse(after.session_id, after.issued_at)

"""A trusted outside issuer: its people appear here, are what the mapping says, and can be shut out."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from jose import jws
from pydantic import SecretStr

from fluxprint_auth.accounts.registration import NewAccount, register
from fluxprint_common.exchange import PATH
from fluxprint_common.principal import principal_of
from support.auth import ORIGIN, Auth, Person, at_once, running_auth
from support.queue import queue_app
from support.servers import Database
from support.serving import serving
from support.tokens import bearer

ISSUER = "https://shop.example.org"
SECRET = "outside-secret-of-the-tests-0123456789abcdef"
SETTINGS: dict[str, Any] = {
    "outside_issuer": ISSUER,
    "outside_audience": "fluxprint",
    "outside_secret": SecretStr(SECRET),
    "outside_roles": "boss=manager, staff=editor, guest=client",
    "outside_organisation": "analytical-engines",
}


def token(sub: str = "42", *, secret: str = SECRET, **changed: object) -> str:
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": "fluxprint", "sub": sub, "iat": now, "exp": now + 600, "role": "staff"}
    return str(jws.sign({**claims, **changed}, secret, algorithm="HS256"))


@dataclass
class Shop:
    """The auth service that trusts the issuer, and the owner of the organisation that its people are in."""

    auth: Auth
    owner: Person

    async def me(self, sent: str) -> httpx.Response:
        return await self.auth.http.get("/auth/me", headers=bearer(sent))

    async def reasons(self) -> list[str]:
        query = "SELECT reason FROM auth.security_events WHERE type = 'auth_outside_token_refused' ORDER BY id"
        return [row["reason"] for row in await self.auth.fetch(query)]

    async def user_of(self, subject: str) -> Any:
        return await self.auth.value("SELECT user_id FROM auth.outside_identity WHERE subject = $1", subject)

    async def role_of(self, subject: str) -> str:
        user = await self.user_of(subject)
        return str(await self.auth.value("SELECT role FROM auth.membership WHERE user_id = $1", user))


@asynccontextmanager
async def running_shop(database: Database, **changed: Any) -> AsyncIterator[Shop]:
    async with running_auth(database, **(SETTINGS | changed)) as auth:
        yield Shop(auth, await auth.register())


@pytest.fixture
async def shop(database: Database) -> AsyncIterator[Shop]:
    async with running_shop(database) as shop:
        yield shop


class TestFirstSight:
    async def test_makes_a_user_with_the_role_of_the_mapping(self, shop: Shop) -> None:
        answer = await shop.me(token(name="Grace Hopper"))
        assert answer.status_code == 200, answer.text
        assert answer.json()["user"]["name"] == "Grace Hopper"
        organisation = await shop.auth.http.get("/organisations/current", headers=bearer(token()))
        assert organisation.json()["role"] == "editor"
        assert organisation.json()["organisation"]["id"] == shop.owner.organisation["id"]
        assert await shop.auth.value("SELECT count(*) FROM auth.outside_identity") == 1
        events = await shop.auth.events()
        assert events.count("auth_outside_user_appeared") == events.count("auth_member_added") == 1

    async def test_of_two_at_once_makes_one(self, shop: Shop) -> None:
        async def ask() -> httpx.Response:
            body = {"outside_token": token(jti=secrets.token_hex(4))}
            return await shop.auth.http.post(f"{ORIGIN}{PATH}", json=body)

        answers = await at_once(10, ask)
        assert {answer.status_code for answer in answers} == {200}
        assert await shop.auth.value("SELECT count(*) FROM auth.outside_identity") == 1
        assert await shop.auth.value("SELECT count(*) FROM auth.session WHERE via = 'outside'") == 1

    async def test_never_takes_the_account_of_who_has_the_same_address(self, shop: Shop) -> None:
        sent = token(email=shop.owner.email.upper(), email_verified=True)
        assert (await shop.me(sent)).status_code == 200
        owners = await shop.auth.value('SELECT id FROM auth."user" WHERE email = $1', shop.owner.email)
        assert await shop.user_of("42") != owners
        assert (await shop.auth.log_in(shop.owner.email))["access_token"]

    async def test_takes_a_verified_address_that_is_free_and_no_other(self, shop: Shop) -> None:
        for sub, verified in (("1", True), ("2", False), ("3", True)):
            address = f"grace-{sub.replace('3', '1')}@example.org"
            await shop.me(token(sub, email=address, email_verified=verified))
        found = [
            await shop.auth.value('SELECT email FROM auth."user" WHERE id = $1', await shop.user_of(sub))
            for sub in "123"
        ]
        assert found[0] == "grace-1@example.org"
        assert all(email.endswith("@outside.invalid") for email in found[1:])

    async def test_tells_the_same_subject_of_another_issuer_apart(self, database: Database) -> None:
        async with running_shop(database) as shop:
            await shop.me(token())
            first = await shop.user_of("42")
        other = "https://other.example.org"
        async with running_auth(database, **(SETTINGS | {"outside_issuer": other})) as auth:
            assert (await auth.http.get("/auth/me", headers=bearer(token()))).status_code == 401
            assert (await auth.http.get("/auth/me", headers=bearer(token(iss=other)))).status_code == 200
            users = {row["user_id"] for row in await auth.fetch("SELECT user_id FROM auth.outside_identity")}
        assert len(users) == 2
        assert first in users

    async def test_gives_no_password_that_would_outlive_the_issuers_word(
        self, database: Database, tmp_path: Path
    ) -> None:
        async with running_shop(database, mail_dir=tmp_path / "mail") as shop:
            await shop.me(token(email="bob@example.org", email_verified=True))
            answers = [
                await shop.auth.post("/auth/password-reset", {"email": email})
                for email in (shop.owner.email, "bob@example.org", "nobody@example.org")
            ]
            assert {(answer.status_code, answer.text) for answer in answers} == {(202, answers[0].text)}
            query = "SELECT outcome FROM auth.security_events WHERE type = 'auth_password_reset_requested' ORDER BY id"
            outcomes = [row["outcome"] for row in await shop.auth.fetch(query)]
        assert outcomes == ["success", "failure", "failure"]

    async def test_gives_nothing_that_is_personal(self, shop: Shop) -> None:
        sent = bearer(token(role="boss"))
        assert (await shop.auth.http.get("/api-keys", headers=sent)).status_code == 403
        body = {"name": "x", "scopes": ["jobs:read"]}
        assert (await shop.auth.post("/api-keys", body, headers=sent)).status_code == 403
        assert (await shop.auth.http.get("/organisations/current/members", headers=sent)).status_code == 200


class TestRefused:
    @pytest.mark.parametrize(
        ("claims", "reason"),
        [
            ({"role": "owner"}, "role_unmapped"),
            ({"role": "manager"}, "role_unmapped"),
            ({"role": None}, "role_unmapped"),
            ({"sub": ""}, "subject_missing"),
            ({"sub": "a\0b"}, "subject_missing"),
        ],
    )
    async def test_is_who_the_mapping_does_not_name(self, shop: Shop, claims: dict[str, Any], reason: str) -> None:
        answer = await shop.me(token(**claims))
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
        assert await shop.reasons() == [reason]
        assert await shop.auth.value("SELECT count(*) FROM auth.outside_identity") == 0

    async def test_is_an_organisation_that_is_not_there(self, database: Database) -> None:
        changed = {"outside_organisation": None, "outside_organisation_claim": "org"}
        async with running_shop(database, **changed) as shop:
            assert (await shop.me(token(org="nowhere"))).status_code == 401
            assert (await shop.me(token(org="analytical-engines"))).status_code == 200
            assert await shop.reasons() == ["organisation_unknown"]

    async def test_is_what_is_not_genuine_and_leaves_no_row(self, shop: Shop) -> None:
        before = len(await shop.auth.events())
        past = int(time.time()) - 700
        for sent in (token(secret="x" * 40), token(aud="other"), token(iat=past, exp=past + 600), token(exp=10**10)):
            assert (await shop.me(sent)).status_code == 401
        assert len(await shop.auth.events()) == before

    async def test_is_everything_while_no_issuer_is_trusted(self, lone_auth: Auth) -> None:
        await lone_auth.register()
        assert (await lone_auth.http.get("/auth/me", headers=bearer(token()))).status_code == 401
        asked = await lone_auth.http.post(f"{ORIGIN}{PATH}", json={"outside_token": token()})
        assert asked.status_code == 401
        assert await lone_auth.value("SELECT count(*) FROM auth.outside_identity") == 0

    async def test_is_our_issuers_name_under_their_secret(self, shop: Shop) -> None:
        who = principal_of(await shop.auth.app.state.access_tokens.verify(shop.owner.tokens["access_token"]))
        forged = token(
            iss="fluxprint", aud="fluxprint-api", sub=f"user_{who.subject.hex}", jti="x", role="owner", scope="",
            sid=f"session_{who.session_id.hex}", org=f"org_{who.organisation_id.hex}",
        )  # fmt: skip
        assert (await shop.me(forged)).status_code == 401

    async def test_is_their_issuers_name_under_our_key(self, shop: Shop) -> None:
        issued = shop.auth.app.state.issuer.for_outside
        assert issued  # what we make for them says that it is ours
        exchanged = await shop.auth.http.post(f"{ORIGIN}{PATH}", json={"outside_token": token()})
        own = exchanged.json()["access_token"]
        assert (await shop.me(own)).status_code == 200
        again = await shop.auth.http.post(f"{ORIGIN}{PATH}", json={"outside_token": own})
        assert again.status_code == 401


class TestTheRole:
    async def test_follows_the_mapping_down_and_up(self, shop: Shop) -> None:
        began = int(time.time()) - 30
        for age, (theirs, ours) in enumerate([("boss", "manager"), ("guest", "client"), ("staff", "editor")]):
            sent = token(role=theirs, iat=began + age)
            answer = await shop.auth.http.get("/organisations/current", headers=bearer(sent))
            assert answer.json()["role"] == ours
            assert await shop.role_of("42") == ours

    async def test_of_an_older_token_counts_no_more(self, shop: Shop) -> None:
        now = int(time.time())
        old, new = token(role="boss", iat=now - 20), token(role="guest", iat=now - 10)
        assert [(await shop.me(sent)).status_code for sent in (old, new)] == [200, 200]
        assert (await shop.me(old)).status_code == 401
        assert (await shop.me(new)).status_code == 200
        assert await shop.role_of("42") == "client"
        assert await shop.reasons() == ["superseded"]

    async def test_is_never_more_whoever_gave_it_here(self, shop: Shop) -> None:
        await shop.me(token(role="guest"))
        path = f"/organisations/current/members/user_{(await shop.user_of('42')).hex}"
        answer = await shop.auth.http.patch(path, json={"role": "manager"}, headers=shop.owner.headers)
        assert answer.status_code == 200, answer.text
        body = {"outside_token": token(role="guest", jti="another")}
        asked = await shop.auth.http.post(f"{ORIGIN}{PATH}", json=body)
        claims = await shop.auth.app.state.access_tokens.verify(asked.json()["access_token"])
        assert claims["role"] == "client" == await shop.role_of("42")

    async def test_of_an_owner_is_nobodys_but_the_organisations(self, shop: Shop) -> None:
        await shop.me(token())
        change = "UPDATE auth.membership SET role = 'owner' WHERE user_id = $1"
        await shop.auth.fetch(change, await shop.user_of("42"))
        assert (await shop.me(token(jti="another"))).status_code == 401
        assert await shop.role_of("42") == "owner"
        assert await shop.reasons() == ["owner_here"]


class TestTheEnd:
    async def test_comes_no_later_than_the_tokens(self, shop: Shop) -> None:
        body = {"outside_token": token(exp=int(time.time()) + 40)}
        answer = (await shop.auth.http.post(f"{ORIGIN}{PATH}", json=body)).json()
        assert 30 <= answer["expires_in_s"] <= 40
        body = {"outside_token": token()}
        assert (await shop.auth.http.post(f"{ORIGIN}{PATH}", json=body)).json()["expires_in_s"] == 300

    async def test_of_a_session_takes_the_tokens_before_it_along(self, shop: Shop) -> None:
        sent = token(iat=int(time.time()) - 5)
        assert (await shop.me(sent)).status_code == 200
        admin = await administrator(shop)
        path = f"/admin/users/user_{(await shop.user_of('42')).hex}/end-sessions"
        assert (await shop.auth.post(path, headers=admin.headers)).json() == {"ended": 1}
        assert (await shop.me(sent)).status_code == 401
        assert (await shop.me(token(iat=int(time.time()) + 2))).status_code == 200
        assert await shop.auth.value("SELECT count(*) FROM auth.session WHERE via = 'outside'") == 2

    async def test_of_a_membership_stands_whatever_comes_with_an_old_token(self, shop: Shop) -> None:
        sent = token(iat=int(time.time()) - 5)
        assert (await shop.me(sent)).status_code == 200
        path = f"/organisations/current/members/user_{(await shop.user_of('42')).hex}"
        assert (await shop.auth.http.delete(path, headers=shop.owner.headers)).status_code == 204
        assert (await shop.me(sent)).status_code == 401
        assert await shop.reasons() == ["session_ended"]
        assert await shop.auth.value("SELECT count(*) FROM auth.membership") == 1

    async def test_of_a_disabled_account_is_at_once_and_everywhere(
        self, database: Database, redis_url: str, tmp_path: Path
    ) -> None:
        async with (
            running_shop(database, redis_url=redis_url) as shop,
            serving(shop.auth.app, lifespan=False) as auth_url,
        ):
            issuer: Any = _Issuer(f"{auth_url}/api/v1/auth/jwks")
            app = queue_app(database, issuer, auth_url, tmp_path, redis_url=redis_url, outside_issuer=ISSUER)
            async with serving(app) as url, httpx.AsyncClient(base_url=f"{url}/api/v1") as queue:
                await self.shut_out(shop, queue)

    async def shut_out(self, shop: Shop, queue: httpx.AsyncClient) -> None:
        sent = bearer(token(iat=int(time.time()) - 5))
        for _ in range(3):
            assert (await queue.get("/jobs", headers=sent)).status_code == 200
        assert (await queue.post("/printers", json={}, headers=sent)).status_code == 403
        admin = await administrator(shop)
        path = f"/admin/users/user_{(await shop.user_of('42')).hex}/disable"
        answer = await shop.auth.post(path, headers=admin.headers)
        assert answer.status_code == 200, answer.text
        began = time.monotonic()
        async with asyncio.timeout(5):
            while (await queue.get("/jobs", headers=sent)).status_code != 401:
                await asyncio.sleep(0.01)
        assert time.monotonic() - began < 1
        fresh = bearer(token(iat=int(time.time()) + 2))
        assert (await queue.get("/jobs", headers=fresh)).status_code == 401
        assert "account_disabled" in await shop.reasons()


@dataclass(frozen=True)
class _Issuer:
    jwks_url: str


async def administrator(shop: Shop) -> Person:
    """Somebody who looks after the installation."""
    state = shop.auth.app.state
    email = f"{secrets.token_hex(6)}@example.org"
    account = NewAccount(
        email=email, name="Admin", password_hash=await state.passwords.hash(shop.owner.password),
        organisation_name="Operators", is_administrator=True,
    )  # fmt: skip
    async with state.database.unit_of_work() as session:
        await register(session, account, client=None)
    return Person(email, await shop.auth.log_in(email))

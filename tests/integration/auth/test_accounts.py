"""Registering, and who one is then."""

import pytest

from support.auth import PASSWORD, Auth, at_once, registration, running_auth
from support.servers import Database


class TestRegistering:
    async def test_makes_an_account_an_organisation_and_a_session(self, lone_auth: Auth) -> None:
        answer = await lone_auth.post("/auth/register", registration("Ada@Example.ORG"))
        assert answer.status_code == 201
        body = answer.json()
        assert body["user"]["email"] == "ada@example.org"
        assert body["user"]["is_administrator"] is False
        assert body["organisation"]["slug"] == "analytical-engines"

        me = await lone_auth.http.get("/auth/me", headers={"Authorization": f"Bearer {body['tokens']['access_token']}"})
        assert me.json() == {"user": body["user"], "organisation": body["organisation"], "role": "owner"}
        assert await lone_auth.events() == ["auth_registered", "auth_login_succeeded"]

    async def test_stores_neither_password_nor_refresh_token(self, lone_auth: Auth) -> None:
        ada = await lone_auth.register()
        tables = await lone_auth.fetch("SELECT table_name FROM information_schema.tables WHERE table_schema = 'auth'")
        rows = [row for (table,) in tables for row in await lone_auth.fetch(f'SELECT t::text FROM auth."{table}" t')]  # noqa: S608
        stored = "".join(str(row) for row in rows)
        assert "$argon2id$" in stored
        for secret in (PASSWORD, ada.tokens["refresh_token"], ada.tokens["access_token"]):
            assert secret not in stored

    async def test_the_same_address_only_once_also_at_the_same_time(self, lone_auth: Auth) -> None:
        spellings = iter([f"{'A' if i % 2 else 'a'}da@example.org" for i in range(50)])
        answers = await at_once(50, lambda: lone_auth.post("/auth/register", registration(next(spellings))))
        assert sorted(answer.status_code for answer in answers) == [201] + [409] * 49
        assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"email_taken"}
        assert await lone_auth.value('SELECT count(*) FROM auth."user"') == 1
        assert await lone_auth.value("SELECT count(*) FROM auth.organisation") == 1

    async def test_any_organisation_name_yields_a_slug_of_its_own(self, auth: Auth) -> None:
        names = ["Drück & Söhne", "drück söhne", "印刷", "!!!", "Drück & Söhne"]
        slugs = [(await auth.register(organisation_name=name)).organisation["slug"] for name in names]
        assert slugs[0] == "druck-sohne"
        assert slugs[2] == "organisation"
        assert len(set(slugs)) == len(slugs)

    @pytest.mark.parametrize(
        ("changed", "pointer"),
        [
            ({"email": "nobody"}, "/email"),
            ({"email": "a@b@c.org"}, "/email"),
            ({"email": f"{'a' * 250}@example.org"}, "/email"),
            ({"email": 7}, "/email"),
            ({"password": "too short"}, "/password"),
            ({"password": "x" * 201}, "/password"),
            ({"password": "Ada@Example.org"}, "/password"),
            ({"password": "Augusta Ada King", "name": "augusta ada king"}, "/password"),
            ({"name": ""}, "/name"),
            ({"name": "two\nlines"}, "/name"),
            ({"name": "nul\x00"}, "/name"),
            ({"organisation_name": "x" * 101}, "/organisation_name"),
            ({"is_administrator": True}, "/is_administrator"),
        ],
    )
    async def test_says_what_is_wrong_and_echoes_no_password(
        self, auth: Auth, changed: dict[str, object], pointer: str
    ) -> None:
        body = registration(**({"email": "ada@example.org"} | changed))
        answer = await auth.post("/auth/register", body)
        assert answer.status_code == 422, answer.text
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
        assert str(body["password"]) not in answer.text
        assert await auth.value('SELECT count(*) FROM auth."user" WHERE email = $1', "ada@example.org") == 0

    async def test_spaces_at_the_ends_belong_to_a_password(self, auth: Auth) -> None:
        ada = await auth.register(password=f"  {PASSWORD} ")
        await auth.log_in(ada.email, f"  {PASSWORD} ")
        refused = await auth.post("/auth/login", {"email": ada.email, "password": PASSWORD})
        assert refused.status_code == 401

    async def test_an_accent_may_be_composed_or_not(self, auth: Auth) -> None:
        ada = await auth.register(password="caf\u00e9 au lait")
        await auth.log_in(ada.email, "cafe\u0301 au lait")

    async def test_can_be_switched_off(self, database: Database) -> None:
        async with running_auth(database, registration_enabled=False) as auth:
            answer = await auth.post("/auth/register", registration("ada@example.org"))
            assert answer.status_code == 403
            assert answer.json()["code"] == "registration_disabled"

    async def test_is_limited_by_address(self, database: Database) -> None:
        async with running_auth(database, rate_limits_enabled=True, limit_register="2/hour") as auth:
            answers = [await auth.post("/auth/register", {}) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [422, 422, 429]
        assert int(answers[2].headers["Retry-After"]) > 0

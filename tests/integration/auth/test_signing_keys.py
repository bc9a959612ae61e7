"""Signing keys that are kept in the database: made once, rotated without a failed request, withdrawn at once."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from jose import jwt
from pydantic import SecretStr

from fluxprint_auth.app import create_app
from fluxprint_auth.commands import rotate_signing_key
from fluxprint_auth.commands.parser import make_parser
from fluxprint_auth.commands.running import CommandFailed
from fluxprint_auth.keyring import Unreadable
from fluxprint_auth.keys import service
from fluxprint_common.jwks import JwksClient
from fluxprint_common.permissions import Role
from fluxprint_common.principal import Principal, principal_of
from fluxprint_common.tokens import SigningKey
from fluxprint_queue.app import create_app as create_queue
from fluxprint_queue.settings import QueueSettings
from support.auth import Auth, Person, new_key_pem, registration, running_auth, settings_of
from support.servers import Database, execute
from support.serving import serving


async def principal(auth: Auth, person: Person) -> Principal:
    return principal_of(await auth.app.state.access_tokens.verify(person.tokens["access_token"]))


async def administrator(auth: Auth, *, authenticated_at: datetime | None = None) -> dict[str, str]:
    """The headers of an administrator of the installation."""
    person = await auth.register()
    who = await principal(auth, person)
    await auth.fetch("UPDATE auth.user SET is_administrator = true WHERE id = $1", who.subject)
    token = auth.app.state.issuer.for_session(
        who.subject,
        session_id=who.session_id,
        organisation_id=who.organisation_id,
        role=Role.OWNER,
        authenticated_at=authenticated_at or datetime.now(UTC),
        is_administrator=True,
    )
    return {"Authorization": f"Bearer {token.token}"}


async def published(auth: Auth) -> list[str]:
    return [key["kid"] for key in (await auth.http.get("/auth/jwks")).json()["keys"]]


def kid_of(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


@asynccontextmanager
async def keeping(database: Database, **settings: Any) -> AsyncIterator[Auth]:
    """The service with keys of its own making."""
    async with running_auth(database, signing_key=None, **settings) as auth:
        yield auth


class TestTheFirstKey:
    async def test_is_made_once_and_kept_encrypted(self, database: Database) -> None:
        async with keeping(database) as auth:
            kids = await published(auth)
            ada = await auth.register()
            assert kids == [kid_of(ada.tokens["access_token"])]
            row = (await auth.fetch("SELECT kid, private_key, published_until FROM auth.signing_key"))[0]
            assert (row["kid"], row["published_until"]) == (kids[0], None)
            assert b"PRIVATE KEY" not in row["private_key"]
            assert (await auth.events())[0] == "auth_signing_key_created"
        async with keeping(database) as again:
            assert await published(again) == kids
            assert (await again.http.get("/auth/me", headers=ada.headers)).status_code == 200

    async def test_is_one_for_two_that_start_at_once(self, database: Database) -> None:
        async with AsyncExitStack() as stack:
            replicas = await asyncio.gather(*(stack.enter_async_context(keeping(database)) for _ in range(4)))
            sets = [await published(auth) for auth in replicas]
            assert await replicas[0].value("SELECT count(*) FROM auth.signing_key") == 1
        assert len(sets[0]) == 1
        assert sets == [sets[0]] * 4

    async def test_is_not_made_where_one_is_supplied(self, lone_auth: Auth) -> None:
        assert len(await published(lone_auth)) == 1
        assert await lone_auth.value("SELECT count(*) FROM auth.signing_key") == 0

    async def test_waits_for_a_database_that_is_away_at_the_start(self, database: Database) -> None:
        url = database.url_for("auth")
        name = url.rpartition("/")[2]
        await execute(database.cluster.url(), f"ALTER DATABASE {name} RENAME TO {name}_away")
        try:
            async with running_auth(database, signing_key=None, signing_key_reload_s=0.1) as auth:
                answer = await auth.http.get("/auth/jwks")
                assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
                assert "Cache-Control" not in answer.headers or "max-age" not in answer.headers["Cache-Control"]
                await execute(database.cluster.url(), f"ALTER DATABASE {name}_away RENAME TO {name}")
                async with asyncio.timeout(20):
                    while (await auth.http.get("/auth/jwks")).status_code != 200:
                        await asyncio.sleep(0.05)
                await auth.register()
        except BaseException:
            await execute(database.cluster.url(), f"ALTER DATABASE {name}_away RENAME TO {name}")
            raise

    async def test_that_another_secret_encrypted_stops_the_start(self, database: Database) -> None:
        old, new = SecretStr(secrets.token_hex(32)), SecretStr(secrets.token_hex(32))
        async with keeping(database, secret=old) as auth:
            kids = await published(auth)
        with pytest.raises(Unreadable, match="AUTH_PREVIOUS_SECRET"):
            async with keeping(database, secret=new):
                pass
        async with keeping(database, secret=new, previous_secret=old) as auth:
            assert await published(auth) == kids

    async def test_cannot_be_planted_in_the_table(self, database: Database) -> None:
        async with keeping(database) as auth:
            kids = await published(auth)
            forged = new_key_pem()
            await auth.fetch(
                "INSERT INTO auth.signing_key (id, kid, private_key, signs_from) "
                "VALUES (gen_random_uuid(), $1, $2, now())",
                SigningKey(forged).kid,
                forged.encode(),
            )
            await auth.app.state.keys.load()
            assert await published(auth) == kids
            await auth.register()


class TestRotation:
    async def test_publishes_the_next_key_before_it_signs(self, database: Database) -> None:
        async with keeping(database) as auth:
            (old,) = await published(auth)
            headers = await administrator(auth)
            answer = await auth.post("/admin/signing-keys/rotate", {}, headers=headers)
            assert answer.status_code == 201, answer.text
            new = answer.json()["kid"]
            assert answer.json()["state"] == "next"
            await auth.app.state.keys.load()
            assert set(await published(auth)) == {old, new}
            assert kid_of((await auth.register()).tokens["access_token"]) == old
            await auth.fetch("UPDATE auth.signing_key SET signs_from = now() WHERE kid = $1", new)
            await auth.app.state.keys.load()
            assert kid_of((await auth.register()).tokens["access_token"]) == new
            listed = (await auth.http.get("/admin/signing-keys", headers=headers)).json()["items"]
            assert [(key["kid"], key["state"]) for key in listed] == [(old, "previous"), (new, "signing")]
            lives = await auth.value(
                "SELECT extract(epoch FROM old.published_until - new.signs_from) "
                "FROM auth.signing_key old, auth.signing_key new WHERE old.kid = $1 AND new.kid = $2",
                old,
                new,
            )
            assert lives >= 900

    async def test_is_one_at_a_time(self, database: Database) -> None:
        async with keeping(database) as auth:
            headers = await administrator(auth)
            answers = await asyncio.gather(
                *(auth.post("/admin/signing-keys/rotate", {}, headers=headers) for _ in range(5))
            )
            assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409, 409]
            codes = {answer.json()["code"] for answer in answers if answer.status_code == 409}
            assert codes == {"signing_key_rotation_underway"}

    async def test_at_once_ends_every_token_of_the_others(self, database: Database) -> None:
        async with keeping(database) as auth:
            ada = await auth.register()
            headers = await administrator(auth)
            await auth.post("/admin/signing-keys/rotate", {}, headers=headers)
            answer = await auth.post("/admin/signing-keys/rotate", {"at_once": True}, headers=headers)
            assert (answer.status_code, answer.json()["state"]) == (201, "signing")
            await auth.app.state.keys.load()
            assert await published(auth) == [answer.json()["kid"]]
            assert (await auth.http.get("/auth/me", headers=ada.headers)).status_code == 401
            ada.tokens = (await auth.refresh(ada.tokens["refresh_token"])).json()
            assert (await auth.http.get("/auth/me", headers=ada.headers)).status_code == 200
            events = await auth.events()
            assert (events.count("auth_signing_key_created"), events.count("auth_signing_key_retired")) == (3, 3)

    async def test_is_for_administrators_who_just_signed_in(self, database: Database) -> None:
        async with keeping(database) as auth:
            owner = await auth.register()
            stale = await administrator(auth, authenticated_at=datetime(2020, 1, 1, tzinfo=UTC))
            refused = await auth.post("/admin/signing-keys/rotate", {}, headers=owner.headers)
            assert refused.status_code == 403
            assert (await auth.http.get("/admin/signing-keys", headers=owner.headers)).status_code == 403
            again = await auth.post("/admin/signing-keys/rotate", {}, headers=stale)
            assert (again.status_code, again.json()["code"]) == (401, "reauthentication_required")

    async def test_of_a_supplied_key_is_refused(self, auth: Auth) -> None:
        answer = await auth.post("/admin/signing-keys/rotate", {}, headers=await administrator(auth))
        assert (answer.status_code, answer.json()["code"]) == (409, "signing_key_supplied")

    async def test_changes_from_a_supplied_key_to_kept_ones(self, database: Database) -> None:
        pem = SecretStr(new_key_pem())
        async with running_auth(database, signing_key=pem) as before:
            ada = await before.register()
            async with running_auth(database, signing_key=None, previous_signing_key=pem) as after:
                assert (await after.http.get("/auth/me", headers=ada.headers)).status_code == 200
                # The replica that still has the supplied key believes what the new one signs.
                bea = await after.register()
                assert (await before.http.get("/auth/me", headers=bea.headers)).status_code == 200


class TestTheCommand:
    async def run(self, database: Database, *arguments: str, **settings: Any) -> None:
        parsed = make_parser().parse_args(["rotate-signing-key", *arguments])
        await rotate_signing_key.run(parsed, settings_of(database.url_for("auth"), **settings))

    async def test_makes_the_next_key(self, database: Database, capsys: pytest.CaptureFixture[str]) -> None:
        async with keeping(database) as auth:
            (old,) = await published(auth)
            await self.run(database, signing_key=None)
            said = capsys.readouterr().out
            await auth.app.state.keys.load()
            (new,) = set(await published(auth)) - {old}
        assert f"\nkey {new} is published and signs from " in said

    async def test_withdraws_a_key_now(self, database: Database, capsys: pytest.CaptureFixture[str]) -> None:
        async with keeping(database) as auth:
            await self.run(database, "--now", signing_key=None)
            await auth.app.state.keys.load()
            (new,) = await published(auth)
        assert f"\nkey {new} signs from now on" in capsys.readouterr().out

    async def test_says_how_a_supplied_key_is_rotated(self, database: Database) -> None:
        with pytest.raises(CommandFailed, match="AUTH_PREVIOUS_SIGNING_KEY"):
            await self.run(database)


@asynccontextmanager
async def replicas_and_queue(
    database: Database, folder: Path, count: int, **settings: Any
) -> AsyncIterator[tuple[list[FastAPI], list[httpx.AsyncClient], httpx.AsyncClient]]:
    """So many auth services on one database, and a queue that fetches its keys from the first; behind real sockets."""
    async with AsyncExitStack() as stack:

        async def start(app: FastAPI) -> httpx.AsyncClient:
            url = await stack.enter_async_context(serving(app))
            return await stack.enter_async_context(httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=20))

        apps = [create_app(settings_of(database.url_for("auth"), **settings)) for _ in range(count)]
        replicas = [await start(app) for app in apps]
        auth_url = str(replicas[0].base_url).removesuffix("/api/v1/")
        queue = create_queue(
            QueueSettings(
                environment="test", database_url=database.url_for("queue"), rate_limits_enabled=False,
                jwks_url=f"{auth_url}/api/v1/auth/jwks", auth_url=auth_url, storage_dir=folder,
            )
        )  # fmt: skip
        yield apps, replicas, await start(queue)


@pytest.fixture
def hasty_verifiers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Services keep a set of keys for 1 s, and fetch it that often at most."""
    defaults = JwksClient.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "max_age_s", 1.0)
    monkeypatch.setitem(defaults, "cooldown_s", 1.0)


@pytest.mark.usefixtures("hasty_verifiers")
class TestOtherServices:
    async def test_refuse_the_tokens_of_a_withdrawn_key(self, database: Database, tmp_path: Path) -> None:
        settings = {"signing_key": None, "signing_key_reload_s": 0.2}
        async with replicas_and_queue(database, tmp_path, 1, **settings) as (apps, (auth,), queue):
            answer = await auth.post("/auth/register", json=registration("ada@example.org"))
            headers = {"Authorization": f"Bearer {answer.json()['tokens']['access_token']}"}
            assert (await queue.get("/jobs", headers=headers)).status_code == 200
            async with apps[0].state.database.unit_of_work() as session:
                await service.replace(session, apps[0].state.keyring)
            async with asyncio.timeout(10):
                while (await queue.get("/jobs", headers=headers)).status_code == 200:
                    await asyncio.sleep(0.05)
            refreshed = await auth.post(
                "/auth/refresh", json={"refresh_token": answer.json()["tokens"]["refresh_token"]}
            )
            headers = {"Authorization": f"Bearer {refreshed.json()['access_token']}"}
            async with asyncio.timeout(10):
                while (await queue.get("/jobs", headers=headers)).status_code != 200:
                    await asyncio.sleep(0.05)


@pytest.mark.usefixtures("hasty_verifiers")
class TestWithoutAFailedRequest:
    """Two auth replicas and a queue, asked all the time, while the key changes twice."""

    async def test_rotates(self, database: Database, tmp_path: Path) -> None:
        # The figures of production in small: a set of keys is kept 1 s, a key is known 3 s before it signs.
        quick = {"signing_key": None, "signing_key_lead_s": 3, "signing_key_reload_s": 0.5}
        async with replicas_and_queue(database, tmp_path, 2, **quick) as (apps, replicas, queue):
            asked = Asked(replicas, queue)
            await asked.sign_in()
            done = asyncio.Event()
            askers = [asyncio.create_task(asked.ask(number, done)) for number in range(4)]
            kids = {apps[0].state.keys.current().kid}
            for _ in range(2):
                old = apps[0].state.keys.current().kid
                await rotate_signing_key.run(
                    make_parser().parse_args(["rotate-signing-key"]), settings_of(database.url_for("auth"), **quick)
                )
                async with asyncio.timeout(20):
                    while any(app.state.keys.current().kid == old for app in apps):
                        await asyncio.sleep(0.05)
                kids.add(apps[0].state.keys.current().kid)
            async with asyncio.timeout(20):
                while len(asked.kids) < 3:
                    await asyncio.sleep(0.05)
            done.set()
            await asyncio.gather(*askers)
        assert asked.failures == []
        assert asked.kids == kids
        assert asked.answers > 100


class Asked:
    """People who refresh at either replica and use the new token at once at the other one and at the queue."""

    def __init__(self, replicas: list[httpx.AsyncClient], queue: httpx.AsyncClient) -> None:
        self._replicas = replicas
        self._queue = queue
        self._refresh: list[str] = []
        self.kids: set[str] = set()
        self.failures: list[str] = []
        self.answers = 0

    async def sign_in(self) -> None:
        for number in range(4):
            body = registration(f"p{number}@example.org", organisation_name=f"Organisation {number}")
            answer = await self._replicas[number % 2].post("/auth/register", json=body)
            assert answer.status_code == 201, answer.text
            self._refresh.append(answer.json()["tokens"]["refresh_token"])

    async def ask(self, number: int, done: asyncio.Event) -> None:
        turn = number
        while not done.is_set():
            turn += 1
            issuing, other = self._replicas[turn % 2], self._replicas[(turn + 1) % 2]
            answer = await issuing.post("/auth/refresh", json={"refresh_token": self._refresh[number]})
            self._note(answer)
            if answer.status_code != 200:
                return
            self._refresh[number] = answer.json()["refresh_token"]
            token = answer.json()["access_token"]
            self.kids.add(kid_of(token))
            headers = {"Authorization": f"Bearer {token}"}
            self._note(await self._queue.get("/jobs", headers=headers))
            self._note(await other.get("/auth/me", headers=headers))
            self._note(await issuing.get("/auth/jwks"))

    def _note(self, answer: httpx.Response) -> None:
        self.answers += 1
        if answer.status_code != 200:
            self.failures.append(f"{answer.request.url.path} {answer.status_code} {answer.text[:200]}")

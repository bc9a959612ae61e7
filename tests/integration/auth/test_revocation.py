"""What was ended at auth is refused by another service: with Redis at once, without it soon, and for good."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from fluxprint_auth.app import create_app
from fluxprint_auth.commands import running
from fluxprint_auth.housekeeping import tidy_up
from fluxprint_auth.revocations import service
from fluxprint_auth.sessions import repository as sessions
from fluxprint_auth.sessions.models import EndReason
from fluxprint_auth.sessions.service import Sessions
from fluxprint_common.ids import Prefixed, new_id
from fluxprint_common.principal import principal_of
from fluxprint_common.tokens import TokenVerifier
from support.auth import ORIGIN, Auth, Person, at_once, settings_of
from support.queue import eventually, queue_app
from support.servers import Database
from support.serving import serving
from support.switch import switched_redis
from support.tokens import Issuer

#: Longer than any of these tests waits: what is heard is heard over Redis.
NEVER_S = 30.0
ONCE_S = 15.0
LIST = f"{ORIGIN}/internal/revocations"


@dataclass
class Two:
    """The auth service and a queue service that knows of it what its settings say, both behind real sockets."""

    auth: Auth
    queue: httpx.AsyncClient
    stop_auth: AsyncExitStack

    async def status(self, person: Person) -> int:
        return (await self.queue.get("/api/v1/jobs", headers=person.headers)).status_code

    async def refused(self, person: Person, *, within_s: float) -> float:
        """Waits until the queue refuses the person's token; returns after how many seconds that was."""
        started = time.monotonic()

        async def is_refused() -> bool:
            return await self.status(person) == 401

        await eventually(is_refused, within_s=within_s)
        return time.monotonic() - started

    async def log_out(self, person: Person) -> None:
        answer = await self.auth.post("/auth/logout", headers=person.headers)
        assert answer.status_code == 204


@asynccontextmanager
async def two_services(database: Database, folder: Path, *, redis_url: str | None, poll_s: float) -> AsyncIterator[Two]:
    shared: dict[str, Any] = {"redis_url": redis_url, "revocation_poll_s": poll_s}
    app = create_app(settings_of(database.url_for("auth"), **shared))
    async with AsyncExitStack() as stop_auth, AsyncExitStack() as stack:
        auth_url = await stop_auth.enter_async_context(serving(app))
        auth_http = await stop_auth.enter_async_context(httpx.AsyncClient(base_url=f"{auth_url}/api/v1", timeout=30))
        keys = Issuer(jwks_url=f"{auth_url}/api/v1/auth/jwks")
        queue = queue_app(database, keys, auth_url, folder, **shared)
        queue_url = await stack.enter_async_context(serving(queue))
        queue_http = await stack.enter_async_context(httpx.AsyncClient(base_url=queue_url, timeout=30))
        owner = await stack.enter_async_context(database.as_owner())
        yield Two(Auth(app, auth_http, database, owner), queue_http, stop_auth)


@pytest.fixture
async def quick(database: Database, tmp_path: Path, redis_url: str) -> AsyncIterator[Two]:
    """With Redis, and without asking."""
    async with two_services(database, tmp_path, redis_url=redis_url, poll_s=NEVER_S) as two:
        yield two


@pytest.fixture
async def plain(database: Database, tmp_path: Path) -> AsyncIterator[Two]:
    """Without Redis."""
    async with two_services(database, tmp_path, redis_url=None, poll_s=0.2) as two:
        yield two


class TestWithRedis:
    async def test_a_sign_out_is_known_everywhere_within_a_second(self, quick: Two) -> None:
        """In the median: one of five may fall into a moment in which the machine stood still."""
        took_s = []
        for _ in range(5):
            ada = await quick.auth.register()
            assert await quick.status(ada) == 200
            await quick.log_out(ada)
            took_s.append(await quick.refused(ada, within_s=ONCE_S))
        assert median(took_s) < 1

    async def test_all_others_go_on(self, quick: Two) -> None:
        ada, bob = await quick.auth.register(), await quick.auth.register()
        second = Person(ada.email, await quick.auth.log_in(ada.email))
        await quick.log_out(ada)
        await quick.refused(ada, within_s=5)
        assert (await quick.status(bob), await quick.status(second)) == (200, 200)

    async def test_a_copied_refresh_token_ends_access_too(self, quick: Two) -> None:
        ada = await quick.auth.register()
        second = (await quick.auth.refresh(ada.tokens["refresh_token"])).json()
        await quick.auth.refresh(second["refresh_token"])
        assert (await quick.auth.refresh(ada.tokens["refresh_token"])).status_code == 401
        await quick.refused(Person(ada.email, second), within_s=ONCE_S)

    async def test_everything_of_a_person_ends_at_once(self, quick: Two) -> None:
        ada = await quick.auth.register()
        others = [Person(ada.email, await quick.auth.log_in(ada.email)) for _ in range(5)]
        await quick.auth.post("/auth/logout-all", headers=ada.headers)
        for person in (ada, *others):
            await quick.refused(person, within_s=ONCE_S)

    async def test_a_switch_ends_the_tokens_before_it_and_none_after_it(self, quick: Two) -> None:
        ada, bob = await quick.auth.register(), await quick.auth.register()
        await quick.auth.fetch(
            """INSERT INTO auth.membership (id, organisation_id, user_id, role)
            SELECT gen_random_uuid(), $1, id, 'viewer' FROM auth."user" WHERE email = $2""",
            Prefixed("org").parse(bob.organisation["id"]),
            ada.email,
        )
        body = {"organisation_id": bob.organisation["id"]}
        switched = await quick.auth.post("/auth/switch-organisation", body, headers=ada.headers)
        assert switched.status_code == 200, switched.text
        await quick.refused(ada, within_s=ONCE_S)
        assert await quick.status(Person(ada.email, switched.json())) == 200

    async def test_another_role_ends_the_tokens_with_the_old_one(self, quick: Two) -> None:
        """Also those of refreshes that are under way: whichever comes first, none speaks of the old role afterwards."""
        max_ = await quick.auth.add_member(await quick.auth.register(), "editor")
        user_id = await quick.auth.value("SELECT user_id FROM auth.membership WHERE role = 'editor'")

        async def demote() -> None:
            async with quick.auth.app.state.database.unit_of_work() as session:
                await set_role(session, "viewer")
                await Sessions.renew_access(session, user_id)

        refreshed, _ = await asyncio.gather(
            at_once(8, lambda: quick.auth.refresh(max_.tokens["refresh_token"])), demote()
        )
        assert {answer.status_code for answer in refreshed} == {200}
        await quick.refused(max_, within_s=ONCE_S)
        for answer in refreshed:
            headers = Person(max_.email, answer.json()).headers
            file = {"file": ("part.gcode", b"G28\n")}
            written = await quick.queue.post("/api/v1/files", headers=headers, files=file)
            assert written.status_code in (401, 403)

    async def test_a_token_that_is_made_meanwhile_is_not_forgotten(self, lone_auth: Auth) -> None:
        """A refresh has read the role, and signs a second later. The change of the role waits for it."""
        await lone_auth.register()
        state = lone_auth.app.state
        row = (await lone_auth.fetch("SELECT id, user_id FROM auth.session"))[0]

        async def renew() -> None:
            async with state.database.unit_of_work() as session:
                await Sessions.renew_access(session, row["user_id"])

        async with state.database.unit_of_work() as session:
            await sessions.lock(session, row["id"])
            renewing = asyncio.create_task(renew())
            await asyncio.wait({renewing}, timeout=1.2)
            access = await state.sessions.proved(session, row["id"], second_factor=False)
        await renewing
        made = principal_of(await TokenVerifier.verify(state.access_tokens, access.token))
        assert state.revocations.refuse(made.session_id, made.issued_at)

    async def test_the_command_line_is_heard_too(self, quick: Two, redis_url: str) -> None:
        ada = await quick.auth.register()
        user_id = await quick.auth.value('SELECT id FROM auth."user"')
        settings = settings_of(quick.auth.database.url_for("auth"), redis_url=redis_url)
        async with running.connected(settings, "test") as database, database.unit_of_work() as session:
            await Sessions.end_all(session, user_id, EndReason.ACCOUNT_DISABLED, client=None)
        await quick.refused(ada, within_s=ONCE_S)

    async def test_a_bridge_is_cut_off(self, quick: Two) -> None:
        ada = await quick.auth.register()
        made = (await quick.auth.post("/bridges", {"name": "Workshop"}, headers=ada.headers)).json()
        access = (await quick.auth.post("/auth/bridge-token", {"bridge_token": made["bridge_token"]})).json()
        bridge = Person("", access)
        url = f"ws{str(quick.queue.base_url).rstrip('/').removeprefix('http')}/api/v1/bridge/link"
        async with connect(url, additional_headers=bridge.headers, subprotocols=["fluxprint.bridge.v1"]) as link:  # type: ignore[list-item]
            await link.recv()
            await quick.auth.http.delete(f"/bridges/{made['bridge']['id']}", headers=ada.headers)
            with pytest.raises(ConnectionClosed) as closed:
                async with asyncio.timeout(ONCE_S):
                    await link.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4401
        answer = await quick.queue.get("/api/v1/bridge/printers", headers=bridge.headers)
        assert answer.status_code == 401

    async def test_an_open_event_stream_ends(self, quick: Two) -> None:
        ada = await quick.auth.register()
        async with quick.queue.stream("GET", "/api/v1/events/stream", headers=ada.headers) as stream:
            assert stream.status_code == 200
            lines = stream.aiter_lines()
            await anext(lines)
            await quick.log_out(ada)
            async with asyncio.timeout(ONCE_S):
                async for _line in lines:
                    pass


class TestWithoutRedis:
    async def test_it_is_found_by_asking(self, plain: Two) -> None:
        ada = await plain.auth.register()
        assert await plain.status(ada) == 200
        await plain.log_out(ada)
        assert await plain.refused(ada, within_s=10) < 3

    async def test_streams_end_too(self, plain: Two) -> None:
        ada = await plain.auth.register()
        async with plain.queue.stream("GET", "/api/v1/events/stream", headers=ada.headers) as stream:
            lines = stream.aiter_lines()
            await anext(lines)
            await plain.log_out(ada)
            async with asyncio.timeout(ONCE_S):
                async for _line in lines:
                    pass

    async def test_what_is_known_is_refused_while_auth_is_away(self, plain: Two) -> None:
        ada, bob = await plain.auth.register(), await plain.auth.register()
        await plain.log_out(ada)
        await plain.refused(ada, within_s=10)
        await plain.stop_auth.aclose()
        await asyncio.sleep(0.5)  # some questions go unanswered
        assert (await plain.status(ada), await plain.status(bob)) == (401, 200)

    async def test_a_service_that_starts_later_knows_what_was_before(
        self, plain: Two, tmp_path: Path, database: Database
    ) -> None:
        ada = await plain.auth.register()
        await plain.log_out(ada)
        keys = Issuer(jwks_url=str(plain.auth.http.base_url.join("/api/v1/auth/jwks")))
        app = queue_app(database, keys, "http://127.0.0.1:1", tmp_path, revocation_poll_s=NEVER_S)
        async with serving(app) as url, httpx.AsyncClient(base_url=url) as http:
            await Two(plain.auth, http, AsyncExitStack()).refused(ada, within_s=ONCE_S)


class TestRedisStopped:
    async def test_and_started_again_nothing_is_missed(self, database: Database, tmp_path: Path) -> None:
        async with (
            switched_redis(tmp_path) as redis,
            two_services(database, tmp_path, redis_url=redis.url, poll_s=NEVER_S) as two,
        ):
            ada, bob = await two.auth.register(), await two.auth.register()
            assert await two.status(ada) == 200
            await redis.off()
            await two.log_out(ada)
            assert await two.status(ada) == 200  # nobody could tell, and nobody asked yet
            await redis.on()
            await two.refused(ada, within_s=15)  # asked at once when Redis was back
            await two.log_out(bob)
            await two.refused(bob, within_s=15)

    async def test_asking_makes_up_for_it(self, database: Database, tmp_path: Path) -> None:
        async with (
            switched_redis(tmp_path) as redis,
            two_services(database, tmp_path, redis_url=redis.url, poll_s=0.5) as two,
        ):
            ada, bob = await two.auth.register(), await two.auth.register()
            await two.log_out(ada)
            await two.refused(ada, within_s=ONCE_S)
            await redis.off()
            await two.log_out(bob)
            assert await two.refused(bob, within_s=30) < 5
            assert await two.status(ada) == 401


class TestTheList:
    async def read(self, auth: Auth, after: int = 0) -> dict[str, Any]:
        answer = await auth.http.get(LIST, params={"after": after})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def test_comes_in_pages(self, lone_auth: Auth, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(service, "LIMIT", 3)
        sids = [new_id() for _ in range(7)]
        async with lone_auth.app.state.database.unit_of_work() as session:
            await service.revoke_all(session, sids)
        seen, after, more = [], 0, True
        while more:
            page = await self.read(lone_auth, after)
            seen += [item["sid"] for item in page["revocations"]]
            after, more = page["after"], page["more"]
        assert seen == [sid.hex for sid in sids]
        assert after == 0  # younger than any transaction may be: all of it is told again

    async def test_does_not_go_past_what_may_still_come(self, lone_auth: Auth) -> None:
        """Somebody's transaction is slow: its row has a smaller number than one that was seen already."""
        database = lone_auth.app.state.database
        slow, quick_one = new_id(), new_id()
        async with database.unit_of_work() as session:
            await service.revoke(session, slow)
            async with database.unit_of_work() as other:
                await service.revoke(other, quick_one)
            page = await self.read(lone_auth)
            assert [item["sid"] for item in page["revocations"]] == [quick_one.hex]
        page = await self.read(lone_auth, page["after"])
        assert slow.hex in [item["sid"] for item in page["revocations"]]

    async def test_moves_on_once_nothing_can_come(self, lone_auth: Auth) -> None:
        async with lone_auth.app.state.database.unit_of_work() as session:
            await service.revoke(session, new_id())
        await lone_auth.fetch("UPDATE auth.revocation SET created_at = now() - interval '3 min'")
        page = await self.read(lone_auth)
        assert page["after"] == await lone_auth.value("SELECT max(id) FROM auth.revocation")
        assert (await self.read(lone_auth, page["after"]))["revocations"] == []

    async def test_holds_what_no_token_outlives_and_no_longer(self, lone_auth: Auth) -> None:
        async with lone_auth.app.state.database.unit_of_work() as session:
            await service.revoke(session, new_id())
        lives = await lone_auth.value("SELECT extract(epoch FROM expires_at - now()) FROM auth.revocation")
        assert 3600 <= lives <= 3700
        await lone_auth.fetch("UPDATE auth.revocation SET expires_at = now()")
        assert (await self.read(lone_auth))["revocations"] == []
        await tidy_up(lone_auth.app.state.database, throttles_kept=timedelta(hours=1))
        assert await lone_auth.value("SELECT count(*) FROM auth.revocation") == 0

    async def test_refuses_a_position_that_is_none(self, lone_auth: Auth) -> None:
        for after in ("-1", "x", str(2**63)):
            assert (await lone_auth.http.get(LIST, params={"after": after})).status_code == 422

    async def test_nothing_is_told_of_what_was_rolled_back(self, lone_auth: Auth) -> None:
        sid = new_id()

        async def fail() -> None:
            async with lone_auth.app.state.database.unit_of_work() as session:
                await service.revoke(session, sid)
                raise RuntimeError

        with pytest.raises(RuntimeError):
            await fail()
        assert not lone_auth.app.state.revocations.refuse(sid, datetime.now(UTC))


async def set_role(session: AsyncSession, role: str) -> None:
    """Another role for the one editor."""
    await session.execute(text("UPDATE auth.membership SET role = :role WHERE role = 'editor'"), {"role": role})

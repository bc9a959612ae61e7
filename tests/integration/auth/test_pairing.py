"""Bridges that are let in by a code."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from fluxprint_auth.housekeeping import tidy_up
from fluxprint_auth.pairings import codes, service
from fluxprint_common.permissions import Role
from fluxprint_common.principal import principal_of
from support.auth import Auth, Person, running_auth
from support.servers import Database

Json = dict[str, Any]


async def started(auth: Auth) -> Json:
    """A bridge that begins."""
    answer = await auth.post("/auth/bridge-pairings", headers={"User-Agent": "fluxprint-bridge/1.0 (octopi)"})
    assert answer.status_code == 201, answer.text
    pairing: Json = answer.json()
    return pairing


async def poll(auth: Auth, pairing: Json) -> httpx.Response:
    return await auth.post("/auth/bridge-pairings/token", {"device_code": pairing["device_code"]})


async def code_of(auth: Auth, pairing: Json) -> str:
    """The problem that a poll meets."""
    answer = await poll(auth, pairing)
    assert answer.status_code == 400, answer.text
    return str(answer.json()["code"])


async def approve(auth: Auth, person: Person, pairing: Json, name: str = "Workshop") -> httpx.Response:
    return await auth.post(f"/bridges/pairings/{pairing['user_code']}/approve", {"name": name}, headers=person.headers)


async def deny(auth: Auth, person: Person, pairing: Json) -> httpx.Response:
    return await auth.post(f"/bridges/pairings/{pairing['user_code']}/deny", headers=person.headers)


async def look(auth: Auth, person: Person, code: str) -> httpx.Response:
    return await auth.http.get(f"/bridges/pairings/{code}", headers=person.headers)


async def tried(auth: Auth, person: Person, pairing: Json) -> list[httpx.Response]:
    """The answers to everything that a person may do with a code."""
    looked = await look(auth, person, pairing["user_code"])
    return [looked, await approve(auth, person, pairing), await deny(auth, person, pairing)]


async def later(auth: Auth, pairing: Json, seconds: float) -> None:
    """Let so much time pass for a pairing."""
    await auth.fetch(
        "UPDATE auth.bridge_pairing SET expires_at = expires_at - $2::interval, "
        "polled_at = polled_at - $2::interval, created_at = created_at - $2::interval WHERE user_code = $1",
        codes.read(pairing["user_code"]),
        timedelta(seconds=seconds),
    )


class TestPairing:
    async def test_ends_with_a_bridge_that_works(self, auth: Auth) -> None:
        ada = await auth.register()
        pairing = await started(auth)
        assert pairing["verification_url"] == "http://127.0.0.1:8080/pair"
        assert (pairing["expires_in_s"], pairing["interval_s"]) == (600, 5)
        assert await code_of(auth, pairing) == "authorization_pending"

        shown = (await look(auth, ada, pairing["user_code"])).json()
        assert (shown["state"], shown["agent"]) == ("pending", "fluxprint-bridge/1.0 (octopi)")
        assert (shown["address"], shown["same_network"], shown["bridge_id"]) == ("127.0.0.1", True, None)
        approved = await approve(auth, ada, pairing)
        assert approved.status_code == 201, approved.text
        bridge = approved.json()
        assert (await look(auth, ada, pairing["user_code"])).json()["state"] == "approved"

        fetched = await poll(auth, pairing)
        assert fetched.status_code == 200, fetched.text
        assert fetched.headers["Cache-Control"] == "no-store"
        assert fetched.json() | {"bridge_token": ""} == {
            "bridge_id": bridge["id"], "name": "Workshop", "bridge_token": "",
        }  # fmt: skip
        assert (await look(auth, ada, pairing["user_code"])).json()["state"] == "connected"
        exchanged = await auth.post("/auth/bridge-token", {"bridge_token": fetched.json()["bridge_token"]})
        who = principal_of(await auth.app.state.access_tokens.verify(exchanged.json()["access_token"]))
        assert f"bridge_{who.subject.hex}" == bridge["id"]
        assert (who.role, f"org_{who.organisation_id.hex}") == (Role.BRIDGE, ada.organisation["id"])

    async def test_gives_a_lost_token_again_until_it_is_used(self, auth: Auth) -> None:
        ada = await auth.register()
        pairing = await started(auth)
        await approve(auth, ada, pairing)
        answers = await asyncio.gather(*(poll(auth, pairing) for _ in range(10)))
        assert {answer.status_code for answer in answers} == {200}
        tokens = {answer.json()["bridge_token"] for answer in answers}
        assert len(tokens) == 1
        await auth.post("/auth/bridge-token", {"bridge_token": tokens.pop()})
        assert await code_of(auth, pairing) == "expired_token"

    async def test_gives_it_again_for_a_short_time_only(self, auth: Auth) -> None:
        ada = await auth.register()
        pairing = await started(auth)
        await approve(auth, ada, pairing)
        assert (await poll(auth, pairing)).status_code == 200
        await later(auth, pairing, 301)
        assert await code_of(auth, pairing) == "expired_token"

    async def test_keeps_no_secret_readable(self, lone_auth: Auth) -> None:
        ada = await lone_auth.register()
        pairing = await started(lone_auth)
        await approve(lone_auth, ada, pairing)
        token = (await poll(lone_auth, pairing)).json()["bridge_token"]
        rows = str(await lone_auth.fetch("SELECT p::text, b::text FROM auth.bridge_pairing p, auth.bridge b"))
        assert pairing["device_code"] not in rows
        assert token not in rows

    async def test_may_be_typed_as_people_type(self, auth: Auth) -> None:
        ada = await auth.register()
        code = (await started(auth))["user_code"]
        assert set(code) <= set(codes.ALPHABET) | {"-"}
        for typed in (code, code.lower(), code.replace("-", ""), code.replace("-", " ")):
            assert (await look(auth, ada, typed)).json()["user_code"] == code

    async def test_is_recorded_with_where_it_was_asked_for(self, lone_auth: Auth) -> None:
        ada = await lone_auth.register()
        pairing = await started(lone_auth)
        await approve(lone_auth, ada, pairing)
        await deny(lone_auth, ada, await started(lone_auth))
        rows = await lone_auth.fetch(
            "SELECT type, data->>'asked_by' AS asked_by FROM auth.security_events "
            "WHERE type LIKE 'auth_bridge%' ORDER BY id"
        )
        assert [row["type"] for row in rows] == [
            "auth_bridge_created", "auth_bridge_pairing_approved", "auth_bridge_pairing_denied",
        ]  # fmt: skip
        assert {row["asked_by"] for row in rows} == {"fluxprint-bridge/1.0 (octopi)"}


class TestWaiting:
    async def test_too_often_is_told_to_slow_down(self, auth: Auth) -> None:
        pairing = await started(auth)
        assert await code_of(auth, pairing) == "authorization_pending"
        hasty = await poll(auth, pairing)
        assert (hasty.json()["code"], hasty.headers["Retry-After"]) == ("slow_down", "10")
        await later(auth, pairing, 6)
        assert await code_of(auth, pairing) == "slow_down"
        await later(auth, pairing, 15)
        assert await code_of(auth, pairing) == "authorization_pending"

    async def test_ends_when_a_person_refuses(self, auth: Auth) -> None:
        ada = await auth.register()
        pairing = await started(auth)
        assert (await deny(auth, ada, pairing)).status_code == 204
        assert await code_of(auth, pairing) == "access_denied"

    async def test_ends_after_ten_minutes(self, auth: Auth) -> None:
        ada = await auth.register()
        pairing = await started(auth)
        await later(auth, pairing, 601)
        assert await code_of(auth, pairing) == "expired_token"
        assert (await look(auth, ada, pairing["user_code"])).status_code == 404
        assert (await approve(auth, ada, pairing)).status_code == 404

    async def test_is_for_who_has_the_device_code(self, auth: Auth) -> None:
        for nonsense in ("", "fxp_", "fxp_" + "0" * 49, "x" * 200):
            assert await code_of(auth, {"device_code": nonsense}) == "expired_token"

    async def test_approved_late_can_still_be_fetched(self, auth: Auth) -> None:
        ada = await auth.register()
        pairing = await started(auth)
        await later(auth, pairing, 595)
        await approve(auth, ada, pairing)
        await later(auth, pairing, 60)
        assert (await poll(auth, pairing)).status_code == 200

    async def test_is_bounded_in_number(self, lone_auth: Auth, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(service, "MAX_WAITING", 5)
        answers = await asyncio.gather(*(lone_auth.post("/auth/bridge-pairings") for _ in range(12)))
        assert sorted(answer.status_code for answer in answers) == [201] * 5 + [503] * 7
        full = next(answer for answer in answers if answer.status_code == 503)
        assert (full.json()["code"], full.headers["Retry-After"]) == ("too_many_pairings", "60")
        await lone_auth.fetch("UPDATE auth.bridge_pairing SET expires_at = now()")
        await started(lone_auth)

    async def test_never_shares_a_code(self, lone_auth: Auth, monkeypatch: pytest.MonkeyPatch) -> None:
        few = iter(["BBBBBBBB", "BBBBBBBB", "BBBBBBBB", "CCCCCCCC"])
        monkeypatch.setattr(codes, "new_code", lambda: next(few))
        assert [(await started(lone_auth))["user_code"] for _ in range(2)] == ["BBBB-BBBB", "CCCC-CCCC"]


class TestDeciding:
    async def test_at_once_has_one_winner(self, auth: Auth) -> None:
        ada = await auth.register()
        for _ in range(5):
            pairing = await started(auth)
            name = pairing["user_code"]
            answers = await asyncio.gather(
                *(approve(auth, ada, pairing, name) for _ in range(4)), *(deny(auth, ada, pairing) for _ in range(4))
            )
            assert sorted(answer.status_code for answer in answers)[1:] == [409] * 7
            assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"pairing_decided"}
            state = await auth.value("SELECT state FROM auth.bridge_pairing WHERE user_code = $1", codes.read(name))
            bridges = await auth.value("SELECT count(*) FROM auth.bridge WHERE name = $1", name)
            assert (state, bridges) in {("approved", 1), ("denied", 0)}

    async def test_in_two_organisations_at_once_has_one_winner(self, auth: Auth) -> None:
        ada, eve = await auth.register(), await auth.register()
        pairing = await started(auth)
        answers = await asyncio.gather(approve(auth, ada, pairing), approve(auth, eve, pairing))
        assert sorted(answer.status_code for answer in answers) == [201, 404]

    async def test_by_one_organisation_hides_it_from_the_others(self, auth: Auth) -> None:
        ada, eve = await auth.register(), await auth.register()
        pairing = await started(auth)
        assert (await look(auth, eve, pairing["user_code"])).status_code == 200
        await approve(auth, ada, pairing)
        assert [answer.status_code for answer in await tried(auth, eve, pairing)] == [404, 404, 404]

    async def test_is_for_those_who_manage_bridges_and_just_signed_in(self, auth: Auth) -> None:
        ada = await auth.register()
        pairing = await started(auth)
        viewer = await auth.add_member(ada, "viewer")
        assert (await look(auth, viewer, pairing["user_code"])).status_code == 403
        assert (await approve(auth, viewer, pairing)).status_code == 403
        who = principal_of(await auth.app.state.access_tokens.verify(ada.tokens["access_token"]))
        stale = auth.app.state.issuer.for_session(
            who.subject, session_id=who.session_id, organisation_id=who.organisation_id, role=Role.OWNER,
            authenticated_at=datetime.now(UTC) - timedelta(minutes=11), is_administrator=False,
        )  # fmt: skip
        ada.tokens["access_token"] = stale.token
        for answer in await tried(auth, ada, pairing):
            assert (answer.status_code, answer.json()["code"]) == (401, "reauthentication_required")

    async def test_needs_a_name_that_is_free(self, auth: Auth) -> None:
        ada = await auth.register()
        await auth.post("/bridges", {"name": "Workshop"}, headers=ada.headers)
        pairing = await started(auth)
        taken = await approve(auth, ada, pairing)
        assert (taken.status_code, taken.json()["code"]) == (409, "bridge_name_taken")
        assert (await approve(auth, ada, pairing, "Attic")).status_code == 201

    async def test_is_undone_by_revoking_the_bridge(self, auth: Auth) -> None:
        ada = await auth.register()
        pairing = await started(auth)
        bridge = (await approve(auth, ada, pairing)).json()
        assert (await auth.http.delete(f"/bridges/{bridge['id']}", headers=ada.headers)).status_code == 204
        assert await code_of(auth, pairing) == "access_denied"

    @pytest.mark.parametrize("by", ["approval", "housekeeping"])
    async def test_frees_the_name_of_one_that_never_came(self, lone_auth: Auth, by: str) -> None:
        ada = await lone_auth.register()
        lost = await started(lone_auth)
        await approve(lone_auth, ada, lost)
        await later(lone_auth, lost, 10_000)
        if by == "housekeeping":
            await tidy_up(lone_auth.app.state.database, throttles_kept=timedelta(hours=1))
            assert (await lone_auth.events())[-1] == "auth_bridge_revoked"
        assert (await approve(lone_auth, ada, await started(lone_auth))).status_code == 201
        assert await code_of(lone_auth, lost) == "expired_token"

    async def test_leaves_nothing_behind(self, lone_auth: Auth) -> None:
        ada = await lone_auth.register()
        pairing = await started(lone_auth)
        await approve(lone_auth, ada, pairing)
        await poll(lone_auth, pairing)
        await lone_auth.fetch("UPDATE auth.bridge_pairing SET expires_at = now() - interval '25 hours'")
        await tidy_up(lone_auth.app.state.database, throttles_kept=timedelta(hours=1))
        assert await lone_auth.value("SELECT count(*) FROM auth.bridge_pairing") == 0
        assert len((await lone_auth.http.get("/bridges", headers=ada.headers)).json()["items"]) == 1


class TestLimits:
    """Without Redis, as all of these tests run."""

    async def test_of_codes_that_are_typed(self, database: Database) -> None:
        async with running_auth(database, rate_limits_enabled=True, limit_pairing_codes="3/minute") as auth:
            ada = await auth.register()
            statuses = [(await look(auth, ada, "BCDF-GHJK")).status_code for _ in range(3)]
            statuses += [(await approve(auth, ada, {"user_code": "BCDF-GHJK"})).status_code]
            assert statuses == [404, 404, 404, 429]
            refused = await deny(auth, await auth.register(), {"user_code": "BCDF-GHJK"})  # from the same address
            assert refused.status_code == 429
            assert refused.headers["Retry-After"]

    async def test_of_bridges_that_begin_and_ask(self, database: Database) -> None:
        limits = {"limit_pairings": "2/minute", "limit_pairing_polls": "2/minute"}
        async with running_auth(database, rate_limits_enabled=True, **limits) as auth:
            begun = [(await auth.post("/auth/bridge-pairings")).status_code for _ in range(3)]
            asked = [(await poll(auth, {"device_code": "x"})).status_code for _ in range(3)]
        assert (begun, asked) == ([201, 201, 429], [400, 400, 429])

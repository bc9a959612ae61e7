"""Sessions: refreshed, copied, ended."""

import asyncio
import time

import httpx

from fluxprint_common.ids import Prefixed, new_id, show
from fluxprint_common.jwks import JwksClient
from fluxprint_common.principal import ACCESS_TOKEN_CLAIMS, MAX_ACCESS_TOKEN_S, principal_of
from fluxprint_common.tokens import SigningKey, TokenVerifier
from support.auth import Auth, Person, at_once, new_key_pem, running_auth
from support.servers import Database

LATER = "UPDATE auth.refresh_token SET rotated_at = rotated_at - interval '11 s' WHERE rotated_at IS NOT NULL"


class TestRefreshing:
    async def test_rotates_the_token(self, auth: Auth) -> None:
        ada = await auth.register()
        answer = await auth.refresh(ada.tokens["refresh_token"])
        assert answer.status_code == 200
        assert answer.json()["refresh_token"] != ada.tokens["refresh_token"]
        again = await auth.refresh(answer.json()["refresh_token"])
        assert again.status_code == 200

    async def test_with_one_token_fifty_times_at_once_leaves_one_family_alive(self, lone_auth: Auth) -> None:
        ada = await lone_auth.register()
        answers = await at_once(50, lambda: lone_auth.refresh(ada.tokens["refresh_token"]))
        assert {answer.status_code for answer in answers} == {200}
        successors = {answer.json()["refresh_token"] for answer in answers}
        assert len(successors) == 1

        assert await lone_auth.value("SELECT count(*) FROM auth.session WHERE ended_at IS NULL") == 1
        assert await lone_auth.value("SELECT count(*) FROM auth.refresh_token WHERE rotated_at IS NULL") == 1
        assert (await lone_auth.refresh(successors.pop())).status_code == 200

    async def test_the_token_before_gets_the_current_one_within_the_grace(self, auth: Auth) -> None:
        ada = await auth.register()
        first_tab = await auth.refresh(ada.tokens["refresh_token"])
        second_tab = await auth.refresh(ada.tokens["refresh_token"])
        assert second_tab.json()["refresh_token"] == first_tab.json()["refresh_token"]

    async def test_the_token_before_ends_the_session_after_the_grace(self, lone_auth: Auth) -> None:
        ada = await lone_auth.register()
        current = (await lone_auth.refresh(ada.tokens["refresh_token"])).json()["refresh_token"]
        await lone_auth.fetch(LATER)
        reused = await lone_auth.refresh(ada.tokens["refresh_token"])
        assert (reused.status_code, reused.json()["code"]) == (401, "refresh_token_reused")
        # What the failure did has outlived its 401.
        assert await lone_auth.value("SELECT end_reason FROM auth.session") == "token_reused"
        assert (await lone_auth.events())[-1] == "auth_refresh_reused"
        assert (await lone_auth.refresh(current)).json()["code"] == "refresh_token_invalid"
        assert (await lone_auth.http.get("/auth/me", headers=ada.headers)).status_code == 401

    async def test_an_older_token_ends_the_session_at_once(self, auth: Auth) -> None:
        ada = await auth.register()
        second = (await auth.refresh(ada.tokens["refresh_token"])).json()["refresh_token"]
        third = (await auth.refresh(second)).json()["refresh_token"]
        assert (await auth.refresh(ada.tokens["refresh_token"])).json()["code"] == "refresh_token_reused"
        assert (await auth.refresh(third)).status_code == 401

    async def test_a_copied_token_ends_one_session_only(self, lone_auth: Auth) -> None:
        ada = await lone_auth.register()
        other = await lone_auth.log_in(ada.email)
        await lone_auth.refresh(ada.tokens["refresh_token"])
        await lone_auth.fetch(LATER)
        await lone_auth.refresh(ada.tokens["refresh_token"])
        assert (await lone_auth.refresh(other["refresh_token"])).status_code == 200

    async def test_slides_up_to_the_end_of_the_session(self, lone_auth: Auth) -> None:
        ada = await lone_auth.register()
        await lone_auth.fetch("UPDATE auth.session SET expires_at = now() + interval '1 h'")
        answer = await lone_auth.refresh(ada.tokens["refresh_token"])
        assert 3500 < answer.json()["refresh_expires_in_s"] <= 3600

    async def test_expired_tokens_and_sessions_are_refused(self, lone_auth: Auth) -> None:
        for expired in ("refresh_token", "session"):
            ada = await lone_auth.register()
            await lone_auth.fetch(f"UPDATE auth.{expired} SET expires_at = now()")  # noqa: S608
            answer = await lone_auth.refresh(ada.tokens["refresh_token"])
            assert (answer.status_code, answer.json()["code"]) == (401, "refresh_token_invalid")

    async def test_refuses_what_is_no_refresh_token(self, auth: Auth) -> None:
        ada = await auth.register()
        genuine = ada.tokens["refresh_token"]
        for token in ("", "x", genuine[:-1], genuine + "0", genuine.swapcase(), "fxb" + genuine[3:], "fxr_" + "0" * 49):
            answer = await auth.refresh(token)
            assert (answer.status_code, answer.json()["code"]) == (401, "refresh_token_invalid"), token
        assert (await auth.refresh("x" * 201)).status_code == 422

    async def test_shows_a_changed_role(self, lone_auth: Auth) -> None:
        max_ = await lone_auth.add_member(await lone_auth.register(), "editor")
        await lone_auth.fetch("UPDATE auth.membership SET role = 'viewer' WHERE role = 'editor'")
        # A token with the role that one had is no longer believed here ...
        assert (await lone_auth.http.get("/auth/me", headers=max_.headers)).status_code == 401
        # ... and the next one has the new role.
        max_.tokens = (await lone_auth.refresh(max_.tokens["refresh_token"])).json()
        assert (await lone_auth.http.get("/auth/me", headers=max_.headers)).json()["role"] == "viewer"

    async def test_ends_with_the_membership(self, lone_auth: Auth) -> None:
        max_ = await lone_auth.add_member(await lone_auth.register(), "editor")
        await lone_auth.fetch("DELETE FROM auth.membership WHERE role = 'editor'")
        answer = await lone_auth.refresh(max_.tokens["refresh_token"])
        assert (answer.status_code, answer.json()["code"]) == (401, "membership_ended")
        ended = "SELECT end_reason FROM auth.session WHERE ended_at IS NOT NULL"
        assert await lone_auth.value(ended) == "membership_ended"
        login = await lone_auth.post("/auth/login", {"email": max_.email, "password": max_.password})
        assert (login.status_code, login.json()["code"]) == (403, "no_organisation")


class TestFingerprint:
    """What is typical of a client: audited when it changes, refused where that is set."""

    FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:{0}) Gecko/20100101 Firefox/{0}"
    CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"

    async def sign_in(self, auth: Auth, **headers: str) -> str:
        ada = await auth.register()
        body = {"email": ada.email, "password": ada.password}
        answer = await auth.post("/auth/login", body, headers=headers)
        return str(answer.json()["refresh_token"])

    async def refresh(self, auth: Auth, token: str, **headers: str) -> httpx.Response:
        return await auth.post("/auth/refresh", {"refresh_token": token}, headers=headers)

    async def test_stays_with_updates_and_further_languages(self, lone_auth: Auth) -> None:
        headers = {"User-Agent": self.FIREFOX.format("142.0"), "Accept-Language": "de-CH,de;q=0.9"}
        token = await self.sign_in(lone_auth, **headers)
        headers = {"User-Agent": self.FIREFOX.format("150.1"), "Accept-Language": "de,en;q=0.7"}
        assert (await self.refresh(lone_auth, token, **headers)).status_code == 200
        assert "auth_fingerprint_changed" not in await lone_auth.events()

    async def test_shows_neither_agent_nor_address(self, lone_auth: Auth) -> None:
        await self.sign_in(lone_auth, **{"User-Agent": self.CHROME})
        first, second = [row["fingerprint"] for row in await lone_auth.fetch("SELECT fingerprint FROM auth.session")]
        assert len(first) == len(second) == 32
        assert first != second
        for telling in (b"Chrome", b"127.0.0.1"):
            assert telling not in second

    async def test_a_change_is_recorded_once(self, lone_auth: Auth) -> None:
        token = await self.sign_in(lone_auth, **{"User-Agent": self.FIREFOX.format("142.0")})
        for _ in range(2):
            answer = await self.refresh(lone_auth, token, **{"User-Agent": self.CHROME})
            assert answer.status_code == 200
            token = answer.json()["refresh_token"]
        (event,) = await lone_auth.fetch("SELECT * FROM auth.security_events WHERE type = 'auth_fingerprint_changed'")
        assert event["data"] == '{"after": "Chrome on Linux", "before": "Firefox on Linux"}'
        assert event["outcome"] == "success"
        assert await lone_auth.value("SELECT device FROM auth.session ORDER BY id DESC LIMIT 1") == "Chrome on Linux"

    async def test_a_change_ends_the_session_where_that_is_set(self, database: Database) -> None:
        async with running_auth(database, fingerprint_change="refuse") as auth:
            token = await self.sign_in(auth, **{"User-Agent": "mine/1.0"})
            answer = await self.refresh(auth, token, **{"User-Agent": "thiefs/1.0"})
            assert (answer.status_code, answer.json()["code"]) == (401, "fingerprint_changed")
            # What the refusal did has outlived it.
            assert (await self.refresh(auth, token, **{"User-Agent": "mine/1.0"})).status_code == 401
            reasons = "SELECT end_reason FROM auth.session WHERE ended_at IS NOT NULL"
            assert await auth.value(reasons) == "fingerprint_changed"
            event = (await auth.fetch("SELECT * FROM auth.security_events ORDER BY id DESC LIMIT 1"))[0]
            assert (event["type"], event["outcome"]) == ("auth_fingerprint_changed", "failure")

    async def test_holds_while_the_secret_is_replaced(self, database: Database) -> None:
        agent = {"User-Agent": "mine/1.0"}
        async with running_auth(database, secret="a" * 40) as auth:
            token = await self.sign_in(auth, **agent)
        settings = {"secret": "b" * 40, "previous_secret": "a" * 40, "fingerprint_change": "refuse"}
        async with running_auth(database, **settings) as auth:
            answer = await self.refresh(auth, token, **agent)
            assert answer.status_code == 200
        settings = {"secret": "b" * 40, "fingerprint_change": "refuse"}
        async with running_auth(database, **settings) as auth:
            assert (await self.refresh(auth, answer.json()["refresh_token"], **agent)).status_code == 200


class TestSwitching:
    async def join(self, auth: Auth, person: Person, owner: Person, role: str = "viewer") -> None:
        """Make somebody a member of a second organisation."""
        await auth.fetch(
            """INSERT INTO auth.membership (id, organisation_id, user_id, role)
            SELECT gen_random_uuid(), $1, id, $3 FROM auth."user" WHERE email = $2""",
            Prefixed("org").parse(owner.organisation["id"]),
            person.email,
            role,
        )

    async def switch(self, auth: Auth, person: Person, organisation: object) -> httpx.Response:
        return await auth.post("/auth/switch-organisation", {"organisation_id": organisation}, headers=person.headers)

    async def test_gives_a_token_for_the_other_organisation(self, lone_auth: Auth) -> None:
        ada, bob = await lone_auth.register(), await lone_auth.register()
        await self.join(lone_auth, ada, bob)
        answer = await self.switch(lone_auth, ada, bob.organisation["id"])
        assert answer.status_code == 200, answer.text
        old, ada.tokens["access_token"] = ada.headers, answer.json()["access_token"]
        me = (await lone_auth.http.get("/auth/me", headers=ada.headers)).json()
        assert (me["organisation"]["id"], me["role"]) == (bob.organisation["id"], "viewer")
        # What was made before speaks for the other organisation, and is believed nowhere any more.
        assert (await lone_auth.http.get("/auth/me", headers=old)).status_code == 401
        assert await lone_auth.value("SELECT count(*) FROM auth.revocation WHERE made_before <= now()") == 1
        assert (await lone_auth.events())[-1] == "auth_organisation_switched"

    async def test_leaves_the_refresh_token_which_speaks_for_it_too(self, auth: Auth) -> None:
        ada, bob = await auth.register(), await auth.register()
        await self.join(auth, ada, bob)
        await self.switch(auth, ada, bob.organisation["id"])
        ada.tokens = (await auth.refresh(ada.tokens["refresh_token"])).json()
        me = (await auth.http.get("/auth/me", headers=ada.headers)).json()
        assert me["organisation"]["id"] == bob.organisation["id"]

    async def test_to_and_fro_at_once_gives_tokens_that_are_believed(self, auth: Auth) -> None:
        """Tokens count whole seconds, and so do revocations."""
        ada, bob = await auth.register(), await auth.register()
        await self.join(auth, ada, bob)
        for _ in range(2):
            for organisation in (bob.organisation["id"], ada.organisation["id"]):
                answer = await self.switch(auth, ada, organisation)
                assert answer.status_code == 200, answer.text
                ada.tokens["access_token"] = answer.json()["access_token"]
                me = await auth.http.get("/auth/me", headers=ada.headers)
                assert me.json()["organisation"]["id"] == organisation

    async def test_to_where_one_is_no_member_is_not_found(self, auth: Auth) -> None:
        ada, bob = await auth.register(), await auth.register()
        for wanted in (bob.organisation["id"], show("org", new_id())):
            answer = await self.switch(auth, ada, wanted)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert (await auth.http.get("/auth/me", headers=ada.headers)).status_code == 200
        assert (await self.switch(auth, ada, "org_1")).status_code == 422


class TestAdministrators:
    async def test_have_it_in_their_tokens_as_long_as_they_are(self, lone_auth: Auth) -> None:
        ada = await lone_auth.register()
        await lone_auth.fetch('UPDATE auth."user" SET is_administrator = true')
        ada.tokens = (await lone_auth.refresh(ada.tokens["refresh_token"])).json()
        info = (await lone_auth.http.get("/auth/token-info", headers=ada.headers)).json()
        assert "installation:manage" in info["permissions"]
        await lone_auth.fetch('UPDATE auth."user" SET is_administrator = false')
        assert (await lone_auth.http.get("/auth/token-info", headers=ada.headers)).status_code == 401
        ada.tokens = (await lone_auth.refresh(ada.tokens["refresh_token"])).json()
        info = (await lone_auth.http.get("/auth/token-info", headers=ada.headers)).json()
        assert "installation:manage" not in info["permissions"]


class TestDisabledAccounts:
    async def test_neither_ask_nor_refresh_nor_sign_in(self, lone_auth: Auth) -> None:
        ada = await lone_auth.register()
        await lone_auth.fetch('UPDATE auth."user" SET disabled_at = now()')
        assert (await lone_auth.http.get("/auth/me", headers=ada.headers)).status_code == 401
        refreshed = await lone_auth.refresh(ada.tokens["refresh_token"])
        assert (refreshed.status_code, refreshed.json()["code"]) == (403, "account_disabled")
        assert await lone_auth.value("SELECT end_reason FROM auth.session") == "account_disabled"
        login = await lone_auth.post("/auth/login", {"email": ada.email, "password": ada.password})
        assert (login.status_code, login.json()["code"]) == (403, "account_disabled")


class TestLoggingOut:
    async def test_ends_the_session_at_once(self, lone_auth: Auth) -> None:
        ada = await lone_auth.register()
        answer = await lone_auth.post("/auth/logout", headers=ada.headers)
        assert (answer.status_code, answer.content) == (204, b"")
        assert (await lone_auth.refresh(ada.tokens["refresh_token"])).status_code == 401
        assert (await lone_auth.post("/bridges", {"name": "x"}, headers=ada.headers)).status_code == 401
        assert (await lone_auth.events())[-1] == "auth_logged_out"

    async def test_leaves_other_sessions_alone(self, auth: Auth) -> None:
        ada = await auth.register()
        other = await auth.log_in(ada.email)
        await auth.post("/auth/logout", headers=ada.headers)
        assert (await auth.refresh(other["refresh_token"])).status_code == 200

    async def test_while_refreshing_ends_the_session_whoever_comes_first(self, auth: Auth) -> None:
        ada = await auth.register()
        refreshed, _ = await asyncio.gather(
            auth.refresh(ada.tokens["refresh_token"]), auth.post("/auth/logout", headers=ada.headers)
        )
        successor = refreshed.json().get("refresh_token", ada.tokens["refresh_token"])
        assert (await auth.refresh(successor)).status_code == 401


class TestAccessTokens:
    async def test_are_what_the_other_services_expect(self, auth: Auth, database: Database) -> None:
        """Verified by a service of the common library that knows only where the keys are published."""
        ada = await auth.register()
        verifier = TokenVerifier(
            JwksClient("/auth/jwks", http=auth.http),
            issuer="fluxprint",
            audience="fluxprint-api",
            required=ACCESS_TOKEN_CLAIMS,
            max_lifetime_s=MAX_ACCESS_TOKEN_S,
        )
        claims = await verifier.verify(ada.tokens["access_token"])
        assert set(claims) == {
            "iss",
            "aud",
            "sub",
            "iat",
            "exp",
            "jti",
            "sid",
            "org",
            "role",
            "scope",
            "via",
            "auth_time",
        }
        principal = principal_of(claims)
        assert f"org_{principal.organisation_id.hex}" == ada.organisation["id"]
        assert principal.role == "owner"
        assert "bridges:manage" in principal.permissions
        assert 0 < principal.expires_at.timestamp() - time.time() <= 900

    async def test_of_a_key_that_was_rotated_are_believed_until_they_end(self, database: Database) -> None:
        old, new = new_key_pem(), new_key_pem()
        async with running_auth(database, signing_key=old) as auth:
            ada = await auth.register()
        async with running_auth(database, signing_key=new, previous_signing_key=old) as auth:
            assert (await auth.http.get("/auth/me", headers=ada.headers)).status_code == 200
            keys = (await auth.http.get("/auth/jwks")).json()["keys"]
            assert [key["kid"] for key in keys] == [SigningKey(new).kid, SigningKey(old).kid]
        async with running_auth(database, signing_key=new) as auth:
            assert (await auth.http.get("/auth/me", headers=ada.headers)).status_code == 401
            assert (await auth.refresh(ada.tokens["refresh_token"])).status_code == 200


class TestPublishedKeys:
    async def test_are_public_and_cacheable_and_hold_nothing_private(self, auth: Auth) -> None:
        answer = await auth.http.get("/auth/jwks")
        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "public, max-age=300"
        (key,) = answer.json()["keys"]
        assert set(key) == {"kty", "crv", "use", "alg", "kid", "x", "y"}


class TestAnOldFamily:
    async def test_is_refreshed_without_touching_its_used_tokens(self, lone_auth: Auth) -> None:
        ada = await lone_auth.register()
        token = ada.tokens["refresh_token"]
        for _ in range(12):
            token = (await lone_auth.refresh(token)).json()["refresh_token"]
        versions = "SELECT id, xmin::text FROM auth.refresh_token ORDER BY id"
        before = [tuple(row) for row in await lone_auth.fetch(versions)]
        await lone_auth.refresh(token)
        after = [tuple(row) for row in await lone_auth.fetch(versions)]
        changed = [row for row in after if row not in before]
        assert len(changed) == 3  # the token that was used, the one before it, and the new one

"""Authenticator apps: set up, asked for when signing in, and kept from guessing and from being used twice."""

import asyncio
import time

import pytest
from pydantic import SecretStr

from support.auth import PASSWORD, Auth, Person, at_once, running_auth
from support.factors import App, challenge, finish, forget_step, set_up
from support.servers import Database


@pytest.fixture
async def ada(auth: Auth) -> Person:
    return await auth.register()


@pytest.fixture
async def app(auth: Auth, ada: Person) -> App:
    return await set_up(auth, ada)


async def sign_in(auth: Auth, person: Person, code: str) -> int:
    """The status of a sign-in with that code."""
    return (await finish(auth, await challenge(auth, person), code)).status_code


class TestSettingUp:
    async def test_is_off_to_begin_with(self, auth: Auth, ada: Person) -> None:
        answer = await auth.http.get("/auth/second-factor", headers=ada.headers)
        assert answer.json() == {"active": False, "confirmed_at": None, "recovery_codes_left": 0}

    async def test_gives_an_app_what_it_needs(self, auth: Auth, ada: Person) -> None:
        setup = (await auth.post("/auth/second-factor", headers=ada.headers)).json()
        assert setup["otpauth_uri"].startswith("otpauth://totp/FluxPrint:")
        assert f"secret={setup['secret']}" in setup["otpauth_uri"]
        assert "issuer=FluxPrint" in setup["otpauth_uri"]

    async def test_asks_for_nothing_before_a_first_code(self, auth: Auth, ada: Person) -> None:
        await auth.post("/auth/second-factor", headers=ada.headers)
        assert await auth.log_in(ada.email)

    async def test_a_wrong_first_code_turns_nothing_on(self, auth: Auth, ada: Person) -> None:
        app = App((await auth.post("/auth/second-factor", headers=ada.headers)).json()["secret"])
        answer = await auth.post("/auth/second-factor/confirm", {"code": app.wrong}, headers=ada.headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "second_factor_invalid")
        assert await auth.log_in(ada.email)

    async def test_begun_again_only_the_new_secret_counts(self, auth: Auth, ada: Person) -> None:
        first, second = [
            App((await auth.post("/auth/second-factor", headers=ada.headers)).json()["secret"]) for _ in range(2)
        ]
        old = await auth.post("/auth/second-factor/confirm", {"code": first.code()}, headers=ada.headers)
        new = await auth.post("/auth/second-factor/confirm", {"code": second.code()}, headers=ada.headers)
        assert (old.status_code, new.status_code) == (422, 200)

    async def test_shows_ten_recovery_codes_once_and_keeps_hashes(self, auth: Auth, ada: Person, app: App) -> None:
        assert len(set(app.recovery_codes)) == 10
        shown = await auth.http.get("/auth/second-factor", headers=ada.headers)
        assert shown.json()["recovery_codes_left"] == 10
        assert all(code not in shown.text for code in app.recovery_codes)
        stored = await auth.fetch("SELECT code_hash FROM auth.recovery_code")
        assert {len(row["code_hash"]) for row in stored} == {32}

    async def test_the_secret_is_stored_encrypted(self, auth: Auth, ada: Person, app: App) -> None:
        rows = await auth.fetch("SELECT secret FROM auth.second_factor")
        assert all(app.secret.encode() not in row["secret"] for row in rows)

    async def test_a_second_one_is_refused(self, auth: Auth, ada: Person, app: App) -> None:
        answer = await auth.post("/auth/second-factor", headers=ada.headers)
        assert (answer.status_code, answer.json()["code"]) == (409, "second_factor_active")
        again = await auth.post("/auth/second-factor/confirm", {"code": app.code()}, headers=ada.headers)
        assert (again.status_code, again.json()["code"]) == (409, "nothing_to_confirm")


class TestTurningOff:
    async def test_signs_in_with_the_password_alone_again(self, auth: Auth, ada: Person, app: App) -> None:
        answer = await auth.http.delete("/auth/second-factor", headers=ada.headers)
        assert answer.status_code == 204
        assert await auth.log_in(ada.email)
        assert (await auth.http.delete("/auth/second-factor", headers=ada.headers)).status_code == 404

    async def test_new_recovery_codes_end_the_old_ones(self, auth: Auth, ada: Person, app: App) -> None:
        answer = await auth.post("/auth/second-factor/recovery-codes", headers=ada.headers)
        new = answer.json()["recovery_codes"]
        assert await sign_in(auth, ada, app.recovery_codes[0]) == 401
        assert await sign_in(auth, ada, new[0]) == 200


class TestSigningIn:
    async def test_asks_for_the_code(self, auth: Auth, ada: Person, app: App) -> None:
        answer = await finish(auth, await challenge(auth, ada), app.code())
        assert answer.status_code == 200
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        assert (await auth.http.get("/auth/me", headers=headers)).status_code == 200

    async def test_takes_the_code_with_the_password(self, auth: Auth, ada: Person, app: App) -> None:
        body = {"email": ada.email, "password": PASSWORD, "code": app.code()}
        assert (await auth.post("/auth/login", body)).status_code == 200

    async def test_takes_it_as_apps_show_it(self, auth: Auth, ada: Person, app: App) -> None:
        code = app.code()
        assert await sign_in(auth, ada, f"{code[:3]} {code[3:]}") == 200

    async def test_a_code_without_the_password_is_worth_nothing(self, auth: Auth, ada: Person, app: App) -> None:
        body = {"email": ada.email, "password": "wrong password", "code": app.code()}
        answer = await auth.post("/auth/login", body)
        assert answer.json()["code"] == "invalid_credentials"

    async def test_a_code_that_nobody_asked_for_means_nothing(self, auth: Auth, ada: Person) -> None:
        body = {"email": ada.email, "password": PASSWORD, "code": "000000"}
        assert (await auth.post("/auth/login", body)).status_code == 200

    async def test_the_session_says_so(self, lone_auth: Auth) -> None:
        ada = await lone_auth.register()
        app = await set_up(lone_auth, ada)
        await finish(lone_auth, await challenge(lone_auth, ada), app.code())
        newest = "SELECT second_factor FROM auth.session ORDER BY id DESC LIMIT 1"
        assert await lone_auth.value(newest) is True

    @pytest.mark.parametrize("periods", [-1, 0, 1])
    async def test_clocks_may_differ_by_half_a_minute(self, auth: Auth, ada: Person, app: App, periods: int) -> None:
        if periods < 0 and (left_s := 30 - time.time() % 30) < 10:
            await asyncio.sleep(left_s)  # else it is two periods old when it arrives
        assert await sign_in(auth, ada, app.code(periods=periods)) == 200

    @pytest.mark.parametrize("periods", [-3, 3])
    async def test_but_not_by_more(self, auth: Auth, ada: Person, app: App, periods: int) -> None:
        assert await sign_in(auth, ada, app.code(periods=periods)) == 401


class TestReplay:
    async def test_a_code_is_taken_once(self, auth: Auth, ada: Person, app: App) -> None:
        code = app.code()
        assert await sign_in(auth, ada, code) == 200
        assert await sign_in(auth, ada, code) == 401

    async def test_nor_an_older_one_after_a_newer(self, auth: Auth, ada: Person, app: App) -> None:
        older = app.code(periods=-1)
        assert await sign_in(auth, ada, app.code()) == 200
        assert await sign_in(auth, ada, older) == 401

    async def test_the_code_of_the_set_up_is_used_up(self, auth: Auth, ada: Person) -> None:
        app = App((await auth.post("/auth/second-factor", headers=ada.headers)).json()["secret"])
        code = app.code()
        await auth.post("/auth/second-factor/confirm", {"code": code}, headers=ada.headers)
        assert await sign_in(auth, ada, code) == 401

    async def test_of_four_at_once_one_signs_in(self, auth: Auth, ada: Person, app: App) -> None:
        challenges = [await challenge(auth, ada) for _ in range(4)]
        code = app.code()
        answers = await asyncio.gather(*(finish(auth, one, code) for one in challenges))
        assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]

    async def test_a_recovery_code_is_good_once_however_it_is_typed(self, auth: Auth, ada: Person, app: App) -> None:
        code = app.recovery_codes[3]
        one = await challenge(auth, ada)
        answers = await at_once(5, lambda: finish(auth, one, code.upper().replace("-", " ")))
        assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401, 401]
        assert await sign_in(auth, ada, code) == 401

    async def test_one_persons_recovery_code_is_not_anothers(self, auth: Auth, ada: Person, app: App) -> None:
        other = await auth.register()
        others = await set_up(auth, other)
        assert await sign_in(auth, ada, others.recovery_codes[0]) == 401


class TestChallenge:
    async def test_is_used_up(self, auth: Auth, ada: Person, app: App) -> None:
        one = await challenge(auth, ada)
        assert (await finish(auth, one, app.code())).status_code == 200
        await forget_step(auth)
        again = await finish(auth, one, app.code())
        assert (again.status_code, again.json()["code"]) == (401, "challenge_invalid")

    async def test_expires(self, auth: Auth, ada: Person, app: App) -> None:
        one = await challenge(auth, ada)
        await auth.fetch("UPDATE auth.sign_in_challenge SET expires_at = expires_at - interval '5 min'")
        assert (await finish(auth, one, app.code())).json()["code"] == "challenge_invalid"

    async def test_is_for_the_person_who_began(self, auth: Auth, ada: Person, app: App) -> None:
        other = await auth.register()
        others = await set_up(auth, other)
        assert (await finish(auth, await challenge(auth, ada), others.code())).status_code == 401

    @pytest.mark.parametrize("made_up", ["", "fxc_", "x" * 200, "fxc_" + "0" * 49])
    async def test_a_made_up_one_is_refused(self, auth: Auth, made_up: str) -> None:
        assert (await finish(auth, made_up, "123456")).json()["code"] == "challenge_invalid"

    async def test_ends_with_the_password(self, auth: Auth, ada: Person, app: App) -> None:
        one = await challenge(auth, ada)
        body = {"current_password": PASSWORD, "new_password": "quite another secret"}
        assert (await auth.post("/auth/password", body, headers=ada.headers)).status_code < 300
        assert (await finish(auth, one, app.code())).json()["code"] == "challenge_invalid"

    async def test_ends_with_the_factor(self, auth: Auth, ada: Person, app: App) -> None:
        one = await challenge(auth, ada)
        await auth.http.delete("/auth/second-factor", headers=ada.headers)
        assert (await finish(auth, one, app.code())).json()["code"] == "challenge_invalid"


class TestGuessing:
    async def test_five_wrong_codes_lock_the_account(self, lone_auth: Auth) -> None:
        ada = await lone_auth.register()
        app = await set_up(lone_auth, ada)
        for _ in range(5):
            assert await sign_in(lone_auth, ada, app.wrong) == 401
        locked = await finish(lone_auth, await challenge(lone_auth, ada), app.code())
        assert (locked.status_code, locked.json()["code"]) == (429, "second_factor_locked")
        assert 890 < int(locked.headers["Retry-After"]) <= 900
        events = await lone_auth.events()
        assert events.count("auth_second_factor_failed") == 5
        assert events.count("auth_lockout_triggered") == 1

    async def test_recovery_codes_are_locked_with_it(self, auth: Auth, ada: Person, app: App) -> None:
        for _ in range(5):
            await sign_in(auth, ada, "bcdf-ghjk-mnpq-rstv")
        assert await sign_in(auth, ada, app.recovery_codes[0]) == 429

    async def test_thirty_guesses_at_once_get_no_more_than_five_answers(
        self, auth: Auth, ada: Person, app: App
    ) -> None:
        challenges = [await challenge(auth, ada) for _ in range(6)]
        answers = await asyncio.gather(*(finish(auth, one, app.wrong) for one in challenges for _ in range(5)))
        codes = [answer.json()["code"] for answer in answers]
        assert codes.count("second_factor_invalid") == 5
        assert set(codes) <= {"second_factor_invalid", "second_factor_locked"}

    async def test_one_challenge_takes_few_codes(self, database: Database) -> None:
        async with running_auth(database, lockout_failures=50) as auth:
            ada = await auth.register()
            app = await set_up(auth, ada)
            one = await challenge(auth, ada)
            codes = [(await finish(auth, one, app.wrong)).json()["code"] for _ in range(6)]
            assert codes == ["second_factor_invalid"] * 5 + ["challenge_invalid"]

    async def test_ends_by_itself_and_a_right_code_forgets(self, auth: Auth, ada: Person, app: App) -> None:
        for _ in range(5):
            await sign_in(auth, ada, app.wrong)
        await auth.fetch("UPDATE auth.second_factor SET locked_until = now() - interval '1 s'")
        assert await sign_in(auth, ada, app.code()) == 200
        failures = "SELECT failures FROM auth.second_factor JOIN auth.user ON id = user_id WHERE email = $1"
        assert await auth.value(failures, ada.email) == 0

    async def test_holds_without_redis(self, database: Database) -> None:
        away = SecretStr("redis://127.0.0.1:1/0")
        async with running_auth(database, rate_limits_enabled=True, redis_url=away) as auth:
            ada = await auth.register()
            app = await set_up(auth, ada)
            for _ in range(5):
                assert await sign_in(auth, ada, app.wrong) == 401
            assert await sign_in(auth, ada, app.code()) == 429

    async def test_by_address_too(self, database: Database) -> None:
        async with running_auth(database, rate_limits_enabled=True, limit_second_factor="3/minute") as auth:
            answers = [await finish(auth, "fxc_", "123456") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [401, 401, 401, 429]
        assert "Retry-After" in answers[-1].headers


class TestSecrets:
    async def test_a_replaced_secret_still_reads(self, database: Database) -> None:
        async with running_auth(database, secret=SecretStr("the first secret of this service")) as auth:
            ada = await auth.register()
            app = await set_up(auth, ada)
        renewed = {
            "secret": SecretStr("another secret of this service"),
            "previous_secret": SecretStr("the first secret of this service"),
        }
        async with running_auth(database, **renewed) as auth:
            assert await sign_in(auth, ada, app.code()) == 200

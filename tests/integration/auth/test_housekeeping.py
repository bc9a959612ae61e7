"""What has expired is deleted; what still means something is kept."""

from datetime import timedelta

import pytest

from fluxprint_auth.housekeeping import tidy_up
from support.auth import Auth


async def tidied(auth: Auth) -> None:
    await tidy_up(auth.app.state.database, throttles_kept=timedelta(hours=1))


class TestTidyingUp:
    async def test_deletes_expired_refresh_tokens_but_not_used_ones(self, lone_auth: Auth) -> None:
        ada = await lone_auth.register()
        await lone_auth.refresh(ada.tokens["refresh_token"])
        await tidied(lone_auth)
        assert await lone_auth.value("SELECT count(*) FROM auth.refresh_token") == 2
        await lone_auth.fetch("UPDATE auth.refresh_token SET expires_at = now() WHERE rotated_at IS NOT NULL")
        await tidied(lone_auth)
        assert await lone_auth.value("SELECT count(*) FROM auth.refresh_token") == 1

    async def test_deletes_sessions_a_month_after_their_end(self, lone_auth: Auth) -> None:
        ended, going_on = await lone_auth.register(), await lone_auth.register()
        await lone_auth.post("/auth/logout", headers=ended.headers)
        await tidied(lone_auth)
        assert await lone_auth.value("SELECT count(*) FROM auth.session") == 2
        await lone_auth.fetch("UPDATE auth.session SET ended_at = ended_at - interval '31 days'")
        await tidied(lone_auth)
        assert await lone_auth.value("SELECT count(*) FROM auth.session") == 1
        assert (await lone_auth.refresh(going_on.tokens["refresh_token"])).status_code == 200

    async def test_forgets_failed_logins_that_no_longer_count(self, lone_auth: Auth) -> None:
        for name in ("old", "new"):
            await lone_auth.post("/auth/login", {"email": f"{name}@example.org", "password": "wrong password"})
        await lone_auth.fetch(
            "UPDATE auth.login_throttle SET last_failed_at = now() - interval '61 min' "
            "WHERE account = (SELECT min(account) FROM auth.login_throttle)"
        )
        await tidied(lone_auth)
        assert await lone_auth.value("SELECT count(DISTINCT account) FROM auth.login_throttle") == 1

    async def test_deletes_invitations_a_month_after_they_expired(self, lone_auth: Auth) -> None:
        await lone_auth.register()
        for days in (10, 31):
            await lone_auth.fetch(
                "INSERT INTO auth.invitation (id, organisation_id, email, role, token_hash, invited_by, expires_at) "
                "SELECT gen_random_uuid(), o.id, $1, 'viewer', $2, u.id, now() - make_interval(days => $3) "
                'FROM auth.organisation o, auth."user" u',
                f"{days}@example.org",
                bytes([days]),
                days,
            )
        await tidied(lone_auth)
        assert await lone_auth.value("SELECT string_agg(email, ' ') FROM auth.invitation") == "10@example.org"

    async def test_goes_on_past_one_batch(self, lone_auth: Auth) -> None:
        await lone_auth.fetch(
            "INSERT INTO auth.login_throttle (account_key, failures, last_failed_at) "
            "SELECT n::text, 1, now() - interval '2 h' FROM generate_series(1, 2500) n"
        )
        await tidied(lone_auth)
        assert await lone_auth.value("SELECT count(*) FROM auth.login_throttle") == 0

    async def test_runs_as_a_watched_loop(self, auth: Auth) -> None:
        health = (await auth.http.get("/auth/health")).json()
        assert health["loops"]["housekeeping"] == "running"

    async def test_goes_on_where_one_deletion_fails(self, lone_auth: Auth) -> None:
        await lone_auth.fetch("ALTER TABLE auth.api_key RENAME TO api_key_away")
        await lone_auth.post("/auth/login", {"email": "old@example.org", "password": "wrong password"})
        await lone_auth.fetch("UPDATE auth.login_throttle SET last_failed_at = now() - interval '2 hours'")
        with pytest.raises(ExceptionGroup) as failed:
            await tidied(lone_auth)
        assert len(failed.value.exceptions) == 1
        assert await lone_auth.value("SELECT count(*) FROM auth.login_throttle") == 0

"""New passwords: by a link, or by the old one."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from support.auth import PASSWORD, Auth, Person, at_once, running_auth
from support.factors import set_up
from support.mail import MailFolder, text_of, token_in
from support.queue import eventually
from support.servers import Database

NEW = "quite another secret"


@pytest.fixture
async def auth(database: Database, tmp_path: Path) -> AsyncIterator[Auth]:
    async with running_auth(database, mail_dir=tmp_path / "mail", link_base_url="https://app.example.org") as auth:
        yield auth


@pytest.fixture
def mails(tmp_path: Path) -> MailFolder:
    return MailFolder(tmp_path / "mail", ignoring="Confirm your e-mail address")


async def code_of(auth: Auth, email: str, password: str) -> str:
    answer = await auth.post("/auth/login", {"email": email, "password": password})
    return str(answer.json().get("code", answer.status_code))


class TestReset:
    async def asked(self, auth: Auth, mails: MailFolder, person: Person) -> str:
        def links() -> list[str]:
            asked = [mail for mail in mails.to(person.email) if "/reset-password#token=" in text_of(mail)]
            assert all("https://app.example.org/reset-password#token=" in text_of(mail) for mail in asked)
            return [token_in(mail) for mail in asked]

        async def new() -> list[str]:
            return links()[before:]

        before = len(links())
        answer = await auth.post("/auth/password-reset", {"email": person.email}, headers={"Host": "evil.example"})
        assert answer.status_code == 202
        return (await eventually(new, within_s=30))[0]

    async def confirm(self, auth: Auth, token: str, password: str = NEW) -> httpx.Response:
        return await auth.post("/auth/password-reset/confirm", {"token": token, "password": password})

    async def test_sets_the_password_and_ends_every_session(self, auth: Auth, mails: MailFolder) -> None:
        ada = await auth.register()
        other = await auth.log_in(ada.email)
        token = await self.asked(auth, mails, ada)
        assert (await self.confirm(auth, token)).status_code == 204
        assert await code_of(auth, ada.email, PASSWORD) == "invalid_credentials"
        assert await code_of(auth, ada.email, NEW) == "200"
        assert (await auth.http.get("/auth/me", headers=ada.headers)).status_code == 401
        assert (await auth.refresh(other["refresh_token"])).status_code == 401
        assert (await mails.next_to(ada.email, 2))["Subject"] == "Your password was changed"
        assert "auth_password_reset" in await auth.events()

    async def test_proves_the_address_too(self, auth: Auth, mails: MailFolder) -> None:
        ada = await auth.register()
        await self.confirm(auth, await self.asked(auth, mails, ada))
        assert await auth.value('SELECT email_verified_at IS NOT NULL FROM auth."user" WHERE email = $1', ada.email)

    async def test_ends_the_keys_of_who_never_showed_that_the_address_is_theirs(
        self, auth: Auth, mails: MailFolder
    ) -> None:
        squatter = await auth.register()
        body = {"name": "Way back", "scopes": ["organisation:read"]}
        for verified, status in ((False, 401), (True, 200)):
            key = (await auth.post("/api-keys", body, headers=squatter.headers)).json()["secret"]
            assert (await auth.http.get("/organisations/current", headers={"X-API-Key": key})).status_code == 200
            token = await self.asked(auth, mails, squatter)
            assert (await self.confirm(auth, token, f"{NEW} {verified}")).status_code == 204
            answer = await auth.http.get("/organisations/current", headers={"X-API-Key": key})
            assert answer.status_code == status
            squatter.tokens = await auth.log_in(squatter.email, f"{NEW} {verified}")

    async def test_takes_away_the_second_factor_of_who_never_showed_that_the_address_is_theirs(
        self, auth: Auth, mails: MailFolder
    ) -> None:
        squatter = await auth.register()
        await set_up(auth, squatter)
        await self.confirm(auth, await self.asked(auth, mails, squatter))
        assert await code_of(auth, squatter.email, NEW) == "200"
        squatter.tokens = await auth.log_in(squatter.email, NEW)
        await set_up(auth, squatter)
        await self.confirm(auth, await self.asked(auth, mails, squatter), f"{NEW} again")
        assert await code_of(auth, squatter.email, f"{NEW} again") == "second_factor_required"

    async def test_a_link_works_once_and_a_newer_one_replaces_it(self, auth: Auth, mails: MailFolder) -> None:
        ada = await auth.register()
        old = await self.asked(auth, mails, ada)
        new = await self.asked(auth, mails, ada)
        assert (await self.confirm(auth, old)).json()["code"] == "link_invalid"
        answers = await at_once(10, lambda: self.confirm(auth, new))
        assert sorted(answer.status_code for answer in answers) == [204] + [409] * 9

    async def test_a_guessable_password_uses_no_link_up(self, auth: Auth, mails: MailFolder) -> None:
        ada = await auth.register()
        token = await self.asked(auth, mails, ada)
        refused = await self.confirm(auth, token, "fluxprint2026")
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "password_guessable")
        assert (await self.confirm(auth, token)).status_code == 204

    async def test_unlocks(self, auth: Auth, mails: MailFolder) -> None:
        ada = await auth.register()
        for _ in range(5):
            await code_of(auth, ada.email, "wrong password")
        assert await code_of(auth, ada.email, PASSWORD) == "account_locked"
        await self.confirm(auth, await self.asked(auth, mails, ada))
        assert await code_of(auth, ada.email, NEW) == "200"

    async def test_a_disabled_account_gets_none(self, auth: Auth, mails: MailFolder) -> None:
        ada = await auth.register()
        token = await self.asked(auth, mails, ada)
        await auth.fetch('UPDATE auth."user" SET disabled_at = now() WHERE email = $1', ada.email)
        assert (await self.confirm(auth, token)).json()["code"] == "link_invalid"
        assert await code_of(auth, ada.email, PASSWORD) == "account_disabled"
        assert await code_of(auth, ada.email, "wrong password") == "invalid_credentials"

    async def test_a_link_of_another_kind_does_not_do(self, auth: Auth, tmp_path: Path) -> None:
        ada = await auth.register()
        verification = token_in(await MailFolder(tmp_path / "mail").next_to(ada.email))
        assert (await self.confirm(auth, verification)).json()["code"] == "link_invalid"

    async def test_without_mail_it_says_so(self, database: Database) -> None:
        async with running_auth(database) as mute:
            answer = await mute.post("/auth/password-reset", {"email": "ada@example.org"})
        assert (answer.status_code, answer.json()["code"]) == (403, "mail_disabled")

    async def test_mails_to_one_address_are_limited_whether_it_is_known_or_not(self, database: Database) -> None:
        async with running_auth(
            database, mail_dir=Path("/nonexistent"), rate_limits_enabled=True, limit_mail_account="2/hour"
        ) as auth:
            await auth.app.state.loops.stop("mail")
            ada = await auth.register()
            for email in (ada.email, "nobody@example.org"):
                codes = [(await auth.post("/auth/password-reset", {"email": email})).status_code for _ in range(3)]
                assert codes == [202, 202, 429]


class TestChange:
    async def change(self, auth: Auth, who: Person, current: str = PASSWORD, new: str = NEW) -> httpx.Response:
        body = {"current_password": current, "new_password": new}
        return await auth.post("/auth/password", body, headers=who.headers)

    async def test_ends_all_other_sessions(self, auth: Auth, mails: MailFolder) -> None:
        ada = await auth.register()
        other = await auth.log_in(ada.email)
        assert (await self.change(auth, ada)).status_code == 204
        assert await code_of(auth, ada.email, NEW) == "200"
        assert (await auth.http.get("/auth/me", headers=ada.headers)).status_code == 200
        assert (await auth.refresh(other["refresh_token"])).status_code == 401
        assert "All other devices are signed out" in text_of(await mails.next_to(ada.email))

    async def test_wants_the_old_one_and_counts_failures(self, auth: Auth) -> None:
        ada = await auth.register()
        codes = [(await self.change(auth, ada, "wrong password")).json()["code"] for _ in range(6)]
        assert codes == ["wrong_password"] * 5 + ["account_locked"]

    async def test_wants_a_fresh_proof_of_identity(self, auth: Auth) -> None:
        ada = await auth.register()
        await auth.fetch("UPDATE auth.session SET authenticated_at = now() - interval '11 min'")
        stale = Person(ada.email, (await auth.refresh(ada.tokens["refresh_token"])).json())
        answer = await self.change(auth, stale)
        assert answer.json()["code"] == "reauthentication_required"

    async def test_a_guessable_one_is_refused(self, auth: Auth) -> None:
        ada = await auth.register()
        answer = await self.change(auth, ada, new=f"{ada.email.partition('@')[0]}1")
        assert [(e["pointer"], e["code"]) for e in answer.json()["errors"]] == [("/new_password", "password_guessable")]

    async def test_voids_links_that_wait(self, auth: Auth, mails: MailFolder) -> None:
        ada = await auth.register()
        await auth.post("/auth/password-reset", {"email": ada.email})
        token = token_in(await mails.next_to(ada.email))
        await self.change(auth, ada)
        answer = await auth.post("/auth/password-reset/confirm", {"token": token, "password": "yet another secret"})
        assert answer.json()["code"] == "link_invalid"

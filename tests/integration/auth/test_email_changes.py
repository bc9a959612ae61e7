"""New addresses, confirmed by the old one and the new one."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from support.auth import Auth, Person, running_auth
from support.mail import MailFolder, text_of, token_in
from support.servers import Database

NEW = "countess@example.org"


@pytest.fixture
async def auth(database: Database, tmp_path: Path) -> AsyncIterator[Auth]:
    async with running_auth(database, mail_dir=tmp_path / "mail") as auth:
        yield auth


@pytest.fixture
async def mails(tmp_path: Path) -> MailFolder:
    return MailFolder(tmp_path / "mail")


async def ask(auth: Auth, who: Person, new_email: str = NEW) -> httpx.Response:
    return await auth.post("/auth/email", {"new_email": new_email}, headers=who.headers)


async def confirm(auth: Auth, token: str) -> httpx.Response:
    return await auth.post("/auth/email/confirm", {"token": token})


async def tokens_of(auth: Auth, mails: MailFolder, who: Person, new_email: str = NEW) -> tuple[str, str]:
    """Ask; what the old and the new address got."""
    before = len(mails.to(who.email)), len(mails.to(new_email))
    assert (await ask(auth, who, new_email)).status_code == 202
    old = await mails.next_to(who.email, max(before[0], 1) + 1)
    return token_in(old), token_in(await mails.next_to(new_email, before[1] + 1))


class TestChanging:
    @pytest.mark.parametrize("first", [0, 1])
    async def test_needs_both_in_any_order(self, auth: Auth, mails: MailFolder, first: int) -> None:
        ada = await auth.register("ada@example.org")
        other = await auth.log_in(ada.email)
        tokens = await tokens_of(auth, mails, ada)
        assert (await confirm(auth, tokens[first])).json() == {"changed": False}
        assert await auth.log_in(ada.email)
        assert (await confirm(auth, tokens[1 - first])).json() == {"changed": True}
        me = (await auth.http.get("/auth/me", headers=ada.headers)).json()
        assert me["user"]["email"] == NEW
        assert await auth.log_in(NEW)
        refused = await auth.post("/auth/login", {"email": ada.email, "password": ada.password})
        assert refused.status_code == 401
        assert (await auth.refresh(other["refresh_token"])).status_code == 401
        assert NEW in text_of(await mails.next_to(ada.email, 3))
        assert (await mails.next_to(NEW, 2))["Subject"] == "Your e-mail address was changed"

    async def test_both_at_once_change_it_once(self, auth: Auth, mails: MailFolder) -> None:
        ada = await auth.register("ada@example.org")
        tokens = await tokens_of(auth, mails, ada)
        answers = await asyncio.gather(*(confirm(auth, token) for token in tokens * 3))
        good = [answer.json()["changed"] for answer in answers if answer.status_code == 200]
        assert sorted(good) == [False, True]
        assert (await auth.events()).count("auth_email_changed") == 1

    async def test_a_link_counts_once(self, auth: Auth, mails: MailFolder) -> None:
        ada = await auth.register("ada@example.org")
        _old, new = await tokens_of(auth, mails, ada)
        assert (await confirm(auth, new)).status_code == 200
        assert (await confirm(auth, new)).json()["code"] == "link_invalid"
        assert await auth.log_in(ada.email)

    async def test_confirmations_of_two_changes_are_not_one(self, auth: Auth, mails: MailFolder) -> None:
        ada = await auth.register("ada@example.org")
        _, first_new = await tokens_of(auth, mails, ada)
        assert (await confirm(auth, first_new)).json() == {"changed": False}
        second_old, _ = await tokens_of(auth, mails, ada, "eve@example.org")
        assert (await confirm(auth, second_old)).json() == {"changed": False}
        assert await auth.log_in(ada.email)

    async def test_an_address_that_has_an_account_is_told_and_nobody_else(self, auth: Auth, mails: MailFolder) -> None:
        ada, bob = await auth.register("ada@example.org"), await auth.register("bob@example.org")
        free, taken = await ask(auth, ada), await ask(auth, ada, bob.email)
        assert (free.status_code, free.text) == (taken.status_code, taken.text)
        mail = await mails.next_to(bob.email, 2)
        assert mail["Subject"] == "You have an account already"
        assert "token=" not in text_of(mail)

    async def test_an_address_that_was_taken_meanwhile_is_refused(self, auth: Auth, mails: MailFolder) -> None:
        ada = await auth.register("ada@example.org")
        old, new = await tokens_of(auth, mails, ada)
        await auth.register(NEW)
        await confirm(auth, old)
        assert (await confirm(auth, new)).json()["code"] == "email_taken"

    async def test_a_link_for_a_password_at_the_old_address_is_void(self, auth: Auth, mails: MailFolder) -> None:
        ada = await auth.register("ada@example.org")
        await auth.post("/auth/password-reset", {"email": ada.email})
        reset = token_in(await mails.next_to(ada.email, 2))
        for token in await tokens_of(auth, mails, ada):
            await confirm(auth, token)
        answer = await auth.post("/auth/password-reset/confirm", {"token": reset, "password": "quite another secret"})
        assert answer.json()["code"] == "link_invalid"

    async def test_wants_a_fresh_proof_of_identity(self, auth: Auth) -> None:
        ada = await auth.register("ada@example.org")
        await auth.fetch("UPDATE auth.session SET authenticated_at = now() - interval '11 min'")
        stale = Person(ada.email, (await auth.refresh(ada.tokens["refresh_token"])).json())
        assert (await ask(auth, stale)).json()["code"] == "reauthentication_required"


class TestName:
    async def test_can_be_changed(self, auth: Auth) -> None:
        ada = await auth.register()
        answer = await auth.http.patch("/auth/me", json={"name": "Augusta"}, headers=ada.headers)
        assert (answer.status_code, answer.json()["name"]) == (200, "Augusta")
        refused = await auth.http.patch("/auth/me", json={"name": "two\nlines"}, headers=ada.headers)
        assert refused.status_code == 422

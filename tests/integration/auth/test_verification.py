"""Addresses that are proved before anybody signs in, and answers that don't tell who has an account."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from fluxprint_auth.accounts.passwords import Passwords
from support.auth import PASSWORD, Auth, at_once, registration, running_auth, settings_of
from support.mail import MailFolder, token_in
from support.servers import Database

ADA = "ada@example.org"

Request = Callable[[int], Awaitable[httpx.Response]]


@dataclass
class Strict:
    """The service where addresses have to be verified, and its mails."""

    auth: Auth
    mails: MailFolder

    async def registered(self, email: str = ADA, **changed: Any) -> str:
        """Register; the token that was mailed."""
        answer = await self.auth.post("/auth/register", registration(email, **changed))
        assert answer.status_code == 202, answer.text
        return token_in(await self.mails.next_to(email))

    async def verify(self, token: str, password: str = PASSWORD, **more: Any) -> httpx.Response:
        return await self.auth.post("/auth/verify-email", {"token": token, "password": password, **more})

    async def account(self, email: str = ADA) -> dict[str, Any]:
        answer = await self.verify(await self.registered(email))
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    async def log_in(self, password: str = PASSWORD, email: str = ADA) -> tuple[int, str]:
        answer = await self.auth.post("/auth/login", {"email": email, "password": password})
        return answer.status_code, answer.json().get("code", "")


@pytest.fixture
async def strict(database: Database, tmp_path: Path) -> AsyncIterator[Strict]:
    async with running_auth(database, mail_dir=tmp_path / "mail", email_verification="required") as auth:
        yield Strict(auth, MailFolder(tmp_path / "mail"))


class TestRegistering:
    async def test_the_account_is_there_when_its_link_comes_back(self, strict: Strict) -> None:
        token = await strict.registered()
        assert await strict.auth.value('SELECT count(*) FROM auth."user"') == 0
        answer = await strict.verify(token)
        assert answer.status_code == 200
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        me = (await strict.auth.http.get("/auth/me", headers=headers)).json()
        assert (me["user"]["email"], me["organisation"]["slug"], me["role"]) == (ADA, "analytical-engines", "owner")
        assert await strict.log_in() == (200, "")
        assert (await strict.auth.events())[:2] == ["auth_registered", "auth_email_verified"]

    async def test_before_that_only_the_right_password_is_told_why(self, strict: Strict) -> None:
        await strict.registered()
        assert await strict.log_in("wrong password") == (401, "invalid_credentials")
        assert await strict.log_in() == (403, "email_not_verified")

    async def test_a_known_address_gets_the_same_answer_and_another_mail(self, strict: Strict) -> None:
        await strict.account()
        again = await strict.auth.post("/auth/register", registration(ADA, password="quite another secret"))
        other = await strict.auth.post("/auth/register", registration("other@example.org"))
        assert (again.status_code, again.json()) == (other.status_code, other.json())
        assert again.headers.keys() == other.headers.keys()
        assert (await strict.mails.next_to(ADA, 2))["Subject"] == "You have an account already"
        assert await strict.log_in("quite another secret") == (403, "email_not_verified")
        assert await strict.log_in() == (200, "")

    async def test_a_link_works_once_also_at_the_same_time(self, strict: Strict) -> None:
        token = await strict.registered()
        answers = await at_once(20, lambda: strict.verify(token))
        assert sorted(answer.status_code for answer in answers) == [200] + [409] * 19
        assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"link_invalid"}
        assert await strict.auth.value('SELECT count(*) FROM auth."user"') == 1

    async def test_a_newer_link_replaces_the_older_and_is_for_who_chose_its_password(self, strict: Strict) -> None:
        """Mallory registers the address after Ada: her click must not give her an account that Mallory can enter."""
        old = await strict.registered()
        await strict.auth.post("/auth/register", registration(ADA, password="quite another secret"))
        new = token_in(await strict.mails.next_to(ADA, 2))
        assert (await strict.verify(old)).status_code == 409
        answer = await strict.verify(new)
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_credentials")
        assert await strict.auth.value('SELECT count(*) FROM auth."user"') == 0
        assert (await strict.verify(new, "quite another secret")).status_code == 200
        assert await strict.log_in("quite another secret") == (200, "")

    async def test_a_link_expires(self, strict: Strict) -> None:
        token = await strict.registered()
        await strict.auth.fetch("UPDATE auth.one_time_link SET expires_at = now()")
        assert (await strict.verify(token)).json()["code"] == "link_invalid"

    async def test_a_link_is_stored_as_a_hash_only(self, strict: Strict) -> None:
        token = await strict.registered()
        assert token not in str(await strict.auth.fetch("SELECT t::text FROM auth.one_time_link t"))

    @pytest.mark.parametrize("token", ["", "fxl_x", "fxr_" + "0" * 49, "x" * 201])
    async def test_what_is_no_link_is_refused(self, strict: Strict, token: str) -> None:
        assert (await strict.verify(token)).status_code in (409, 422)

    async def test_a_guessable_password_is_refused_before_a_mail_is_sent(self, strict: Strict) -> None:
        answer = await strict.auth.post("/auth/register", registration(ADA, password="analyticalengines"))
        assert answer.status_code == 422
        assert [(error["pointer"], error["code"]) for error in answer.json()["errors"]] == [
            ("/password", "password_guessable")
        ]
        assert await strict.auth.value("SELECT count(*) FROM auth.mail") == 0

    async def test_needs_mail(self) -> None:
        with pytest.raises(ValidationError, match="AUTH_EMAIL_VERIFICATION: needs mail"):
            settings_of("postgresql+asyncpg://x:x@127.0.0.1/x", email_verification="required")

    async def test_where_it_is_off_an_address_can_be_verified_all_the_same(
        self, database: Database, tmp_path: Path
    ) -> None:
        async with running_auth(database, mail_dir=tmp_path) as auth:
            ada = await auth.register(ADA)
            token = token_in(await MailFolder(tmp_path).next_to(ADA))
            assert await auth.value('SELECT email_verified_at FROM auth."user"') is None
            assert (await auth.post("/auth/verify-email", {"token": token, "password": "not hers"})).status_code == 401
            body = {"token": token, "password": ada.password}
            assert (await auth.post("/auth/verify-email", body)).status_code == 200
            assert await auth.value('SELECT email_verified_at FROM auth."user"') is not None
            assert await auth.log_in(ada.email)


class TestResending:
    async def resend(self, strict: Strict, email: str) -> httpx.Response:
        return await strict.auth.post("/auth/verify-email/resend", {"email": email})

    async def test_gives_a_registration_a_new_link(self, strict: Strict) -> None:
        old = await strict.registered()
        assert (await self.resend(strict, ADA)).status_code == 202
        new = token_in(await strict.mails.next_to(ADA, 2))
        assert (await strict.verify(old)).status_code == 409
        assert (await strict.verify(new)).status_code == 200
        assert await strict.log_in() == (200, "")

    async def test_nobody_is_added_by_hand_where_addresses_must_be_verified(self, strict: Strict) -> None:
        tokens = await strict.account()
        body = {"email": "bob@example.org", "name": "Bob", "role": "editor", "password": PASSWORD}
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        answer = await strict.auth.post("/organisations/current/members", body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "invite_instead")

    async def test_lets_somebody_in_who_came_before_that_was_asked_for(
        self, strict: Strict, database: Database
    ) -> None:
        async with running_auth(database) as lenient:
            await lenient.register("bob@example.org")
        assert await strict.log_in(email="bob@example.org") == (403, "email_not_verified")
        await self.resend(strict, "bob@example.org")
        first = token_in(await strict.mails.next_to("bob@example.org"))
        await self.resend(strict, "bob@example.org")
        token = token_in(await strict.mails.next_to("bob@example.org", 2))
        assert (await strict.verify(first)).status_code == 409
        assert (await strict.verify(token)).status_code == 200
        assert await strict.log_in(email="bob@example.org") == (200, "")

    async def test_tells_nothing_of_an_address(self, strict: Strict) -> None:
        await strict.account()
        await strict.registered("waiting@example.org")
        answers = [await self.resend(strict, email) for email in (ADA, "waiting@example.org", "nobody@example.org")]
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.text for answer in answers}) == 1
        await strict.mails.next_to("waiting@example.org", 2)
        assert (len(strict.mails.to(ADA)), len(strict.mails.to("nobody@example.org"))) == (1, 0)


class TestTelling:
    """Neither the time nor the work of an answer tells whether an address has an account."""

    FEW, SAMPLES = 12, 40

    async def ratio(self, known: Request, unknown: Request) -> float:
        """How much longer the first takes than the second, by the medians; asked in turns.

        A hash that only one of them computes makes one several times the other: a few of each already show that
        there is none. Where these are not clearly alike, for the machine is busy, more are asked.
        """
        taken: tuple[list[float], list[float]] = ([], [])
        ratio = 0.0
        for round_ in range(self.SAMPLES):
            for times, request in zip(taken, (known, unknown), strict=True):
                started = perf_counter()
                answer = await request(round_)
                times.append(perf_counter() - started)
                assert answer.status_code in (202, 401), answer.text
            ratio = median(taken[0]) / median(taken[1])
            if round_ + 1 >= self.FEW and 0.8 < ratio < 1.25:
                break
        return ratio

    @pytest.fixture
    async def unlocked(self, database: Database, tmp_path: Path) -> AsyncIterator[Strict]:
        many = {"lockout_failures": 100, "lockout_account_failures": 9999, "lockout_network_failures": 9999}
        many["argon2_memory_kib"] = 47104  # as in production: a hash that is left out shows
        async with running_auth(database, mail_dir=tmp_path / "mail", email_verification="required", **many) as auth:
            yield Strict(auth, MailFolder(tmp_path / "mail"))

    @pytest.mark.parametrize("path", ["/auth/login", "/auth/password-reset", "/auth/verify-email/resend"])
    async def test_known_and_unknown_addresses_take_as_long(self, unlocked: Strict, path: str) -> None:
        await unlocked.account()
        password = {"password": "wrong password"} if path == "/auth/login" else {}
        post = unlocked.auth.post
        ratio = await self.ratio(
            lambda _: post(path, {"email": ADA, **password}),
            lambda n: post(path, {"email": f"nobody-{n}@example.org", **password}),
        )
        assert 0.7 < ratio < 1.4

    async def test_registering_a_known_address_takes_as_long(self, unlocked: Strict) -> None:
        await unlocked.account()
        post = unlocked.auth.post
        ratio = await self.ratio(
            lambda _: post("/auth/register", registration(ADA)),
            lambda n: post("/auth/register", registration(f"new-{n}@example.org")),
        )
        assert 0.7 < ratio < 1.4

    async def test_logging_in_after_registering_tells_nothing(self, strict: Strict) -> None:
        await strict.account()
        told = []
        for email in (ADA, "nobody@example.org"):
            await strict.auth.post("/auth/register", registration(email, password="the password of a stranger"))
            wrong, own = "wrong password", "the password of a stranger"
            told.append([await strict.log_in(password, email) for password in [wrong, own] * 6])
        assert told[0] == told[1]
        assert told[0][-1] == (429, "account_locked")

    async def test_logging_in_takes_as_long_after_registering(
        self, strict: Strict, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await strict.account()
        verified: list[str] = []
        verify = Passwords.verify

        async def counted(self: Passwords, stored: str | None, password: str) -> bool:
            verified.append(password)
            return await verify(self, stored, password)

        monkeypatch.setattr(Passwords, "verify", counted)
        counts = []
        for email in (ADA, "nobody@example.org"):
            await strict.auth.post("/auth/register", registration(email, password="the password of a stranger"))
            for password in ("wrong password", "the password of a stranger"):
                verified.clear()
                await strict.log_in(password, email)
                counts.append(len(verified))
        assert counts == [2, 2, 2, 2]

    async def test_every_registration_costs_one_hash(self, strict: Strict, monkeypatch: pytest.MonkeyPatch) -> None:
        await strict.account()
        hashes: list[str] = []
        hash_of = Passwords.hash

        async def counted(self: Passwords, password: str) -> str:
            hashes.append(password)
            return await hash_of(self, password)

        monkeypatch.setattr(Passwords, "hash", counted)
        for email, so_far in ((ADA, 1), ("new@example.org", 2)):
            await strict.auth.post("/auth/register", registration(email))
            assert len(hashes) == so_far

    async def test_a_mail_is_written_for_an_unknown_address_too(self, strict: Strict) -> None:
        await strict.account()
        counts = []
        for email in (ADA, "nobody@example.org"):
            before = await strict.auth.value("SELECT count(*) FROM auth.mail")
            await strict.auth.post("/auth/password-reset", {"email": email})
            counts.append(await strict.auth.value("SELECT count(*) FROM auth.mail") - before)
        assert counts == [1, 1]
        assert len(strict.mails.to("nobody@example.org")) == 0

"""Mail: what is written with a change leaves, once, whatever the mail server does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from fluxprint_auth.keyring import Purpose
from fluxprint_auth.mail import outbox, service
from fluxprint_auth.mail.mailer import Mailer
from fluxprint_local.ports import free_port
from support.auth import Auth, running_auth
from support.mail import MailFolder, MailServer, certificate, running_mail_server, text_of
from support.servers import Database

TO = "ada@example.org"


@asynccontextmanager
async def mailing(database: Database, port: int, **settings: Any) -> AsyncIterator[Auth]:
    """The service with a mail server on loopback."""
    values = {"mail_smtp_starttls": "off", "mail_from": "FluxPrint <flux@example.org>"} | settings
    url = SecretStr(f"smtp://127.0.0.1:{port}")
    async with running_auth(database, mail_smtp_url=url, **values) as auth:
        yield auth


async def write(auth: Auth, *, to: str | None = TO, **facts: Any) -> None:
    mailer: Mailer = auth.app.state.mailer
    async with auth.app.state.database.unit_of_work() as session:
        values: dict[str, Any] = {"link": mailer.link("reset", "fxl_x"), "until": datetime.now(UTC)} | facts
        await service.send(session, mailer, "password_reset", to=to, **values)


async def states(auth: Auth) -> list[tuple[bool, bool]]:
    rows = await auth.fetch("SELECT sent_at, failed_at FROM auth.mail ORDER BY id")
    return [(row["sent_at"] is not None, row["failed_at"] is not None) for row in rows]


async def until(auth: Auth, wanted: list[tuple[bool, bool]]) -> None:
    async with asyncio.timeout(20):
        while await states(auth) != wanted:
            await asyncio.sleep(0.02)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead server is asked again at once."""
    monkeypatch.setattr(outbox, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(outbox, "LONGEST_REST_S", 0.1)


class TestSending:
    async def test_text_and_html_with_a_link_of_the_configured_base(self, database: Database) -> None:
        port = free_port()
        async with (
            running_mail_server(port) as server,
            mailing(database, port, link_base_url="https://app.example.org/") as auth,
        ):
            await write(auth)
            await server.count(1)
            await until(auth, [(True, False)])
            assert await auth.value("SELECT content FROM auth.mail") is None
        mail = server.mails[0]
        assert (mail["To"], mail["From"]) == (TO, "FluxPrint <flux@example.org>")
        assert mail["Subject"] == "Set a new password"
        assert "https://app.example.org/reset#token=fxl_x" in text_of(mail)
        assert 'href="https://app.example.org/reset#token=fxl_x"' in text_of(mail, "html")

    async def test_what_waits_can_be_read_by_nobody_else(self, database: Database) -> None:
        async with mailing(database, free_port()) as auth:
            await write(auth)
            content = await auth.value("SELECT content FROM auth.mail")
            assert b"fxl_x" not in content
            assert b"fxl_x" in auth.app.state.keyring.decrypt(Purpose.MAIL, content)

    async def test_not_before_the_commit(self, database: Database) -> None:
        port = free_port()
        async with running_mail_server(port) as server, mailing(database, port) as auth:
            async with auth.app.state.database.sessions() as session:  # closed without a commit
                await service.send(session, auth.app.state.mailer, "account_exists", to=TO)
            await write(auth, to="later@example.org")
            await server.count(1)
        assert server.recipients == ["later@example.org"]

    async def test_a_mail_to_nobody_ends_unsent(self, database: Database) -> None:
        port = free_port()
        async with running_mail_server(port) as server, mailing(database, port) as auth:
            await write(auth, to=None)
            await until(auth, [(True, False)])
        assert server.mails == []

    async def test_into_files_for_their_owner_only(self, database: Database, tmp_path: Path) -> None:
        folder = tmp_path / "mail"
        async with running_auth(database, mail_dir=folder) as auth:
            await write(auth)
            mail = await MailFolder(folder).next_to(TO)
        assert mail["Subject"] == "Set a new password"
        assert [file.stat().st_mode & 0o777 for file in (folder, *folder.iterdir())] == [0o700, 0o600]

    async def test_without_a_server_nothing_is_written(self, auth: Auth) -> None:
        await write(auth)
        assert await auth.value("SELECT count(*) FROM auth.mail") == 0
        assert (await auth.http.get("/auth/health")).json()["mail"] == "not configured"


class TestHostileContent:
    async def test_no_fact_becomes_a_header_or_markup(self, database: Database) -> None:
        port = free_port()
        async with running_mail_server(port) as server, mailing(database, port) as auth:
            async with auth.app.state.database.unit_of_work() as session:
                hostile = "<b>x\r\nBcc: eve@example.org\r\n\r\n.\r\nMAIL FROM:<x>"
                await service.send(
                    session, auth.app.state.mailer, "email_changed", to=TO, new_email=hostile, at=datetime.now(UTC)
                )
            await server.count(1)
        mail = server.mails[0]
        assert mail["Bcc"] is None
        assert "<b>x" not in text_of(mail, "html")
        assert server.recipients == [TO]

    @pytest.mark.parametrize("to", ["ada@example.org\r\nBcc: eve@example.org", "ada@example.org, eve@example.org"])
    async def test_no_address_becomes_two(self, database: Database, to: str) -> None:
        port = free_port()
        async with running_mail_server(port) as server, mailing(database, port) as auth:
            await write(auth, to=to)
            await write(auth)
            await until(auth, [(False, True), (True, False)])
        assert server.recipients == [TO]


class TestFailing:
    async def test_a_dead_server_loses_nothing(self, database: Database) -> None:
        port = free_port()
        server = MailServer(port)
        async with mailing(database, port) as auth:
            async with running_mail_server(port, server):
                await write(auth)
                await server.count(1)
            for _ in range(3):
                await write(auth)
            async with asyncio.timeout(20):
                while (await auth.http.get("/auth/health")).json()["mail"] != "failing":
                    await asyncio.sleep(0.1)
            assert (await auth.http.get("/auth/health")).json()["status"] == "degraded"
            async with running_mail_server(port, server):
                await server.count(4)
                await until(auth, [(True, False)] * 4)
        assert len({mail["Message-ID"] for mail in server.mails}) == 4

    async def test_what_the_server_refuses_for_good_stops_nothing_else(self, database: Database) -> None:
        port = free_port()
        async with running_mail_server(port) as server, mailing(database, port) as auth:
            server.answer = "550 no such person"
            await write(auth)
            await until(auth, [(False, True)])
            server.answer = "250 taken"
            await write(auth)
            await server.count(1)
            row = (await auth.fetch("SELECT content, error FROM auth.mail WHERE failed_at IS NOT NULL"))[0]
        assert (row["content"], row["error"]) == (None, "the server refused the mail: 550")

    async def test_is_given_up_when_it_is_of_no_use_any_more(self, database: Database) -> None:
        async with mailing(database, free_port()) as auth:
            mailer: Mailer = auth.app.state.mailer
            async with auth.app.state.database.unit_of_work() as session:
                await service.send(session, mailer, "account_exists", to=TO, useful_for=timedelta(milliseconds=1))
            await until(auth, [(False, True)])

    async def test_over_tls_to_a_server_that_is_who_it_says(self, database: Database, tmp_path: Path) -> None:
        context, authority = certificate(tmp_path)
        port = free_port()
        server = MailServer(port)
        tls = {"tls_context": context, "require_starttls": True, "authenticator": server.authenticate}
        url = SecretStr(f"smtp://fluxprint:p%40ss@localhost:{port}")
        sender = {"mail_smtp_url": url, "mail_from": "flux@example.org"}
        async with (
            running_mail_server(port, server, **tls),
            running_auth(database, mail_smtp_ca_file=authority, **sender) as auth,
        ):
            await write(auth)
            await server.count(1)
        assert server.passwords == ["p@ss"]

    async def test_nothing_goes_to_a_server_that_nobody_vouches_for(self, database: Database, tmp_path: Path) -> None:
        context, _ = certificate(tmp_path)
        port = free_port()
        server = MailServer(port)
        tls = {"tls_context": context, "authenticator": server.authenticate}
        url = SecretStr(f"smtp://fluxprint:p%40ss@localhost:{port}")
        sender = {"mail_smtp_url": url, "mail_from": "flux@example.org"}
        async with running_mail_server(port, server, **tls), running_auth(database, **sender) as auth:
            await write(auth)
            async with asyncio.timeout(20):
                while "CERTIFICATE_VERIFY_FAILED" not in (await auth.value("SELECT error FROM auth.mail") or ""):
                    await asyncio.sleep(0.02)
        assert (server.mails, server.passwords) == ([], [])

    async def test_a_password_never_goes_over_a_line_in_clear(self, database: Database) -> None:
        port = free_port()
        async with (
            running_mail_server(port) as server,
            mailing(database, port, mail_smtp_starttls="required") as auth,
        ):
            await write(auth)
            async with asyncio.timeout(20):
                while await auth.value("SELECT error FROM auth.mail") is None:
                    await asyncio.sleep(0.02)
        assert server.mails == []


class TestReplicas:
    async def test_two_send_each_mail_once(self, database: Database) -> None:
        port = free_port()
        async with (
            running_mail_server(port) as server,
            mailing(database, port) as one,
            mailing(database, port) as other,
        ):
            await asyncio.gather(*(write(auth, to=f"{i}@example.org") for i in range(20) for auth in (one, other)))
            other.app.state.mailer.wake.set()
            await until(one, [(True, False)] * 40)
        assert len(server.mails) == 40
        assert len({mail["Message-ID"] for mail in server.mails}) == 40

    async def test_nobody_takes_a_mail_that_another_is_sending(self, database: Database) -> None:
        port = free_port()
        async with running_mail_server(port) as server, mailing(database, port) as one:
            release = server.hold_the_next()
            await write(one)
            async with asyncio.timeout(20):
                while server.held is not None:
                    await asyncio.sleep(0.02)
            async with mailing(database, port) as other:
                await write(other, to="other@example.org")
                await server.count(1)
                release.set()
                await until(one, [(True, False)] * 2)
        assert server.recipients == ["other@example.org", TO]

    async def test_what_a_killed_one_held_is_sent_by_another(self, database: Database) -> None:
        port = free_port()
        async with mailing(database, port) as auth:
            await auth.app.state.loops.stop("mail")
            await write(auth)
            await auth.fetch("UPDATE auth.mail SET tries = 1, next_try_at = now() + interval '2 min'")
            async with running_mail_server(port) as server, mailing(database, port) as other:
                await write(other)
                await server.count(1)
                await auth.fetch("UPDATE auth.mail SET next_try_at = now() WHERE sent_at IS NULL")
                other.app.state.mailer.wake.set()
                await server.count(2)

"""`renew-secrets`: after it, nothing needs the previous secret any more."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Column, insert, update

from fluxprint_auth import renewal
from fluxprint_auth.commands import renew_secrets
from fluxprint_auth.commands.parser import make_parser
from fluxprint_auth.commands.running import CommandFailed
from fluxprint_auth.keyring import Keyring, Purpose
from fluxprint_auth.keys.models import SigningKeyRow
from fluxprint_auth.models import metadata
from fluxprint_common.ids import new_id
from support.auth import Auth, running_auth, settings_of
from support.servers import Database

OLD, NEW = secrets.token_hex(32), secrets.token_hex(32)
#: Keyed hashes of what lives for minutes; nothing encrypted for them is kept.
HASHES = {Purpose.FINGERPRINT, Purpose.CSRF}


@pytest.fixture
async def auth(database: Database) -> AsyncIterator[Auth]:
    """A service that has worked with the old secret for a while."""
    async with running_auth(database, secret=SecretStr(OLD), signing_key=None) as auth:
        yield auth


async def fill(auth: Auth, count: int, keyring: Keyring) -> None:
    """Some more rows of a table that holds something encrypted."""
    yesterday = datetime.now(UTC) - timedelta(days=1)
    rows = [
        {
            "id": new_id(),
            "kid": f"kid-{number}",
            "private_key": keyring.encrypt(Purpose.SIGNING_KEY, b"pem"),
            "signs_from": yesterday,
            "published_until": yesterday,
        }
        for number in range(count)
    ]
    async with auth.app.state.database.unit_of_work() as session:
        await session.execute(insert(SigningKeyRow), rows)


async def run(database: Database, *, secret: str, previous: str | None = None) -> None:
    settings = settings_of(
        database.url_for("auth"), secret=SecretStr(secret), previous_secret=SecretStr(previous) if previous else None
    )
    await renew_secrets.run(make_parser().parse_args(["renew-secrets"]), settings)


class TestEveryTable:
    def test_says_what_in_it_is_encrypted(self) -> None:
        found = {purpose for _, purpose in renewal.encrypted_columns()}
        assert found == set(Purpose) - HASHES

    def test_is_found_by_its_primary_key(self) -> None:
        columns: list[Column[Any]] = [column for column, _ in renewal.encrypted_columns()]
        assert {column.table.name for column in columns} <= {table.name for table in metadata.sorted_tables}
        assert all(column.table.primary_key for column in columns)


class TestRenewing:
    async def test_makes_the_previous_secret_needless(
        self, auth: Auth, database: Database, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ada = await auth.register()
        await run(database, secret=NEW, previous=OLD)
        assert "1 encrypted anew, 0 were up to date" in capsys.readouterr().out
        assert (await auth.events())[-1] == "auth_secrets_renewed"
        async with running_auth(database, secret=SecretStr(NEW), signing_key=None) as renewed:
            assert (await renewed.http.get("/auth/me", headers=ada.headers)).status_code == 200
            assert (await renewed.refresh(ada.tokens["refresh_token"])).status_code == 200
        # The process that still has the old secret goes on with the keys that it knows.
        await auth.app.state.keys.load()
        assert (await auth.http.get("/auth/jwks")).status_code == 200

    async def test_may_be_done_again(self, auth: Auth, database: Database, capsys: pytest.CaptureFixture[str]) -> None:
        await run(database, secret=NEW, previous=OLD)
        before = await auth.fetch("SELECT private_key FROM auth.signing_key")
        await run(database, secret=NEW, previous=OLD)
        assert "0 encrypted anew, 1 were up to date" in capsys.readouterr().out
        assert await auth.fetch("SELECT private_key FROM auth.signing_key") == before

    async def test_goes_in_batches_over_everything(self, auth: Auth, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(renewal, "BATCH", 10)
        await fill(auth, 29, Keyring(OLD))
        counts = await renewal.renew(auth.app.state.database, Keyring(NEW, previous=OLD))
        assert counts == renewal.Counts(renewed=30, current=0, unreadable=0)
        for row in await auth.fetch("SELECT private_key FROM auth.signing_key WHERE kid LIKE 'kid-%'"):
            assert Keyring(NEW).decrypt(Purpose.SIGNING_KEY, row["private_key"]) == b"pem"

    async def test_leaves_what_it_cannot_read_and_says_so(self, auth: Auth, database: Database) -> None:
        await fill(auth, 2, Keyring("of nobody"))
        before = await auth.fetch("SELECT kid, private_key FROM auth.signing_key WHERE kid LIKE 'kid-%' ORDER BY kid")
        with pytest.raises(CommandFailed, match="2 could not be read"):
            await run(database, secret=NEW, previous=OLD)
        after = await auth.fetch("SELECT kid, private_key FROM auth.signing_key WHERE kid LIKE 'kid-%' ORDER BY kid")
        assert after == before
        assert await auth.value("SELECT count(*) FROM auth.signing_key") == 3

    async def test_does_not_take_back_what_changed_meanwhile(self, auth: Auth) -> None:
        """A row that somebody holds is waited for, and read as it is then."""
        keyring = Keyring(NEW, previous=OLD)
        async with auth.app.state.database.sessions() as other:
            changed = keyring.encrypt(Purpose.SIGNING_KEY, b"changed meanwhile")
            await other.execute(update(SigningKeyRow).values(private_key=changed))
            renewing = asyncio.create_task(renewal.renew(auth.app.state.database, keyring))
            async with asyncio.timeout(10):
                while not await auth.value("SELECT count(*) FROM pg_locks WHERE NOT granted"):
                    await asyncio.sleep(0.02)
            await other.commit()
        assert await renewing == renewal.Counts(renewed=0, current=1, unreadable=0)
        (kept,) = await auth.fetch("SELECT private_key FROM auth.signing_key")
        assert kept["private_key"] == changed

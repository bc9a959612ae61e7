"""`python -m fluxprint_auth`, as somebody types it."""

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from fluxprint_auth.commands import create_admin
from fluxprint_auth.commands.parser import make_parser
from fluxprint_auth.commands.running import CommandFailed, attempt, execute
from fluxprint_common import logs
from fluxprint_local.bootstrap import ROOT
from fluxprint_local.ports import free_port
from fluxprint_local.process import Process
from support.auth import PASSWORD, SIGNING_KEY, Auth, running_auth, settings_of
from support.factors import set_up
from support.servers import Database, started


@pytest.fixture
def environment(database: Database) -> dict[str, str]:
    """What a production service is given."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AUTH_", "FLUXPRINT_"))}
    return inherited | {
        "AUTH_DATABASE_URL": database.url_for("auth"),
        "AUTH_SIGNING_KEY": SIGNING_KEY,
        "AUTH_SECRET": secrets.token_hex(32),
        "AUTH_PORT": str(free_port()),
    }


Outcome = tuple[int, str, str]
Command = Callable[..., Awaitable[Outcome]]


async def process(environment: Mapping[str, str], *arguments: str, stdin: str = "") -> Outcome:
    """Exit status, output and errors of a process of its own."""
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "fluxprint_auth", *arguments,
        env=environment, cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(30):
        output, errors = await running.communicate(stdin.encode())
    return running.returncode or 0, output.decode(), errors.decode()


@pytest.fixture
def command(database: Database, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """The same within this process, where everything is imported already: that takes longer than most commands."""
    settings = settings_of(database.url_for("auth"))
    # Set up by a command, the logs would stay so for every later test. Its own lines are for standard output.
    monkeypatch.setattr(logs, "configure", lambda **_settings: None)

    def run(*arguments: str) -> int:
        try:
            with capture_logs():
                execute(make_parser().parse_args(arguments), settings)
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    async def typed(*arguments: str) -> Outcome:
        capsys.readouterr()
        status = await asyncio.to_thread(run, *arguments)  # a command has an event loop of its own
        return status, *capsys.readouterr()

    return typed


class TestCreatingTheAdministrator:
    async def test_with_a_generated_password_that_then_works(
        self, environment: dict[str, str], database: Database
    ) -> None:
        status, output, errors = await process(
            environment, "create-admin", "Root@Example.org", "--generate-password", "--organisation", "The Lab"
        )
        assert (status, errors) == (0, "")
        first, second = output.splitlines()
        assert first == "administrator root@example.org created, owner of the organisation the-lab"
        async with running_auth(database) as auth:
            tokens = await auth.log_in("root@example.org", second.removeprefix("password: "))
            me = await auth.http.get("/auth/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})
            assert me.json()["user"]["is_administrator"] is True
            assert me.json()["role"] == "owner"
            assert (await auth.events())[0] == "auth_administrator_created"

    async def test_with_a_password_from_standard_input_but_not_over_an_account(
        self, environment: dict[str, str], lone_auth: Auth
    ) -> None:
        await lone_auth.register("root@example.org")
        status, output, errors = await process(environment, "create-admin", "root@example.org", stdin=f"{PASSWORD}\n")
        assert (status, output) == (1, "")
        assert errors == "create-admin: there is an account with root@example.org already\n"

    async def test_on_a_database_that_is_away_says_so(self) -> None:
        settings = settings_of("postgresql+asyncpg://fluxprint_auth:x@127.0.0.1:1/none")
        root = create_admin.Administrator(
            email="root@example.org", name="Root", organisation="The Lab", password=PASSWORD
        )
        with pytest.raises(CommandFailed, match="the database at AUTH_DATABASE_URL does not answer"):
            await attempt(create_admin.create(root, settings))

    async def test_on_a_database_without_tables_says_so(self, postgres: str) -> None:
        root = create_admin.Administrator(
            email="root@example.org", name="Root", organisation="The Lab", password=PASSWORD
        )
        with pytest.raises(CommandFailed, match="are its migrations done"):
            await attempt(create_admin.create(root, settings_of(postgres)))


class TestAccounts:
    async def test_are_listed(self, command: Command, lone_auth: Auth) -> None:
        emails = [(await lone_auth.register(f"person-{number}@example.org")).email for number in range(3)]
        await lone_auth.fetch('UPDATE auth."user" SET email_verified_at = now()')
        status, output, errors = await command("list-users")
        assert (status, errors) == (0, "")
        lines = output.splitlines()
        assert [line.split("  ")[0] for line in lines] == emails
        assert lines[0].startswith("person-0@example.org  Ada Lovelace  since 20")
        _, output, _ = await command("list-users", "--email", "PERSON-1")
        assert [line.split("  ")[0] for line in output.splitlines()] == [emails[1]]

    async def test_one_is_disabled_and_enabled(self, command: Command, lone_auth: Auth) -> None:
        ada = await lone_auth.register("ada@example.org")
        assert await command("disable-user", "Ada@Example.org") == (0, "ada@example.org is disabled\n", "")
        assert (await lone_auth.http.get("/auth/me", headers=ada.headers)).status_code == 401
        answer = await lone_auth.post("/auth/login", {"email": ada.email, "password": ada.password})
        assert answer.json()["code"] == "account_disabled"
        _, output, _ = await command("list-users")
        assert output.rstrip().endswith("disabled")
        assert (await command("enable-user", "ada@example.org"))[0] == 0
        await lone_auth.log_in(ada.email)
        rows = await lone_auth.fetch(
            "SELECT type, actor_id, address FROM auth.security_events WHERE type LIKE 'auth_account_%' ORDER BY id"
        )
        assert [tuple(row) for row in rows] == [
            ("auth_account_disabled", None, None), ("auth_account_enabled", None, None),
        ]  # fmt: skip

    async def test_the_last_administrator_is_not_disabled(self, command: Command, lone_auth: Auth) -> None:
        await lone_auth.register("root@example.org")
        await lone_auth.fetch('UPDATE auth."user" SET is_administrator = true')
        status, output, errors = await command("disable-user", "root@example.org")
        assert (status, output) == (1, "")
        assert errors.startswith("disable-user: Nobody else could look after this installation")

    async def test_one_is_unlocked(self, command: Command, lone_auth: Auth) -> None:
        ada = await lone_auth.register("ada@example.org")
        for _ in range(5):
            await lone_auth.post("/auth/login", {"email": ada.email, "password": "not the password"})
        assert (await command("unlock-user", ada.email))[:2] == (0, "ada@example.org is unlocked\n")
        await lone_auth.log_in(ada.email)

    async def test_ones_second_factor_is_reset(self, command: Command, lone_auth: Auth) -> None:
        ada = await lone_auth.register("ada@example.org")
        await set_up(lone_auth, ada)
        status, output, _ = await command("reset-second-factor", ada.email)
        assert (status, output) == (0, "ada@example.org is without a second factor now, and signed out\n")
        assert (await lone_auth.http.get("/auth/me", headers=ada.headers)).status_code == 401
        await lone_auth.log_in(ada.email)

    @pytest.mark.parametrize("name", ["disable-user", "enable-user", "unlock-user", "reset-second-factor"])
    async def test_nobody_is_found_where_there_is_nobody(self, command: Command, name: str) -> None:
        status, output, errors = await command(name, "nobody@example.org")
        assert (status, output) == (1, "")
        assert errors == f"{name}: there is no account with nobody@example.org; list-users shows them\n"
        status, _, errors = await command(name, "nobody")
        assert status == 2
        assert "is no e-mail address" in errors


class TestDatabaseStatus:
    async def test_is_printed(self, command: Command, lone_auth: Auth) -> None:
        await lone_auth.register()
        status, output, errors = await command("db-status")
        assert (status, errors) == (0, "")
        newest = await lone_auth.value("SELECT version_num FROM public.alembic_version")
        assert f"schema revision     {newest}\n" in output
        assert "security_events" in output


class TestServing:
    async def test_answers_until_it_is_told_to_stop(self, environment: dict[str, str], tmp_path: Path) -> None:
        url = f"http://127.0.0.1:{environment['AUTH_PORT']}"
        async with httpx.AsyncClient(base_url=url) as http:

            async def is_ready() -> bool:
                try:
                    return (await http.get("/health")).status_code == 200
                except httpx.TransportError:
                    return False

            service = Process(
                name="auth",
                command=[sys.executable, "-P", "-m", "fluxprint_auth"],
                environment=environment,
                is_ready=is_ready,
            )
            log = tmp_path / "auth.log"
            async with started(service, log) as running:
                health = (await http.get("/api/v1/auth/health")).json()
                assert (health["status"], health["database"]) == ("healthy", "connected")
                assert (await http.get("/api/v1/auth/jwks")).status_code == 200
            # uvicorn shuts down in good order and then ends by the signal itself.
            assert running.returncode == -signal.SIGTERM
        assert SIGNING_KEY not in log.read_text()

    async def test_refuses_to_start_without_its_settings(self) -> None:
        status, _, errors = await process({"PATH": os.environ["PATH"]})
        assert status == 78
        assert "AUTH_DATABASE_URL" in errors
        assert "Traceback" not in errors

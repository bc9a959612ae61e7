"""`python -m fluxprint_auth`, as somebody types it."""

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from fluxprint_auth.commands import create_admin
from fluxprint_auth.commands.running import CommandFailed, attempt
from fluxprint_local.bootstrap import ROOT
from fluxprint_local.ports import free_port
from fluxprint_local.process import Process
from support.auth import PASSWORD, SIGNING_KEY, Auth, running_auth, settings_of
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


async def command(environment: Mapping[str, str], *arguments: str, stdin: str = "") -> tuple[int, str, str]:
    """Exit status, output and errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "fluxprint_auth", *arguments,
        env=environment, cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(30):
        output, errors = await process.communicate(stdin.encode())
    return process.returncode or 0, output.decode(), errors.decode()


class TestCreatingTheAdministrator:
    async def test_with_a_generated_password_that_then_works(
        self, environment: dict[str, str], database: Database
    ) -> None:
        status, output, errors = await command(
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
        status, output, errors = await command(environment, "create-admin", "root@example.org", stdin=f"{PASSWORD}\n")
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


class TestServing:
    async def test_answers_until_it_is_told_to_stop(self, environment: dict[str, str], tmp_path: Path) -> None:
        url = f"http://127.0.0.1:{environment['AUTH_PORT']}"
        async with httpx.AsyncClient(base_url=url) as http:

            async def is_ready() -> bool:
                try:
                    return (await http.get("/health")).status_code == 200
                except httpx.TransportError:
                    return False

            process = Process(
                name="auth",
                command=[sys.executable, "-P", "-m", "fluxprint_auth"],
                environment=environment,
                is_ready=is_ready,
            )
            log = tmp_path / "auth.log"
            async with started(process, log) as running:
                health = (await http.get("/api/v1/auth/health")).json()
                assert (health["status"], health["database"]) == ("healthy", "connected")
                assert (await http.get("/api/v1/auth/jwks")).status_code == 200
            # uvicorn shuts down in good order and then ends by the signal itself.
            assert running.returncode == -signal.SIGTERM
        assert SIGNING_KEY not in log.read_text()

    async def test_refuses_to_start_without_its_settings(self) -> None:
        status, _, errors = await command({"PATH": os.environ["PATH"]})
        assert status == 78
        assert "AUTH_DATABASE_URL" in errors
        assert "Traceback" not in errors

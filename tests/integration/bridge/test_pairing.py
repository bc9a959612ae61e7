"""A bridge gets its identity from the real auth service, by a code that a person confirms."""

import asyncio
import os
import re
import stat
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fluxprint_auth.app import create_app
from fluxprint_auth.pairings import service
from fluxprint_bridge import identity
from fluxprint_bridge.cloud.api import CloudApi
from fluxprint_bridge.pairing import PairingFailed, pair
from fluxprint_bridge.settings import CloudSettings
from support.auth import registration, settings_of
from support.servers import Database
from support.serving import serving

CODE = re.compile(r"^ {4}([A-Z]{4}-[A-Z]{4})$", re.MULTILINE)


class Cloud:
    """The auth service behind a real socket, and Ada, who owns an organisation."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.url = str(http.base_url).removesuffix("/api/v1/")

    async def sign_in(self) -> None:
        answer = await self.http.post("auth/register", json=registration("ada@example.org"))
        assert answer.status_code == 201, answer.text
        self.http.headers["Authorization"] = f"Bearer {answer.json()['tokens']['access_token']}"

    async def approve(self, code: str) -> None:
        answer = await self.http.post(f"bridges/pairings/{code}/approve", json={"name": "Workshop"})
        assert answer.status_code == 201, answer.text

    async def deny(self, code: str) -> None:
        assert (await self.http.post(f"bridges/pairings/{code}/deny")).status_code == 204

    async def bridges(self) -> list[dict[str, Any]]:
        bridges: list[dict[str, Any]] = (await self.http.get("bridges")).json()["items"]
        return bridges

    def settings(self, folder: Path) -> CloudSettings:
        return CloudSettings(api_url=self.url, data_dir=folder)


@asynccontextmanager
async def running_cloud(database: Database, wrapped: Callable[[ASGIApp], ASGIApp]) -> AsyncIterator[Cloud]:
    app = create_app(settings_of(database.url_for("auth")))
    async with serving(wrapped(app)) as url, httpx.AsyncClient(base_url=f"{url}/api/v1/", timeout=20) as http:
        cloud = Cloud(http)
        await cloud.sign_in()
        yield cloud


@pytest.fixture
async def cloud(database: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cloud]:
    monkeypatch.setattr(service, "INTERVAL_S", 1)
    async with running_cloud(database, lambda app: app) as cloud:
        yield cloud


class Terminal:
    """What the bridge says; the code is given to `decide` as soon as it is shown."""

    def __init__(self, decide: Callable[[str], Any] | None = None) -> None:
        self.text = ""
        self._decide = decide
        self.decisions: list[asyncio.Task[Any]] = []

    def say(self, line: str) -> None:
        self.text += line + "\n"
        if self._decide and (found := CODE.search(line)):
            self.decisions.append(asyncio.ensure_future(self._decide(found[1])))


async def quickly(_seconds: float) -> None:
    await asyncio.sleep(0.05)


class TestTheCommand:
    async def test_pairs_and_keeps_the_token_for_itself(self, cloud: Cloud, tmp_path: Path) -> None:
        folder = tmp_path / "data"
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("BRIDGE_", "FLUX"))}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-u", "-P", "-m", "fluxprint_bridge", "pair", "--data-dir", str(folder),
            env=environment | {"FLUXPRINT_API_URL": cloud.url, "FLUXPRINT_ENVIRONMENT": "test", "BRIDGE_POLL_S": "3"},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        async with asyncio.timeout(30):
            said = ""
            while not (found := CODE.search(said)):
                line = await process.stdout.readline()
                assert line, (await process.stderr.read()).decode()
                said += line.decode()
            shown = (await cloud.http.get(f"bridges/pairings/{found[1]}")).json()
            await cloud.approve(found[1])
            said += (await process.stdout.read()).decode()
            assert await process.wait() == 0
        assert shown["agent"].startswith("fluxprint-bridge/")
        assert "/pair and type this code:" in said
        assert "Paired as Workshop." in said
        file = folder / identity.FILE
        assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(folder.stat().st_mode)) == (0o600, 0o700)
        token = identity.read(folder)
        assert token is not None
        assert token.get_secret_value() not in said
        async with CloudApi(cloud.settings(folder).api_v1_url, token) as api:
            assert await api.token.bridge_id() == (await cloud.bridges())[0]["id"]

    async def test_that_lacks_the_address_says_so(self, tmp_path: Path) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "fluxprint_bridge", "pair", "--data-dir", str(tmp_path),
            env={"PATH": os.environ["PATH"]}, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, errors = await process.communicate()
        assert (process.returncode, errors.decode()) == (
            78,
            "FLUXPRINT_API_URL: give --api-url https://print.example.org, or set it\n",
        )


class TestPairing:
    async def test_waits_as_it_is_told(self, cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(service, "INTERVAL_S", 5)
        waited: list[float] = []

        async def sleep(seconds: float) -> None:
            waited.append(seconds)
            if len(waited) == 4:
                await cloud.approve(CODE.findall(terminal.text)[0])

        terminal = Terminal()
        await pair(cloud.settings(tmp_path), say=terminal.say, sleep=sleep)
        assert waited == [5, 5, 10, 15]  # it asks without waiting: five seconds more each time

    async def test_that_is_refused_says_so(self, cloud: Cloud, tmp_path: Path) -> None:
        terminal = Terminal(cloud.deny)
        with pytest.raises(PairingFailed, match="somebody refused this bridge"):
            await pair(cloud.settings(tmp_path), say=terminal.say, sleep=quickly)
        assert identity.read(tmp_path) is None

    async def test_takes_no_identity_away_unasked(self, cloud: Cloud, tmp_path: Path) -> None:
        identity.write(tmp_path, SecretStr("fxb_old"))
        with pytest.raises(PairingFailed, match="--replace"):
            await pair(cloud.settings(tmp_path), say=Terminal().say)
        await pair(cloud.settings(tmp_path), replace=True, say=Terminal(cloud.approve).say, sleep=quickly)
        token = identity.read(tmp_path)
        assert token is not None
        assert token.get_secret_value() != "fxb_old"

    async def test_asks_nobody_where_it_cannot_keep_the_token(self, cloud: Cloud, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        terminal = Terminal()
        with pytest.raises(PairingFailed, match="BRIDGE_DATA_DIR"):
            await pair(cloud.settings(tmp_path / "file"), say=terminal.say)
        assert terminal.text == ""

    async def test_says_when_nobody_is_there(self, tmp_path: Path) -> None:
        with pytest.raises(PairingFailed, match="does not answer"):
            await pair(CloudSettings(api_url="http://127.0.0.1:1", data_dir=tmp_path), say=Terminal().say)

    async def test_survives_a_lost_answer(self, database: Database, tmp_path: Path) -> None:
        losses = Losses()
        async with running_cloud(database, losses.around) as cloud:
            await pair(cloud.settings(tmp_path), say=Terminal(cloud.approve).say, sleep=quickly)
            token = identity.read(tmp_path)
            assert token is not None
            assert losses.lost == 1
            async with CloudApi(cloud.settings(tmp_path).api_v1_url, token) as api:
                await api.token.get()
            assert len(await cloud.bridges()) == 1


class Losses:
    """Loses the first answer that holds a token."""

    def __init__(self) -> None:
        self.lost = 0

    def around(self, app: ASGIApp) -> ASGIApp:
        async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or not scope["path"].endswith("/auth/bridge-pairings/token"):
                await app(scope, receive, send)
                return
            messages: list[Message] = []

            async def keep(message: Message) -> None:
                messages.append(message)

            await app(scope, receive, keep)
            if messages[0]["status"] == 200 and not self.lost:
                self.lost += 1
                messages = [
                    {"type": "http.response.start", "status": 502, "headers": []},
                    {"type": "http.response.body", "body": b"bad gateway"},
                ]
            for message in messages:
                await send(message)

        return wrapped


class TestOneTokenInTwoPlaces:
    async def test_is_noticed_between_two_bridges_but_not_in_a_restart(self, cloud: Cloud, tmp_path: Path) -> None:
        await pair(cloud.settings(tmp_path), say=Terminal(cloud.approve).say, sleep=quickly)
        token = identity.read(tmp_path)
        assert token is not None
        url = cloud.settings(tmp_path).api_v1_url
        async with CloudApi(url, token) as before:
            await before.token.get()
        async with CloudApi(url, token) as restarted, CloudApi(url, token) as copy:
            await restarted.token.get()
            assert (await cloud.bridges())[0]["used_twice_at"] is None
            await copy.token.get()
            assert (await cloud.bridges())[0]["used_twice_at"] is None
            restarted.token._renew_at = 0.0
            await restarted.token.get()
        assert (await cloud.bridges())[0]["used_twice_at"] is not None

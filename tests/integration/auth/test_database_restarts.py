"""PostgreSQL goes away while people sign in and refresh, and comes back: nobody is signed out by that."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx
import pytest
from asgi_lifespan import LifespanManager

from fluxprint_auth.app import create_app
from support import servers
from support.auth import PASSWORD, client_of, registration, settings_of
from support.switch import Switch, switched_postgres

PEOPLE = 6


@pytest.fixture
async def postgres_of_auth(tmp_path: Path) -> AsyncIterator[Switch]:
    """A migrated PostgreSQL of this test alone, turned on."""
    async with switched_postgres(tmp_path) as switch:
        await switch.on()
        await servers.migrate(switch.url)
        yield switch


def as_auth(url: str) -> str:
    parts = urlsplit(url)
    where = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"fluxprint_auth:{servers.ROLE_PASSWORDS['auth']}@{where}"))


class Device:
    """A client that refreshes for ever, and tries again with the same token after a 503."""

    def __init__(self, http: httpx.AsyncClient, token: str) -> None:
        self.refreshed = 0
        self.refused: set[int] = set()
        self._http = http
        self._token = token

    async def run(self, until: asyncio.Event) -> None:
        while not until.is_set():
            answer = await self._http.post("/auth/refresh", json={"refresh_token": self._token})
            if answer.status_code == 200:
                self.refreshed += 1
                self._token = answer.json()["refresh_token"]
            else:
                self.refused.add(answer.status_code)
                await asyncio.sleep(0.05)


async def test_a_restart_in_the_middle_signs_nobody_out(postgres_of_auth: Switch) -> None:
    app = create_app(settings_of(as_auth(postgres_of_auth.url)))
    async with LifespanManager(app), client_of(app) as http:
        devices = []
        for number in range(PEOPLE):
            answer = await http.post("/auth/register", json=registration(f"person{number}@example.org"))
            devices.append(Device(http, answer.json()["tokens"]["refresh_token"]))
        done = asyncio.Event()
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            for device in devices:
                group.create_task(device.run(done))
            await _more(devices)
            await postgres_of_auth.off()
            login = {"email": "person0@example.org", "password": PASSWORD}
            answer = await http.post("/auth/login", json=login)
            assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
            await postgres_of_auth.on()
            await _more(devices)
            done.set()
        assert {status for device in devices for status in device.refused} == {503}
        assert (await http.post("/auth/login", json=login)).status_code == 200


async def _more(devices: list[Device]) -> None:
    """Wait until each has been refreshed some times more."""
    wanted = [device.refreshed + 3 for device in devices]
    while any(device.refreshed < count for device, count in zip(devices, wanted, strict=True)):
        await asyncio.sleep(0.02)

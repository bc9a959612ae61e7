"""`./fluxprint up` as a person runs it: the whole stack on a data folder and port of its own."""

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

from fluxprint_local.bootstrap import ROOT
from fluxprint_local.ports import free_port

START_DEADLINE_S = 90


@dataclass(frozen=True)
class Place:
    folder: Path
    port: int

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("FLUXPRINT_", "MIGRATE_"))}
        return {**kept, "FLUXPRINT_DATA_DIR": str(self.folder), "FLUXPRINT_PORT": str(self.port)}

    def run(self, *command: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ROOT / "fluxprint", *command],
            env={**self.environment, **changes},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=START_DEADLINE_S,
        )


@asynccontextmanager
async def up(place: Place) -> AsyncIterator[tuple[psutil.Process, str]]:
    """A running stack and what it said when it was ready."""
    with subprocess.Popen(
        [ROOT / "fluxprint", "up"], env=place.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        try:
            async with asyncio.timeout(START_DEADLINE_S):
                said = ""
                while "administrator" not in said:
                    line = await asyncio.to_thread(program.stdout.readline)
                    assert line, await asyncio.to_thread(program.stderr.read)
                    said += line
            yield psutil.Process(program.pid), said
        finally:
            program.terminate()


def service(supervisor: psutil.Process, module: str) -> psutil.Process:
    ours = supervisor.children(recursive=True)
    [found] = [child for child in ours if " ".join(child.cmdline()).rstrip().endswith(f" -m {module}")]
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("up") / "data", free_port())


@pytest.fixture(scope="module")
async def running(place: Place) -> AsyncIterator[tuple[psutil.Process, str]]:
    async with up(place) as running:
        yield running


@pytest.fixture(scope="module")
async def client(place: Place) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{place.port}", timeout=10) as client:
        yield client


class TestUp:
    """The tests build on each other: a stack takes seconds to start."""

    async def test_says_where_everything_is(
        self, running: tuple[psutil.Process, str], client: httpx.AsyncClient, place: Place
    ) -> None:
        _, said = running
        assert f"http://localhost:{place.port}/api/v1/docs" in said
        assert "./fluxprint admin create" in said
        for name in ("auth", "queue", "camera"):
            health = await client.get(f"/api/v1/{name}/health")
            assert health.json()["status"] == "healthy", health.text
        ports = json.loads((place.folder / "ports.json").read_text())
        for name in ("auth", "queue", "camera", "traefik"):
            assert f"{name} :{ports[name]}" in said
            metrics = await client.get(f"http://127.0.0.1:{ports[name]}/metrics")
            assert metrics.status_code == 200
        assert (await client.get("/metrics")).status_code == 404
        assert (await client.get("/api/v1/nothing")).headers["content-type"] == "application/problem+json"

    async def test_keeps_its_secrets_from_others(self, running: tuple[psutil.Process, str], place: Place) -> None:
        assert stat.S_IMODE(place.folder.stat().st_mode) == 0o700
        secrets = [line.partition("=")[2] for line in (place.folder / "secrets.env").read_text().splitlines()]
        shown = " ".join(" ".join(child.cmdline()) for child in running[0].children(recursive=True))
        logs = "".join(log.read_text() for log in (place.folder / "logs").iterdir())
        assert not [secret for secret in secrets if secret in shown or secret in logs]

    async def test_a_second_one_is_refused(self, running: tuple[psutil.Process, str], place: Place) -> None:
        second = await asyncio.to_thread(place.run, "up")
        assert second.returncode == 1
        assert f"already running on {place.folder} (process {running[0].pid}, " in second.stderr

    async def test_a_port_in_use_is_named_with_its_setting(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            refused = await asyncio.to_thread(Place(tmp_path, port).run, "up")
        assert refused.returncode == 1
        assert f"port {port} on 127.0.0.1 is in use" in refused.stderr
        assert "FLUXPRINT_PORT=" in refused.stderr

    async def test_makes_the_first_administrator(self, running: tuple[psutil.Process, str], place: Place) -> None:
        made = await asyncio.to_thread(place.run, "admin", "create", "chief@example.org", "--generate-password")
        assert made.returncode == 0, made.stderr
        assert "chief@example.org" in made.stdout

    async def test_a_service_that_dies_comes_back(
        self, running: tuple[psutil.Process, str], client: httpx.AsyncClient
    ) -> None:
        before = service(running[0], "fluxprint_camera")
        before.kill()
        before.wait(10)
        async with asyncio.timeout(START_DEADLINE_S):
            while (await client.get("/api/v1/camera/health")).status_code != 200:
                await asyncio.sleep(0.1)
        assert service(running[0], "fluxprint_camera").pid != before.pid

    async def test_kill_9_leaves_nothing_and_the_data_is_there_again(
        self, running: tuple[psutil.Process, str], place: Place
    ) -> None:
        supervisor, _ = running
        started = supervisor.children(recursive=True)
        assert len(started) > 6
        supervisor.send_signal(signal.SIGKILL)
        _, alive = await asyncio.to_thread(psutil.wait_procs, started, 10)
        assert not alive

        async with up(place) as (again, _):
            known = await asyncio.to_thread(place.run, "admin", "create", "chief@example.org", "--generate-password")
            assert "chief@example.org" in known.stderr
            assert known.returncode != 0
            started = again.children(recursive=True)
            down = await asyncio.to_thread(place.run, "down")
            assert down.returncode == 0, down.stderr
            assert not [process for process in started if process.is_running()]
        nothing = await asyncio.to_thread(place.run, "down")
        assert "nothing runs" in nothing.stderr

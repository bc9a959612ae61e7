"""Forked processes: they are what `python -m` starts, and end with their server, whatever ends that."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from fluxprint_local import supervisor
from fluxprint_local.forks import PYTHON_MODULE, Forked, ForkServer, NotForked
from fluxprint_local.process import Process, at_once
from fluxprint_local.supervisor import Supervisor
from support.processes import is_alive

#: What it is told to do it finds in its arguments; what it is it writes to a file beside its package.
PROGRAM = """
import json, os, pathlib, signal, sys, time
loaded_by = os.getpid()
print("said while it is imported")

def main():
    state = {"pid": os.getpid(), "loaded_by": loaded_by, "arguments": sys.argv[1:], "session": os.getsid(0),
             "environment": dict(os.environ), "folder": os.getcwd(), "input": sys.stdin.read()}
    file = pathlib.Path(sys.argv[1])
    file.with_suffix(".new").write_text(json.dumps(state))
    if "gently" not in sys.argv:
        file.with_suffix(".new").rename(file)
    print("as", *sys.argv, flush=True)
    if "gently" in sys.argv:
        signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.5), os._exit(7)))
        file.with_suffix(".new").rename(file)
    if sys.argv[2] in ("stays", "gently"):
        time.sleep(600)
    sys.exit(int(sys.argv[2]))
"""
DEADLINE_S = 20


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package with such a program."""
    folder = tmp_path / "packages/forked_program"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "__main__.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", str(folder.parent))
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    return folder.name


@pytest.fixture
async def forks(package: str, tmp_path: Path) -> AsyncIterator[ForkServer]:
    forks = ForkServer([package], tmp_path / "forks.log")
    await forks.start()
    yield forks
    await forks.stop()


def program(package: str, *arguments: str, environment: dict[str, str] | None = None) -> Process:
    command = [*PYTHON_MODULE, package, *arguments]
    return Process(name="program", command=command, environment=environment or {}, is_ready=at_once)


async def told(file: Path) -> dict[str, object]:
    """What the program writes, once it has."""
    async with asyncio.timeout(DEADLINE_S):
        while not file.exists():
            await asyncio.sleep(0.02)
    state: dict[str, object] = json.loads(file.read_text())
    file.unlink()
    return state


async def ended(forked: Forked) -> int:
    async with asyncio.timeout(DEADLINE_S):
        return await forked.wait()


class TestForked:
    async def test_it_is_what_the_command_would_be(
        self, forks: ForkServer, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "state"
        monkeypatch.setenv("QUEUE_X", "of the supervisor")
        monkeypatch.setenv("SEEN", "as ever")
        process = program(package, str(file), "stays", environment={"AUTH_Y": "its own"})
        forked = await forks.spawn(process, tmp_path / "program.log")
        state = await told(file)
        environment = state["environment"]
        assert isinstance(environment, dict)
        assert (state["pid"], state["session"], state["arguments"]) == (forked.pid, forked.pid, [str(file), "stays"])
        assert (environment.get("AUTH_Y"), environment.get("SEEN"), environment.get("QUEUE_X")) == (
            "its own", "as ever", None,
        )  # fmt: skip
        assert (state["folder"], state["input"]) == (str(Path.cwd()), "")
        assert state["loaded_by"] != forked.pid  # that is what it is for
        assert psutil.Process(forked.pid).cmdline()[0] == " ".join(process.command[:4])
        assert psutil.Process(forked.pid).name() == package
        assert (tmp_path / "program.log").read_text() == f"as {package} {file} stays\n"

    async def test_its_end_is_told(self, forks: ForkServer, package: str, tmp_path: Path) -> None:
        file, log = tmp_path / "state", tmp_path / "log"
        assert await ended(await forks.spawn(program(package, str(file), "0"), log)) == 0
        assert await ended(await forks.spawn(program(package, str(file), "78"), log)) == 78
        assert await ended(await forks.spawn(program(package, str(file), "no number"), log)) == 1
        assert "ValueError" in log.read_text()
        stays = await forks.spawn(program(package, str(file), "stays"), log)
        stays.send_signal(signal.SIGTERM)
        assert await ended(stays) == -signal.SIGTERM
        with pytest.raises(ProcessLookupError):
            stays.send_signal(signal.SIGTERM)

    async def test_many_at_once(self, forks: ForkServer, package: str, tmp_path: Path) -> None:
        several = [
            await forks.spawn(program(package, str(tmp_path / f"state-{n}"), str(n)), tmp_path / "log")
            for n in range(20)
        ]
        assert [await ended(forked) for forked in several] == list(range(20))

    @pytest.mark.parametrize("is_forked", [False, True])
    async def test_one_that_nobody_waits_for_any_more_is_ended(
        self, forks: ForkServer, package: str, tmp_path: Path, is_forked: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = tmp_path / "first", tmp_path / "second"
        forgotten = asyncio.create_task(forks.spawn(program(package, str(first), "stays"), tmp_path / "log"))
        with monkeypatch.context() as patch:
            if is_forked:
                patch.setattr(forks, "_take", lambda said, take=forks._take: (take(said), forgotten.cancel()))
            else:
                while not forks.is_busy:  # until it is ordered
                    await asyncio.sleep(0)
                forgotten.cancel()
            with pytest.raises(asyncio.CancelledError):
                await forgotten
        forked = await forks.spawn(program(package, str(second), "stays"), tmp_path / "log")
        assert (await told(second))["pid"] == forked.pid
        server = psutil.Process(forked.pid).parent()
        assert server is not None
        async with asyncio.timeout(DEADLINE_S):
            while [child.pid for child in server.children()] != [forked.pid]:
                await asyncio.sleep(0.02)

    async def test_a_signal_to_everybody_lets_it_end_by_itself(
        self, forks: ForkServer, package: str, tmp_path: Path
    ) -> None:
        file = tmp_path / "state"
        forked = await forks.spawn(program(package, str(file), "gently"), tmp_path / "log")
        server = (await told(file))["loaded_by"]
        assert isinstance(server, int)
        for pid in (server, forked.pid):
            os.kill(pid, signal.SIGTERM)
        assert await ended(forked) == 7


class TestTheServersEnd:
    async def test_ends_its_children_and_the_next_order_has_a_new_one(
        self, forks: ForkServer, package: str, tmp_path: Path
    ) -> None:
        file, log = tmp_path / "state", tmp_path / "log"
        first = await forks.spawn(program(package, str(file), "stays"), log)
        server = (await told(file))["loaded_by"]
        assert isinstance(server, int)
        os.kill(server, signal.SIGKILL)
        assert await ended(first) == -signal.SIGKILL
        async with asyncio.timeout(DEADLINE_S):
            while is_alive(first.pid):
                await asyncio.sleep(0.02)
        second = await forks.spawn(program(package, str(file), "3"), log)
        assert await ended(second) == 3
        assert (await told(file))["loaded_by"] != server

    async def test_what_cannot_be_imported_is_said(self, tmp_path: Path) -> None:
        forks = ForkServer(["no_such_package"], tmp_path / "forks.log")
        with pytest.raises(NotForked, match=r"forks\.log"):
            await forks.spawn(program("no_such_package"), tmp_path / "log")
        assert "No module named 'no_such_package'" in (tmp_path / "forks.log").read_text()


class TestSupervised:
    async def test_what_dies_is_forked_again(self, package: str, tmp_path: Path) -> None:
        file = tmp_path / "state"
        async with Supervisor(tmp_path) as running:
            await running.preload(package)
            await running.start(program(package, str(file), "stays"))
            first = await told(file)
            pid = running.pid("program")
            assert isinstance(first["pid"], int)
            assert pid == first["pid"] != first["loaded_by"]
            os.kill(first["pid"], signal.SIGKILL)
            second = await told(file)
            assert second["pid"] != first["pid"]
            assert second["loaded_by"] == first["loaded_by"]
        for gone in (second["pid"], second["loaded_by"]):
            assert isinstance(gone, int)
            assert not psutil.pid_exists(gone)

    async def test_a_server_that_stands_still_holds_up_no_end(
        self, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(supervisor, "KILL_TIMEOUT_S", 0.2)
        file = tmp_path / "state"
        stubborn = replace(program(package, str(file), "stays"), stop_timeout_s=0.2)
        async with asyncio.timeout(DEADLINE_S), Supervisor(tmp_path) as running:
            await running.preload(package)
            await running.start(stubborn)
            state = await told(file)
            os.kill(state["loaded_by"], signal.SIGSTOP)  # type: ignore[arg-type]  # numbers, both of them
        assert not is_alive(state["pid"])  # type: ignore[arg-type]

    async def test_an_end_waits_for_no_import(self, package: str, tmp_path: Path) -> None:
        slow = tmp_path / "packages/slow_program"
        slow.mkdir()
        (slow / "__main__.py").write_text("import time; time.sleep(600)")
        before = psutil.Process().children(recursive=True)
        async with asyncio.timeout(DEADLINE_S), Supervisor(tmp_path) as running:
            await running.preload("slow_program")
            starting = asyncio.create_task(running.start(program("slow_program")))
            await asyncio.sleep(0.2)
            starting.cancel()
        assert set(psutil.Process().children(recursive=True)) <= set(before)

    async def test_what_cannot_be_forked_is_executed(self, package: str, tmp_path: Path) -> None:
        file = tmp_path / "state"
        start = f"import sys; sys.argv[0] = 'x'; from {package}.__main__ import main; main()"
        executed = Process(
            name="program",
            command=[sys.executable, "-c", start, str(file), "stays"],
            is_ready=program(package).is_ready,
        )
        async with Supervisor(tmp_path) as running:
            await running.preload(package)
            await running.start(executed)
            state = await told(file)
            assert state["pid"] == state["loaded_by"]

    async def test_a_broken_server_only_costs_time(self, package: str, tmp_path: Path) -> None:
        (tmp_path / "packages/broken_program").mkdir()
        file = tmp_path / "state"
        start = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text('{}'); time.sleep(600)"
        (tmp_path / "packages/broken_program/__main__.py").write_text(
            f"if __name__ != '__main__':\n    raise RuntimeError('no')\n{start}\n"
        )
        async with Supervisor(tmp_path) as running:
            await running.preload("broken_program")
            await running.start(program("broken_program", str(file)))
            await told(file)


def test_importing_a_service_starts_nothing() -> None:
    """A thread that runs at a fork is missing in the child, with the locks that it held."""
    services = ", ".join(f"fluxprint_{name}.__main__" for name in ("auth", "queue", "camera", "bridge"))
    look = f"import psutil, {services}; print(psutil.Process().num_threads())"
    seen = subprocess.run([sys.executable, "-P", "-c", look], capture_output=True, text=True, timeout=60, check=True)
    assert seen.stdout == "1\n"

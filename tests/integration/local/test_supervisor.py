"""The supervisor with real processes: order, restarts, bad conduct, and what is left when it ends."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from fluxprint_local import leftovers, supervisor
from fluxprint_local.ports import free_port
from fluxprint_local.supervisor import StartFailed, Supervisor
from support.processes import is_alive
from support.standins import journal_lines, standin

DEADLINE_S = 20


async def until(condition: Callable[[], bool], deadline_s: float = DEADLINE_S) -> None:
    async with asyncio.timeout(deadline_s):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


class TestOrder:
    async def test_starts_in_order_and_stops_in_reverse(self, tmp_path: Path, journal: Path) -> None:
        async with Supervisor(tmp_path) as running:
            await running.start(standin("a", free_port(), journal))
            await running.start(standin("b", free_port(), journal))
            await running.start(standin("c", free_port(), journal))
        assert [(what, name) for what, name, _ in journal_lines(journal)] == [
            ("started", "a"), ("started", "b"), ("started", "c"),
            ("stopped", "c"), ("stopped", "b"), ("stopped", "a"),
        ]  # fmt: skip

    async def test_a_command_runs_to_its_end_with_its_own_settings_only(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AUTH_SIGNING_KEY_FILE", "of another process")
        write = f"import os; open({str(tmp_path / 'out')!r}, 'w').write(repr([os.environ.get(k) for k in "
        async with Supervisor(tmp_path) as running:
            await running.run(
                "once",
                [sys.executable, "-c", write + "('QUEUE_X', 'AUTH_SIGNING_KEY_FILE')]))"],
                {"QUEUE_X": "1"},
                timeout_s=10,
            )
        assert (tmp_path / "out").read_text() == "['1', None]"


class TestBadConduct:
    async def test_a_process_that_dies_is_started_again(self, tmp_path: Path, journal: Path) -> None:
        async with Supervisor(tmp_path) as running:
            await running.start(standin("a", free_port(), journal))
            [(_, _, first)] = journal_lines(journal)
            os.kill(first, signal.SIGKILL)
            await until(lambda: len(journal_lines(journal)) == 2)
            _, _, second = journal_lines(journal)[1]
            assert second != first
            os.kill(second, signal.SIGKILL)
            await until(lambda: len(journal_lines(journal)) == 3)

    async def test_one_that_cannot_start_says_why(self, tmp_path: Path, journal: Path) -> None:
        async with Supervisor(tmp_path) as running:
            await running.start(standin("a", free_port(), journal))
            with pytest.raises(StartFailed, match=r"b ended \(exit 1\)\n +the setting FOO is missing"):
                await running.start(standin("b", free_port(), journal, "broken"))
        assert [(what, name) for what, name, _ in journal_lines(journal)] == [("started", "a"), ("stopped", "a")]

    async def test_a_failed_command_says_why(self, tmp_path: Path) -> None:
        async with Supervisor(tmp_path) as running:
            with pytest.raises(StartFailed, match=r"migrate failed \(exit 1\)\n +no such column"):
                await running.run("migrate", [sys.executable, "-c", "exit('no such column')"], {}, timeout_s=10)

    async def test_one_that_ignores_the_signal_is_killed(self, tmp_path: Path, journal: Path) -> None:
        async with asyncio.timeout(DEADLINE_S), Supervisor(tmp_path) as running:
            await running.start(standin("a", free_port(), journal, "stubborn", stop_timeout_s=0.3))
        [(_, _, pid)] = journal_lines(journal)
        assert not is_alive(pid)

    async def test_what_a_process_started_itself_goes_with_it(self, tmp_path: Path, journal: Path) -> None:
        async with Supervisor(tmp_path) as running:
            await running.start(standin("a", free_port(), journal, "parent"))
            child = journal_lines(journal)[0][2]
            assert is_alive(child)
        await until(lambda: not is_alive(child))

    async def test_logs_stay_within_their_bound(
        self, tmp_path: Path, journal: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(supervisor, "LOG_MAX_BYTES", 10_000)
        monkeypatch.setattr(supervisor, "LOG_CHECK_S", 0.05)
        log, older = tmp_path / "logs/a.log", tmp_path / "logs/a.log.1"
        async with Supervisor(tmp_path) as running:
            await running.start(standin("a", free_port(), journal, "talkative"))
            await until(lambda: older.exists() and log.stat().st_size == 0)
        assert older.stat().st_size > 10_000


class TestBreakingOnPurpose:
    async def test_one_that_is_ended_stays_down_until_it_is_started(self, tmp_path: Path, journal: Path) -> None:
        async with Supervisor(tmp_path) as running:
            process = standin("a", free_port(), journal)
            await running.start(process)
            first = running.pid("a")
            await running.end("a")
            assert running.pid("a") is None
            await running.start(process)
            assert running.pid("a") not in {None, first}
        assert [what for what, _, _ in journal_lines(journal)] == ["started", "stopped"] * 2

    async def test_one_that_waits_to_be_started_again_is_not(self, tmp_path: Path, journal: Path) -> None:
        class Patient(Supervisor):
            def restart_after_s(self, _name: str, _earned_s: float) -> float:
                return 0.2

        async with Patient(tmp_path) as running:
            await running.start(standin("a", free_port(), journal))
            pid = running.pid("a")
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await until(lambda: running.pid("a") is None)
            await running.end("a")
            await asyncio.sleep(0.4)
            assert running.pid("a") is None
        assert [what for what, _, _ in journal_lines(journal)] == ["started"]


class TestEnd:
    """Whatever ends the supervisor, nothing that it started goes on."""

    @pytest.fixture
    def program(self, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("supervised.py")), str(tmp_path)],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as program:
            yield program
            program.kill()

    @asynccontextmanager
    async def everything_of(self, program: subprocess.Popen[str], journal: Path) -> AsyncIterator[list[int]]:
        assert program.stdout is not None
        assert program.stderr is not None
        line = await asyncio.to_thread(program.stdout.readline)
        assert line == "ready\n", program.stderr.read()
        started = [process.pid for process in psutil.Process(program.pid).children(recursive=True)]
        assert {pid for _, _, pid in journal_lines(journal)} < set(started)  # and PostgreSQL with its workers
        yield started
        await until(lambda: not any(is_alive(pid) for pid in started))

    async def test_kill_9_leaves_nothing_behind(
        self, program: subprocess.Popen[str], tmp_path: Path, journal: Path
    ) -> None:
        # What a stand-in started itself is out of the kernel's tie; none of the real processes starts any.
        async with self.everything_of(program, journal) as started:
            grandchild = next(pid for what, _, pid in journal_lines(journal) if what == "child")
            started.remove(grandchild)
            program.kill()
        os.kill(grandchild, signal.SIGKILL)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    async def test_a_signal_ends_everything(
        self, program: subprocess.Popen[str], journal: Path, number: signal.Signals
    ) -> None:
        async with self.everything_of(program, journal):
            program.send_signal(number)
        await asyncio.to_thread(program.wait, DEADLINE_S)
        assert [name for what, name, _ in journal_lines(journal) if what == "stopped"] == ["b", "a"]


class TestLeftovers:
    async def test_a_process_that_outlived_its_supervisor_is_ended_at_the_next_start(
        self, tmp_path: Path, journal: Path
    ) -> None:
        process = standin("a", free_port(), journal)
        (tmp_path / "run").mkdir()
        with subprocess.Popen(process.command) as orphan:
            await until(journal.exists)
            leftovers.remember(tmp_path / "run", process, orphan.pid)
            async with Supervisor(tmp_path):
                assert orphan.wait(DEADLINE_S) == 0

    async def test_another_process_with_the_same_number_is_left_alone(self, tmp_path: Path, journal: Path) -> None:
        process = standin("a", free_port(), journal)
        with subprocess.Popen(process.command) as other:
            await until(journal.exists)
            leftovers.remember(tmp_path, process, other.pid)
            note = tmp_path / "a.json"
            note.write_text(note.read_text().replace('"created": ', '"created": 1'))
            leftovers.end_all(tmp_path)
            assert other.poll() is None
            other.kill()

"""Starts processes in order, restarts what dies, and ends them all, whatever ends it.

On Linux each process is tied to this one by the kernel, so that `kill -9` leaves nothing behind; elsewhere, and where
a process needs a moment to end, the next start finds and ends what was left (`leftovers`).
"""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from fluxprint_local import leftovers
from fluxprint_local.bootstrap import ROOT, SetupError
from fluxprint_local.forks import Forked, ForkServer, NotForked
from fluxprint_local.process import Process

ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOG_MAX_BYTES = 10_000_000
LOG_CHECK_S = 5
READY_POLL_S = 0.02
READY_CHECK_TIMEOUT_S = 2
KILL_TIMEOUT_S = 5
FIRST_BACKOFF_S, LAST_BACKOFF_S = 0.5, 30
STABLE_AFTER_S = 60
"""A process that lived so long is restarted without the delay that its earlier deaths earned."""


class StartFailed(SetupError):
    """A process did not become ready; the message carries the end of its log."""


class Supervisor:
    """`async with Supervisor(folder) as supervisor: await supervisor.start(...)`; when the block ends, all is stopped.

    Signals that end a program cancel the block; a second one stops without grace. Logs are in `folder/logs`, one file
    per process, each bounded to twice `LOG_MAX_BYTES`.
    """

    def __init__(self, folder: Path) -> None:
        self._logs = folder / "logs"
        self._notes = folder / "run"
        self._groups: list[list[Process]] = []
        self._children: dict[str, asyncio.subprocess.Process | Forked] = {}
        self._forks: ForkServer | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        self._spawning = asyncio.Lock()
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._failure: BaseException | None = None

    async def __aenter__(self) -> Self:
        for path in (self._logs, self._notes):
            path.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(leftovers.end_all, self._notes)
        self._body = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in ENDING_SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._asked_to_end)
        self._watch(self._bound_logs(), "logs")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()
        for number in ENDING_SIGNALS:
            asyncio.get_running_loop().remove_signal_handler(number)
        if self._failure is not None:
            raise self._failure

    # -- starting --------------------------------------------------------------------------------------------------

    async def start(self, *processes: Process) -> None:
        """Start these together and return when all are ready. Raises `StartFailed` when one ends or takes too long."""
        self._groups.append(list(processes))
        loop = asyncio.get_running_loop()
        ready: list[asyncio.Future[None]] = [loop.create_future() for _ in processes]
        for process, first_ready in zip(processes, ready, strict=True):
            self._keepers[process.name] = self._watch(self._keep(process, first_ready), process.name)
        try:
            await asyncio.gather(*ready)
        finally:
            for future in ready:
                future.cancel()

    async def preload(self, *packages: str) -> None:
        """Begin to import these; `python -m` of one of them is forked from then on. Only Linux bears that."""
        if sys.platform != "linux":
            return
        async with self._spawning:
            self._forks = ForkServer(packages, self._logs / "forks.log")
            await self._forks.start()

    async def run(self, name: str, command: Sequence[str], environment: Mapping[str, str], *, timeout_s: float) -> None:
        """Run a command to its end. Raises `StartFailed` when it fails or takes too long."""

        async def never() -> bool:
            return False

        process = Process(name=name, command=command, environment=environment, is_ready=never)
        self._groups.append([process])
        child = await self._spawn(process)
        if child is None:
            return
        began = time.monotonic()
        try:
            code = await asyncio.wait_for(child.wait(), timeout_s)
        except TimeoutError:
            raise StartFailed(f"{name} did not end within {timeout_s:.0f} s{self._end_of_log(process)}") from None
        finally:
            _signal_group(child, signal.SIGKILL)
        if code != 0:
            raise StartFailed(f"{name} failed ({_how(code)}){self._end_of_log(process)}")
        self.say(name, f"done in {time.monotonic() - began:.1f} s")

    async def _keep(self, process: Process, first_ready: asyncio.Future[None]) -> None:
        """Keep one process running until all are stopped."""
        backoff_s: float = FIRST_BACKOFF_S
        while (child := await self._spawn(process)) is not None:
            began = time.monotonic()
            await self._until_end(process, child, first_ready)
            if self._stopping.is_set():
                return
            if not first_ready.done():
                how = f"ended ({_how(child.returncode)})" if child.returncode is not None else "is not ready"
                first_ready.set_exception(StartFailed(f"{process.name} {how}{self._end_of_log(process)}"))
                return
            if time.monotonic() - began > STABLE_AFTER_S:
                backoff_s = FIRST_BACKOFF_S
            pause_s = self.restart_after_s(process.name, backoff_s)
            self.say(
                process.name,
                f"ended ({_how(child.returncode)}), starts again in {pause_s:g} s; see {self._log(process)}",
            )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause_s)
            backoff_s = min(backoff_s * 2, LAST_BACKOFF_S)

    async def _until_end(
        self, process: Process, child: asyncio.subprocess.Process | Forked, first_ready: asyncio.Future[None]
    ) -> None:
        """Return when `child` has ended, or at its first start when it is not ready in time."""
        began = time.monotonic()
        ended = asyncio.create_task(child.wait())
        ready = asyncio.create_task(_until_ready(process))
        timeout_s = None if first_ready.done() else process.ready_timeout_s
        try:
            await asyncio.wait({ended, ready}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            if ended.done() or not ready.done():
                return
            ready.result()
            if not self._stopping.is_set():
                self.say(process.name, f"ready after {time.monotonic() - began:.1f} s")
            if not first_ready.done():
                first_ready.set_result(None)
            await ended
        finally:
            ready.cancel()
            if ended.done() and not ended.cancelled():
                _signal_group(child, signal.SIGKILL)  # what it started itself
            else:
                ended.cancel()

    async def _spawn(self, process: Process) -> asyncio.subprocess.Process | Forked | None:
        """Start it, or return None when all is being stopped."""
        async with self._spawning:
            if self._stopping.is_set():
                return None
            child = await self._fork(process)
            if child is None and not self._stopping.is_set():
                child = await self._exec(process)
            if child is None:
                return None
            leftovers.remember(self._notes, process, child.pid)
            self._children[process.name] = child
            return child

    async def _fork(self, process: Process) -> asyncio.subprocess.Process | Forked | None:
        """Start it the quick way, if there is one for it."""
        if self._forks is None or not self._forks.can(process):
            return None
        try:
            return await self._forks.spawn(process, self._log(process))
        except NotForked as error:
            self.say(process.name, str(error))
            return None

    async def _exec(self, process: Process) -> asyncio.subprocess.Process:
        with self._log(process).open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *process.full_command(),
                cwd=ROOT,
                env=process.full_environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    # -- for who breaks things on purpose --------------------------------------------------------------------------

    def pid(self, name: str) -> int | None:
        """The process of that name, or None while it is down."""
        child = self._children.get(name)
        return child.pid if child is not None and child.returncode is None else None

    async def end(self, name: str) -> None:
        """Stop one process and keep it stopped, until it is started again."""
        async with self._spawning:  # not while one is being started
            self._keepers.pop(name).cancel()
        for group in self._groups:
            for process in [process for process in group if process.name == name]:
                await self._stop_one(process)
                group.remove(process)

    def restart_after_s(self, _name: str, earned_s: float) -> float:
        """The pause before a process is started again; `earned_s` grows with its deaths."""
        return earned_s

    def say(self, name: str, text: str) -> None:
        """What happens to the processes, for a person."""
        print(f"  {name:<10} {text}", file=sys.stderr, flush=True)

    # -- stopping --------------------------------------------------------------------------------------------------

    async def _stop(self) -> None:
        self._stopping.set()
        if self._forks is not None and self._forks.is_busy:
            await self._forks.stop()  # nothing is started any more, least of all what has to be imported first
        async with self._spawning:
            pass  # what is being started is started, then stopped
        for group in reversed(self._groups):
            await asyncio.gather(*(self._stop_one(process) for process in reversed(group)))
        if self._forks is not None:
            await self._forks.stop()
        for task in self._tasks:
            if task.get_name() == "logs":
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _stop_one(self, process: Process) -> None:
        child = self._children.get(process.name)
        if child is None:
            return
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(process.stop_signal)
            try:
                await asyncio.wait_for(child.wait(), process.stop_timeout_s)
            except TimeoutError:
                self.say(process.name, f"did not stop within {process.stop_timeout_s:g} s and was killed")
        _signal_group(child, signal.SIGKILL)
        try:
            await asyncio.wait_for(child.wait(), KILL_TIMEOUT_S)
        except TimeoutError:
            if self._forks is not None:
                await self._forks.stop()  # a server that stands still tells of no end
            await child.wait()
        leftovers.forget(self._notes, process)

    def _asked_to_end(self) -> None:
        if self._stopping.is_set():
            for child in self._children.values():
                _signal_group(child, signal.SIGKILL)
            if self._forks is not None:
                self._forks.kill()
        elif self._body is not None:
            self._body.cancel()

    def _watch(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A task of our own that breaks ends everything: nothing would be watched any more."""
        if task.cancelled() or (error := task.exception()) is None:
            return
        self._failure = self._failure or error
        if not self._stopping.is_set() and self._body is not None:
            self._body.cancel()

    # -- logs ------------------------------------------------------------------------------------------------------

    def _log(self, process: Process) -> Path:
        return self._logs / f"{process.name}.log"

    def _end_of_log(self, process: Process, lines: int = 8) -> str:
        path = self._log(process)
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4000))
            end = file.read().decode(errors="replace").splitlines()[-lines:]
        return "".join(f"\n    {line[:400]}" for line in end) + f"\n  Its log: {path}"

    async def _bound_logs(self) -> None:
        """Processes append to their files themselves; a file that grew too long is copied away and emptied."""
        while True:
            await asyncio.sleep(LOG_CHECK_S)
            for path in self._logs.glob("*.log"):
                if path.stat().st_size > LOG_MAX_BYTES:
                    await asyncio.to_thread(shutil.copyfile, path, path.with_suffix(".log.1"))
                    os.truncate(path, 0)


async def _until_ready(process: Process) -> None:
    while True:
        with contextlib.suppress(TimeoutError):
            if await asyncio.wait_for(process.is_ready(), READY_CHECK_TIMEOUT_S):
                return
        await asyncio.sleep(READY_POLL_S)


def _signal_group(child: asyncio.subprocess.Process | Forked, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)


def _how(code: int | None) -> str:
    return signal.Signals(-code).name if code is not None and code < 0 else f"exit {code}"

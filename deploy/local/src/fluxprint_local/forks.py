"""Processes that start quickly: forked from one that has imported what they need (`forkserver`)."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from fluxprint_local.bootstrap import ROOT
from fluxprint_local.forkserver import Order
from fluxprint_local.process import Process, at_once

START_TIMEOUT_S = 60
PYTHON_MODULE = [sys.executable, "-P", "-m"]


class ForkServerEnded(Exception):
    """It ended, or did not answer; it has to be started again."""


class Forked:
    """A process of a fork server, as `asyncio.subprocess.Process` shows one."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._status: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @property
    def returncode(self) -> int | None:
        """Its status, negative for a signal, or None while it runs."""
        return self._status.result() if self._status.done() else None

    async def wait(self) -> int:
        """Until it has ended; its status."""
        return await asyncio.shield(self._status)

    def send_signal(self, number: int) -> None:
        """Raises: ProcessLookupError"""
        if self.returncode is not None:
            raise ProcessLookupError
        os.kill(self.pid, number)

    def ended(self, status: int) -> None:
        """What the server says, or its own end."""
        self._status.set_result(status)


class ForkServer:
    """Forks what runs one of `packages`; one order at a time, so calls need a lock around them."""

    def __init__(self, packages: Sequence[str], log: Path) -> None:
        self._packages = packages
        self._log = log
        self._server: asyncio.subprocess.Process | None = None
        self._orders: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None
        self._answer: asyncio.Future[Forked] | None = None
        self._children: dict[int, Forked] = {}

    def can(self, process: Process) -> bool:
        """Whether this process can be forked: it is Python with one of the packages, as the same user."""
        command = list(process.command)
        return command[:3] == PYTHON_MODULE and command[3] in self._packages and not process.identity

    async def start(self) -> None:
        """Let it import, without waiting for that."""
        command = [*PYTHON_MODULE, "fluxprint_local.forkserver", *self._packages]
        process = Process(name="forks", command=command, is_ready=at_once)
        with self._log.open("ab") as log:
            self._server = await asyncio.create_subprocess_exec(
                *process.full_command(),
                cwd=ROOT,
                env=process.full_environment(),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._orders = self._server.stdin
        self._listening = asyncio.create_task(self._listen(self._server, self._server.stdout))

    async def spawn(self, process: Process, log: Path) -> Forked:
        """Start a process. Raises: ForkServerEnded"""
        if self._server is None or self._server.returncode is not None:
            await self.stop()
            await self.start()
        if self._orders is None:
            raise ForkServerEnded("it has no pipe for orders")
        order = Order(
            package=process.command[3],
            arguments=list(process.command[4:]),
            environment=process.full_environment(),
            folder=str(ROOT),
            log=str(log),
        )
        await asyncio.to_thread(log.touch)  # who reads it need not wait for the child
        self._answer = asyncio.get_running_loop().create_future()
        try:
            self._orders.write(json.dumps(asdict(order)).encode() + b"\n")
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._orders.drain()
                forked = await self._answer
        except (OSError, TimeoutError) as error:
            await self.stop()
            raise ForkServerEnded(f"nothing could be forked ({error!r}); see {self._log}") from error
        return forked

    async def stop(self) -> None:
        """End it, and whatever of its children still runs."""
        if self._server is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._server.kill()
        await self._server.wait()
        if self._listening is not None:
            await self._listening

    async def _listen(self, server: asyncio.subprocess.Process, answers: asyncio.StreamReader | None) -> None:
        """Take its answers until it has ended, or says what it should not."""
        try:
            while answers is not None and (line := await answers.readline()):
                self._take(json.loads(line))
        finally:
            with contextlib.suppress(ProcessLookupError):
                server.kill()
            await server.wait()
            self._forget()

    def _take(self, said: dict[str, int]) -> None:
        if "status" in said:
            self._children.pop(said["pid"]).ended(said["status"])
            return
        forked = self._children[said["pid"]] = Forked(said["pid"])
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(forked)

    def _forget(self) -> None:
        """The server is gone, and what it forked with it."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("the fork server ended"))
        for child in self._children.values():
            with contextlib.suppress(ProcessLookupError):  # where the kernel does not do it
                os.killpg(child.pid, signal.SIGKILL)
            child.ended(-signal.SIGKILL)
        self._children.clear()

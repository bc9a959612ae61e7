"""Processes that start quickly: forked from one that has imported what they need (`forkserver`)."""

import asyncio
import contextlib
import itertools
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
END_TIMEOUT_S = 5
PYTHON_MODULE = [sys.executable, "-P", "-m"]


class NotForked(Exception):
    """The process could not be forked; it can be executed."""


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
    """Forks what runs one of `packages`. It is started with the first, or before (`start`), and again when it died."""

    def __init__(self, packages: Sequence[str], log: Path) -> None:
        self._packages = packages
        self._log = log
        self._server: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._numbers = itertools.count(1)
        self._orders: dict[int, asyncio.Future[Forked]] = {}
        self._children: dict[int, Forked] = {}

    def can(self, process: Process) -> bool:
        """Whether this process can be forked: Python with one of the packages, as this user, ended like the server."""
        command = list(process.command)
        return (
            len(command) > len(PYTHON_MODULE)
            and command[:3] == PYTHON_MODULE
            and command[3] in self._packages
            and not process.identity
            and process.death_signal == signal.SIGKILL
        )

    async def start(self) -> None:
        """Let it import, without waiting for that."""
        async with self._starting:
            if self._server is not None and self._server.returncode is None:
                return
            await self.stop()
            command = [*PYTHON_MODULE, "fluxprint_local.forkserver", *self._packages]
            process = Process(name="forks", command=command, is_ready=at_once)
            with self._log.open("ab") as log:
                server = await asyncio.create_subprocess_exec(
                    *process.full_command(),
                    cwd=ROOT,
                    env=process.full_environment(),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log,
                    start_new_session=True,
                )
            self._server = server
            self._listening = asyncio.create_task(self._listen(server, server.stdout))

    async def spawn(self, process: Process, log: Path) -> Forked:
        """Start a process. Raises: NotForked"""
        await self.start()
        order = Order(
            number=next(self._numbers),
            package=process.command[3],
            arguments=list(process.command[4:]),
            environment=process.full_environment(),
            folder=str(ROOT),
            log=str(log),
        )
        await asyncio.to_thread(log.touch)  # who reads it need not wait for the child
        answer: asyncio.Future[Forked] = asyncio.get_running_loop().create_future()
        self._orders[order.number] = answer
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._send(order)
                return await answer
        except (OSError, TimeoutError) as error:
            await self.stop()
            raise NotForked(f"nothing could be forked ({error!r}); see {self._log}") from error
        except asyncio.CancelledError:
            if answer.done() and not answer.cancelled() and answer.exception() is None:
                _kill(answer.result())  # it came in the moment in which nobody wanted it any more
            raise
        finally:
            del self._orders[order.number]  # a process that is forked all the same is ended then

    async def _send(self, order: Order) -> None:
        if self._server is None or self._server.stdin is None:
            raise BrokenPipeError
        self._server.stdin.write(json.dumps(asdict(order)).encode() + b"\n")
        await self._server.stdin.drain()

    @property
    def is_busy(self) -> bool:
        """Whether an order is not answered yet."""
        return bool(self._orders)

    def kill(self) -> None:
        """End it, and whatever of its children still runs, without waiting."""
        if self._server is not None and self._server.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._server.kill()

    async def stop(self) -> None:
        """End it, and whatever of its children still runs."""
        self.kill()
        if self._listening is not None:
            await asyncio.wait({self._listening})

    async def _listen(self, server: asyncio.subprocess.Process, answers: asyncio.StreamReader | None) -> None:
        """Take its answers until it has ended, or says what it should not."""
        try:
            while answers is not None and (line := await answers.readline()):
                self._take(json.loads(line))
            async with asyncio.timeout(END_TIMEOUT_S):
                await server.wait()
        finally:
            self.kill()
            await server.wait()
            self._forget()

    def _take(self, said: dict[str, int]) -> None:
        if "status" in said:
            self._children.pop(said["pid"]).ended(said["status"])
            return
        answer = self._orders.get(said["order"])
        if "error" in said:
            if answer is not None and not answer.done():
                answer.set_exception(NotForked(said["error"]))
            return
        forked = self._children[said["pid"]] = Forked(said["pid"])
        if answer is not None and not answer.done():
            answer.set_result(forked)
        else:
            _kill(forked)

    def _forget(self) -> None:
        """The server is gone, and what it forked with it."""
        for answer in self._orders.values():
            if not answer.done():
                answer.set_exception(ConnectionResetError("the fork server ended"))
        for child in self._children.values():
            _kill(child)  # where the kernel does not do it
            child.ended(-signal.SIGKILL)
        self._children.clear()


def _kill(child: Forked) -> None:
    for kill in (os.kill, os.killpg):  # it may not have its own group yet
        with contextlib.suppress(ProcessLookupError):
            kill(child.pid, signal.SIGKILL)

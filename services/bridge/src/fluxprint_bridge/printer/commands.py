"""Carries out what people ask for while a job runs: cancel, pause, resume.

A command is durable in the queue: it is fetched, done, seen to work, and closed. One that is fetched twice is done
twice, and each is harmless then: OctoPrint's pause and resume are idempotent (never its toggle), and so is cancel.
"""

import asyncio
import contextlib

from fluxprint_bridge import clock
from fluxprint_bridge.cloud.errors import CloudError, CloudRefused
from fluxprint_bridge.cloud.schemas import Command
from fluxprint_bridge.journal import Attempt, Step
from fluxprint_bridge.octoprint.errors import OctoPrintError, Refused
from fluxprint_bridge.octoprint.state import PrinterState
from fluxprint_bridge.plain import plain_text
from fluxprint_bridge.printer.desk import Desk, Phase, Work
from fluxprint_bridge.tasks import until_first
from fluxprint_common.background import backoff_s
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

MAX_BACKOFF_S = 10.0
RESULT_TRIES = 5
LOOK_AGAIN_S = 1.0
IDLE_S = 60.0  #: between questions where nothing is in hand: one bridge may have dozens of printers
MAX_DETAIL_CHARS = 300

_EFFECT = {
    "cancel": frozenset({PrinterState.CANCELLING}),
    "pause": frozenset({PrinterState.PAUSING, PrinterState.PAUSED}),
    "resume": frozenset({PrinterState.PRINTING, PrinterState.FINISHING, PrinterState.RESUMING}),
}


class CommandFailed(Exception):
    """The command had no effect; the message is for the person who gave it."""


async def serve_commands(desk: Desk) -> None:
    """Fetch and carry out commands for ever: when the bell rings, and every few seconds because a bell may be lost.

    A cancel waits for nothing; pauses and resumes of one print are done in their order.
    """
    failures = 0
    lanes: dict[tuple[str, bool], tuple[str, asyncio.Task[None]]] = {}
    async with asyncio.TaskGroup() as group:
        while True:
            desk.command_bell.clear()
            try:
                commands = await desk.api.commands(desk.printer_id)
                failures = 0
            except CloudError as error:
                failures += 1
                log.debug("commands_not_fetched", error=str(error)[:300])
                await asyncio.sleep(backoff_s(failures, cap_s=MAX_BACKOFF_S))
                continue
            pending = {command.id for command in commands}
            for lane, (command_id, task) in list(lanes.items()):
                if command_id not in pending:
                    task.cancel()  # nobody waits for it any more
                if task.done() or command_id not in pending:
                    del lanes[lane]
            for command in commands:
                lane = command.attempt_id, command.kind == "cancel"
                if lane not in lanes:
                    task = group.create_task(_serve(desk, command))
                    task.add_done_callback(lambda _task: desk.command_bell.set())  # the next in its lane
                    lanes[lane] = command.id, task
            await _until_wanted(desk)


async def _until_wanted(desk: Desk) -> None:
    """Wait for the bell; where something is in hand, which commands are for, only a few seconds."""
    idle_until = clock.now() + IDLE_S
    while not desk.command_bell.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(desk.poll_s):
                await desk.command_bell.wait()
        if desk.work is not None or clock.now() >= idle_until:
            return


async def _serve(desk: Desk, command: Command) -> None:
    log.info("command", kind=command.kind, attempt=command.attempt_id)
    detail: str | None = None
    try:
        await _carry_out(desk, command)
    except (CommandFailed, Refused) as failed:
        detail = plain_text(str(failed))[:MAX_DETAIL_CHARS]
    for failures in range(1, RESULT_TRIES + 1):
        try:
            await desk.api.command_result(command.id, succeeded=detail is None, detail=detail)
            return
        except CloudRefused as refused:
            log.warning("command_result_refused", kind=command.kind, code=refused.code)
            await asyncio.sleep(LOOK_AGAIN_S)  # should it still be listed, it comes back at once
            return
        except CloudError as error:
            log.warning("command_result_waits", kind=command.kind, error=str(error)[:300])
            await asyncio.sleep(backoff_s(failures))
    # Still pending in the queue, so it is fetched and tried again.


async def _carry_out(desk: Desk, command: Command) -> None:
    """Return when its effect was seen. Raises `CommandFailed` or `Refused`."""
    deadline = clock.now() + command.expires_in_s
    sent = False
    while clock.now() < deadline:
        work = desk.work
        if work is None or work.attempt.id != command.attempt_id:
            attempt = await desk.journal.attempt(command.attempt_id)
            if attempt is not None and attempt.state in {Step.ENDED, Step.UNKNOWN}:
                _after_the_end(command, attempt)
                return
            await asyncio.sleep(LOOK_AGAIN_S)  # not in hand yet: this process started a moment ago
            continue
        work_changed, monitor_changed = work.changed, desk.monitor.changed
        if work.phase is Phase.PREPARING:
            if command.kind == "cancel" and not work.cancel_wanted:
                work.cancel_wanted = True
                work.tell()
        elif sent and _took_effect(desk, work, command):
            return
        elif not sent:
            sent = await _send(desk, work, command)
            continue
        try:
            async with asyncio.timeout(min(LOOK_AGAIN_S, max(0.0, deadline - clock.now()))):
                await until_first(work_changed.wait(), monitor_changed.wait())
        except TimeoutError:
            pass
    raise CommandFailed(f"It did not take effect in time; the printer is {_text(desk)}.")


async def _send(desk: Desk, work: Work, command: Command) -> bool:
    """Ask OctoPrint once. False when it did not answer: the caller asks again."""
    async with desk.control:
        try:
            job = await desk.monitor.look()
            if not job.prints(work.attempt.path):
                # Over, or not begun: the watcher is about to say which.
                await asyncio.sleep(0.1)
                return False
            match command.kind:
                case "cancel":
                    work.attempt = await desk.journal.cancel_asked(work.attempt.id)
                    await desk.octoprint.cancel()
                case "pause":
                    if job.state is PrinterState.FINISHING:
                        raise CommandFailed("The print is finishing: there is nothing left to pause.")
                    await desk.octoprint.pause()
                case "resume":
                    await desk.octoprint.resume()
            await desk.monitor.look()
        except Refused:
            raise
        except OctoPrintError as error:
            log.warning("command_not_answered", kind=command.kind, error=str(error)[:300])
            await asyncio.sleep(LOOK_AGAIN_S)
            return False
    return True


def _took_effect(desk: Desk, work: Work, command: Command) -> bool:
    job = desk.monitor.snapshot.job
    return job is not None and job.is_of(work.attempt.path) and job.state in _EFFECT[command.kind]


def _after_the_end(command: Command, attempt: Attempt) -> None:
    """A cancel that worked is a success, everything else came too late."""
    if command.kind != "cancel" or attempt.shown != "cancelled":
        raise CommandFailed(f"The print is over: {attempt.shown}.")


def _text(desk: Desk) -> str:
    job = desk.monitor.snapshot.job
    return job.text if job is not None else "not reachable"

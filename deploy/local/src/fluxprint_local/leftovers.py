"""Remembers which processes run, so that the next start can end those that outlived their supervisor.

On Linux the kernel ends them; what is found here then is at most a database that is still shutting down.
"""

import contextlib
import json
import signal
from pathlib import Path

import psutil

from fluxprint_local.process import Process


def remember(folder: Path, process: Process, pid: int) -> None:
    """Note that this process runs now. The time of its creation tells it from a later one with the same number."""
    with contextlib.suppress(psutil.NoSuchProcess):
        note = {
            "pid": pid,
            "created": psutil.Process(pid).create_time(),
            "stop_signal": process.stop_signal,
            "stop_timeout_s": process.stop_timeout_s,
        }
        (folder / f"{process.name}.json").write_text(json.dumps(note))


def forget(folder: Path, process: Process) -> None:
    """Note that it has ended."""
    (folder / f"{process.name}.json").unlink(missing_ok=True)


def end_all(folder: Path) -> None:
    """End what still runs of the processes noted in `folder`, gently first. Blocks until they are gone."""
    for file in folder.glob("*.json"):
        with contextlib.suppress(psutil.NoSuchProcess, ValueError, KeyError):
            note = json.loads(file.read_text())
            process = psutil.Process(note["pid"])
            if process.create_time() == note["created"]:
                _end(process, signal.Signals(note["stop_signal"]), note["stop_timeout_s"])
        file.unlink()


def _end(process: psutil.Process, stop_signal: signal.Signals, timeout_s: float) -> None:
    process.send_signal(stop_signal)
    try:
        process.wait(timeout_s)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(timeout_s)

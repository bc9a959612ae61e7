"""`python -m fluxprint_local.forkserver PACKAGE...`: imports once what several programs need, and forks them.

A child does what `python -m PACKAGE` does: it calls `main` of the package's `__main__`.

It speaks JSON lines. On its standard input comes what to run: `Order`. On its standard output it answers each with
`{"order": 1, "pid": 2}`, or `{"order": 1, "error": "..."}`, and says `{"pid": 2, "status": -9}` of each that has ended.
It ends with its input, and by nothing that asks it to: a signal to a whole group is its children's, which end first.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import signal
import sys
from dataclasses import dataclass

import setproctitle

PR_SET_PDEATHSIG = 1  # linux/prctl.h
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, kw_only=True)
class Order:
    """A package to run as `python -m` would, with its arguments, its whole environment and where it writes."""

    number: int
    package: str
    arguments: list[str]
    environment: dict[str, str]
    folder: str
    log: str


def main(packages: list[str]) -> None:
    """Serve, and in each child do what was ordered."""
    answers = os.dup(1)
    os.dup2(2, 1)  # nothing that a library says is taken for an answer
    gc.disable()  # see `collection_paused`; besides, a collection would write to the pages that the children share
    programs = {package: importlib.import_module(f"{package}.__main__") for package in packages}
    gc.freeze()
    sys.stdout.flush()  # else each child would say once more what was said until now
    sys.stderr.flush()
    order = _next_child(answers)
    if order is not None:
        gc.enable()
        programs[order.package].main()


def _next_child(answers: int) -> Order | None:
    """Serve until the input ends; in a child, return what it is to do."""
    as_it_was = {number: signal.getsignal(number) for number in IGNORED}
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda *_: _tell_ended(answers))
    held = {signal.SIGCHLD, *IGNORED}
    for line in sys.stdin.buffer:
        order = Order(**json.loads(line))
        # Nobody is told of an end before the start, and no signal for the child is ignored as the server's.
        signal.pthread_sigmask(signal.SIG_BLOCK, held)
        server = os.getpid()
        try:
            child = os.fork()
        except OSError as error:  # too many processes, too little memory
            _tell(answers, {"order": order.number, "error": str(error)})
        else:
            if child == 0:
                os.close(answers)
                _become(order, server)
                for number, handler in as_it_was.items():
                    signal.signal(number, handler)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, held)
                return order
            _tell(answers, {"order": order.number, "pid": child})
        signal.pthread_sigmask(signal.SIG_UNBLOCK, held)
    return None


def _become(order: Order, server: int) -> None:
    """Shed what is the server's."""
    log = os.open(order.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)  # first: what fails is said there
    nothing = os.open(os.devnull, os.O_RDONLY)
    for opened, standard in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(opened, standard)
    os.close(nothing)
    os.close(log)
    _tie_to(server)
    os.setsid()
    os.chdir(order.folder)
    # Before the environment changes: it finds the place for it by the one that was given at the start.
    setproctitle.setproctitle(f"{sys.executable} -P -m {order.package}")
    setproctitle.setthreadtitle(order.package)
    os.environ.clear()
    os.environ.update(order.environment)
    sys.argv = [order.package, *order.arguments]


def _tie_to(server: int) -> None:
    """Be killed when the server is gone: `setpriv --pdeathsig` for what is forked."""
    if sys.platform == "linux" and ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError("prctl refused to tie a process to its parent")
    if os.getppid() != server:
        os._exit(1)


def _tell_ended(answers: int) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            _tell(answers, {"pid": ended[0], "status": os.waitstatus_to_exitcode(ended[1])})


def _tell(answers: int, answer: dict[str, int | str]) -> None:
    os.write(answers, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    main(sys.argv[1:])

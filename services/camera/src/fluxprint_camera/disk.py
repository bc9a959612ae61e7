"""A disk may hang: it is waited for in threads that do nothing else, by so many at a time, and not for ever."""

import asyncio
import errno
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from prometheus_client import Counter

T = TypeVar("T")

THREADS = 2
#: For what people wait for, for one file, and for what goes through many.
LOOK_S, FILE_S, MANY_S = 5.0, 20.0, 600.0
#: Each may hold a picture that is to be written, or an answer that somebody waits for.
MAX_WAITING = 256

REFUSED = Counter(
    "camera_disk_refused", "Reads and writes that were not begun, for too many waited", ["files"], registry=None
)


class DiskBusy(OSError):
    """Too much waits for the disk already."""

    def __init__(self, waiting: int) -> None:
        super().__init__(errno.EBUSY, f"{waiting} reads and writes wait for the disk already")


class Disk:
    """Threads for one kind of files; `close()` when nothing is wanted of them any more.

    Args:
        name: of the files, for the threads and the count of what was refused.
        max_waiting: reads and writes, those under way among them.
    """

    def __init__(self, name: str, *, threads: int = THREADS, max_waiting: int = MAX_WAITING) -> None:
        self._threads = _Threads(name, threads)
        self._free = asyncio.Semaphore(threads)  # what waits for a thread waits here, and leaves when its time is over
        self._waiting = 0
        self._max_waiting = max_waiting
        self._is_closed = False
        self._refused = REFUSED.labels(name)

    async def do(self, work: Callable[[], T], *, within_s: float) -> T:
        """What `work` returns or raises.

        Raises:
            TimeoutError: an OSError too: it took longer, or nothing before it came back; it may be done all the same.
            DiskBusy: as many wait already as may.
            OSError: also when it is closed.
        """
        if self._waiting >= self._max_waiting:
            self._refused.inc()
            raise DiskBusy(self._waiting)
        self._waiting += 1
        try:
            async with asyncio.timeout(within_s):
                await self._free.acquire()
                return await asyncio.wrap_future(self._begin(work))
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Let go of the threads; one that hangs is not waited for, and what was not begun never is."""
        self._is_closed = True
        self._threads.close()

    def _begin(self, work: Callable[[], T]) -> Future[T]:
        if self._is_closed:
            self._free.release()
            raise OSError(errno.ESHUTDOWN, "the service stops")
        begun: Future[T] = Future()
        begun.add_done_callback(partial(self._end, asyncio.get_running_loop()))
        self._threads.begin(begun, work)
        return begun

    def _end(self, loop: asyncio.AbstractEventLoop, _done: Future[T]) -> None:
        with suppress(RuntimeError):  # the loop is closed: one hung for longer than the service ran
            loop.call_soon_threadsafe(self._free.release)


class _Threads:
    """Like an executor's, but a process ends without waiting for them (`concurrent.futures` joins its own at exit)."""

    def __init__(self, name: str, count: int) -> None:
        self._begun: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True) for number in range(count)
        ]

    def begin(self, future: Future[T], work: Callable[[], T]) -> None:
        if self._threads[0].ident is None:  # the first work
            for thread in self._threads:
                thread.start()
        self._begun.put((future, work))

    def close(self) -> None:
        for _ in self._threads:
            self._begun.put(None)

    def _run(self) -> None:
        while (begun := self._begun.get()) is not None:
            _do(*begun)
            del begun  # while nothing comes, nothing of it is kept


def _do(future: Future[T], work: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        done = work()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(done)


class FilePieces:
    """A file that is read piece by piece.

    Each is read through a handle of its own, so that none is held while somebody takes their time, or while the disk
    hangs.

    Args:
        known: the file when the reading began. A piece of another one would not fit.
    """

    def __init__(self, disk: Disk, path: Path, known: os.stat_result) -> None:
        self._disk = disk
        self._path = path
        self._known = _identity(known)
        self._at = 0

    async def seek(self, at: int) -> None:
        """Go on from that byte."""
        self._at = at

    async def read(self, size: int) -> bytes:
        """Up to so many bytes; none at the end.

        Raises:
            OSError: the disk does not give them in time, or it is another file now.
        """
        piece = await self._disk.do(partial(self._piece, self._at, size), within_s=FILE_S)
        self._at += len(piece)
        return piece

    def _piece(self, at: int, size: int) -> bytes:
        with self._path.open("rb", buffering=0) as file:
            if _identity(os.fstat(file.fileno())) != self._known:
                raise OSError(errno.ESTALE, "the file was replaced while it was read")
            return os.pread(file.fileno(), size, at)


def _identity(file: os.stat_result) -> tuple[int, int, int]:
    return file.st_ino, file.st_mtime_ns, file.st_size

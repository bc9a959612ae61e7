"""Files of recordings, below one folder: frames on their way to a video, videos, and pictures.

Every access to the disk happens in a few threads of its own, so that a disk that hangs stops recordings and nothing
else. What is only half written has another name.
"""

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from fluxprint_camera.disk import FILE_S, MANY_S, MAX_WAITING, Disk
from fluxprint_camera.recording.problems import StoreFailed, Trouble
from fluxprint_camera.recording.settings import MAX_RECORDINGS
from fluxprint_common.ids import new_id

T = TypeVar("T")

#: A file without a row is deleted after so long: its row may be just about to come. Nobody writes to one for so long.
ORPHAN_S = 3600.0
SWEPT_AT_ONCE = 1000
#: A disk that stands still for seconds has all that is recorded wait for it, with one write each, and fails none.
MAX_WAITING_HERE = MAX_RECORDINGS + MAX_WAITING
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True)
class Frames:
    """The frames of a timelapse on disk.

    Attributes:
        last: the number of the newest, 0 where there is none; numbers grow by `step`.
    """

    count: int = 0
    size_bytes: int = 0
    last: int = 0
    step: int = 1


class Store:
    """Raises `StoreFailed` from whatever writes or reads.

    Args:
        reserve_bytes: stays free on the disk.
    """

    def __init__(self, root: Path, *, reserve_bytes: int) -> None:
        self._root = root
        self._reserve_bytes = reserve_bytes
        self._disk = Disk("recordings", max_waiting=MAX_WAITING_HERE)
        #: What the disk last said, for the service's health.
        self.trouble: Trouble | None = None

    def close(self) -> None:
        """Let go of the threads; one that hangs is not waited for."""
        self._disk.close()

    # -- places ----------------------------------------------------------------------------------------------------

    def frames_folder(self, timelapse_id: UUID) -> Path:
        return self._root / "frames" / timelapse_id.hex

    def video(self, timelapse_id: UUID) -> Path:
        return self._place("videos", timelapse_id, ".mp4")

    def picture(self, picture_id: UUID) -> Path:
        return self._place("prints", picture_id, ".jpg")

    def _place(self, kind: str, id_: UUID, suffix: str) -> Path:
        return self._root / kind / id_.hex[-2:] / f"{id_.hex}{suffix}"

    # -- frames ----------------------------------------------------------------------------------------------------

    async def frames(self, timelapse_id: UUID) -> Frames:
        """What there is, in a service that was restarted too."""
        return await self._do(lambda: _count(self.frames_folder(timelapse_id)), within_s=MANY_S)

    async def add_frame(self, timelapse_id: UUID, number: int, data: bytes) -> None:
        await self._write_file(_frame(self.frames_folder(timelapse_id), number), data)

    async def thin(self, timelapse_id: UUID) -> Frames:
        """Drop every other frame; what is left."""
        return await self._do(lambda: _thin(self.frames_folder(timelapse_id)), within_s=MANY_S)

    async def first_frame(self, timelapse_id: UUID) -> bytes | None:
        """The oldest frame's bytes."""
        return await self._do(lambda: _read_first(self.frames_folder(timelapse_id)), within_s=MANY_S)

    # -- whole files -----------------------------------------------------------------------------------------------

    async def add_picture(self, picture_id: UUID, data: bytes) -> None:
        await self._write_file(self.picture(picture_id), data, sync=True)

    async def unfinished_video(self, timelapse_id: UUID) -> Path:
        """Where a video is made; it moves to its place when it is whole. A new place each time, and what was begun
        before is dropped: an ffmpeg that nobody waits for may still write to it."""
        return await self._do(lambda: self._new_video(timelapse_id), within_s=MANY_S)

    async def keep_video(self, timelapse_id: UUID, made: Path) -> int:
        """Move a finished video to its place and drop its frames; its size in bytes."""
        return await self._do(lambda: self._keep_video(timelapse_id, made), within_s=MANY_S)

    async def delete(self, timelapse_ids: Sequence[UUID], picture_ids: Sequence[UUID]) -> None:
        """Remove all files of these."""
        await self._do(lambda: self._delete(timelapse_ids, picture_ids), within_s=MANY_S)

    async def size(self, path: Path) -> int:
        """In bytes; 0 where it is not there."""
        return await self._do(partial(_size, path), within_s=FILE_S)

    async def old(self) -> tuple[list[UUID], list[UUID]]:
        """The ids of timelapses and pictures that have files old enough that their rows must be there by now."""
        return await self._do(self._old, within_s=MANY_S)

    async def sweep(self) -> int:
        """Remove what a process that was killed left half written; how many files, of many some at a time."""
        return await self._do(self._sweep, within_s=MANY_S)

    # -- in the threads --------------------------------------------------------------------------------------------

    async def _write_file(self, path: Path, data: bytes, *, sync: bool = False) -> None:
        await self._do(partial(self._write, path, data, sync=sync), within_s=FILE_S)
        self.trouble = None

    async def _do(self, work: Callable[[], T], *, within_s: float) -> T:
        try:
            return await self._disk.do(work, within_s=within_s)
        except OSError as error:
            self.trouble = Trouble.DISK_FULL if error.errno in _FULL else Trouble.DISK_FAILED
            raise StoreFailed(self.trouble, error.strerror or type(error).__name__) from error

    def _write(self, path: Path, data: bytes, *, sync: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        disk = os.statvfs(path.parent)
        if disk.f_bavail * disk.f_frsize < self._reserve_bytes + len(data):
            raise OSError(errno.ENOSPC, "what is left on the disk is kept free")
        part = path.with_suffix(".part")
        try:
            with part.open("wb") as file:
                file.write(data)
                if sync:
                    file.flush()
                    os.fsync(file.fileno())
            part.replace(path)
        except OSError:
            part.unlink(missing_ok=True)
            raise

    def _new_video(self, timelapse_id: UUID) -> Path:
        folder = self.frames_folder(timelapse_id)
        for left in folder.glob("video*.part"):
            left.unlink(missing_ok=True)
        return folder / f"video-{new_id().hex}.part"

    def _keep_video(self, timelapse_id: UUID, made: Path) -> int:
        path = self.video(timelapse_id)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        made.replace(path)
        shutil.rmtree(self.frames_folder(timelapse_id), ignore_errors=True)
        return path.stat().st_size

    def _delete(self, timelapse_ids: Sequence[UUID], picture_ids: Sequence[UUID]) -> None:
        for timelapse_id in timelapse_ids:
            self.video(timelapse_id).unlink(missing_ok=True)
            shutil.rmtree(self.frames_folder(timelapse_id), ignore_errors=True)
        for picture_id in picture_ids:
            self.picture(picture_id).unlink(missing_ok=True)

    def _old(self) -> tuple[list[UUID], list[UUID]]:
        timelapses = {*_ids(self._root / "frames", "*"), *_ids(self._root / "videos", "*/*.mp4")}
        return list(timelapses), list(_ids(self._root / "prints", "*/*.jpg"))

    def _sweep(self) -> int:
        # Half written frames go with their folder.
        left = chain.from_iterable(_old_ones(self._root / kind, "*/*.part") for kind in ("prints", "videos"))
        swept = list(islice(left, SWEPT_AT_ONCE))
        for path in swept:
            path.unlink(missing_ok=True)
        return len(swept)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _old_ones(folder: Path, pattern: str) -> Iterator[Path]:
    for path in folder.glob(pattern):
        with suppress(FileNotFoundError):  # just deleted
            if time.time() - path.stat().st_mtime > ORPHAN_S:
                yield path


def _ids(folder: Path, pattern: str) -> Iterator[UUID]:
    for path in _old_ones(folder, pattern):
        with suppress(ValueError):  # not ours
            yield UUID(hex=path.stem)


def _frame(folder: Path, number: int) -> Path:
    return folder / f"{number:09d}.jpg"


def _numbers(folder: Path) -> list[int]:
    return sorted(int(path.stem) for path in folder.glob("*.jpg"))


def _count(folder: Path) -> Frames:
    numbers = _numbers(folder)
    size = sum(_frame(folder, number).stat().st_size for number in numbers)
    step = numbers[-1] - numbers[-2] if len(numbers) > 1 else 1
    return Frames(len(numbers), size, numbers[-1] if numbers else 0, step)


def _thin(folder: Path) -> Frames:
    numbers = _numbers(folder)
    # From the newest backwards: it stays, so that the last two always tell the step.
    for number in numbers[-2::-2]:
        _frame(folder, number).unlink(missing_ok=True)
    return _count(folder)


def _read_first(folder: Path) -> bytes | None:
    numbers = _numbers(folder)
    return _frame(folder, numbers[0]).read_bytes() if numbers else None

"""The pictures of decisions: files in a folder a day, so that forgetting a day is deleting its folder."""

import errno
import shutil
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

from fluxprint_camera.disk import FILE_S, LOOK_S, MANY_S, Disk
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

FOLDER = Path("pictures", "decisions")
UNFINISHED = ".part"
#: A decision is kept within so long after its picture, or never.
SETTLED_S = 600.0


class DecisionPictures:
    """Keeps pictures below `pictures/decisions/` of the data folder; `close()` it at the end.

    Args:
        data_dir: None: no picture is kept.
        reserve_bytes: what is left free on the disk.
    """

    def __init__(self, data_dir: Path | None, *, reserve_bytes: int) -> None:
        self._root = data_dir
        self._reserve_bytes = reserve_bytes
        self._disk = Disk("decisions")

    def close(self) -> None:
        """Nothing is read or written any more."""
        self._disk.close()

    async def save(self, decision_id: UUID, jpeg: bytes) -> str | None:
        """Write a picture; its path below the data folder, or None where there is no room."""
        if self._root is None:
            return None
        name = FOLDER / datetime.now(UTC).date().isoformat() / f"{decision_id.hex}.jpg"
        try:
            await self._disk.do(partial(self._write, self._root / name, jpeg), within_s=FILE_S)
        except OSError as error:
            log.error("decision_picture_not_kept", reason=repr(error))
            return None
        return str(name)

    async def read(self, name: str) -> bytes | None:
        """A picture, or None where it is gone, or the disk does not give it now."""
        if self._root is None:
            return None
        try:
            return await self._disk.do((self._root / name).read_bytes, within_s=LOOK_S)
        except OSError:
            return None

    async def remove(self, *names: str) -> None:
        """Delete pictures, where they are there; what the disk does not do in time is swept later."""
        if self._root is not None:
            with suppress(OSError):
                await self._disk.do(partial(_remove, [self._root / name for name in names]), within_s=FILE_S)

    async def forget(self, *, keep_days: int) -> None:
        """Delete the days that are over for so long. Raises: OSError"""
        if self._root is not None:
            await self._disk.do(partial(_forget, self._root / FOLDER, keep_days), within_s=MANY_S)

    async def days(self) -> list[str]:
        """The days of which there are pictures. Raises: OSError"""
        return await self._disk.do(partial(_days, self._root), within_s=MANY_S) if self._root is not None else []

    async def settled(self, day: str) -> list[UUID]:
        """The decisions that the pictures of a day were taken for; those apart that may be about to be kept.

        Raises:
            OSError
        """
        if self._root is None:
            return []
        return await self._disk.do(partial(_settled, self._root / FOLDER / day), within_s=MANY_S)

    async def remove_all(self, day: str, decision_ids: Collection[UUID]) -> None:
        """Delete the pictures of these, where they are there. Raises: OSError"""
        if self._root is not None:
            paths = [self._root / FOLDER / day / f"{decision_id.hex}.jpg" for decision_id in decision_ids]
            await self._disk.do(partial(_remove, paths), within_s=MANY_S)

    def _write(self, path: Path, jpeg: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(path.parent).free - len(jpeg) < self._reserve_bytes:
            raise OSError(errno.ENOSPC, "the disk is as full as it may be")
        unfinished = path.with_suffix(UNFINISHED)
        try:
            unfinished.write_bytes(jpeg)
            unfinished.rename(path)
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise


def _forget(folder: Path, keep_days: int) -> None:
    oldest = datetime.now(UTC).date() - timedelta(days=keep_days)
    for day in folder.iterdir() if folder.is_dir() else ():
        if _day(day.name) < oldest:
            shutil.rmtree(day, ignore_errors=True)


def _days(root: Path) -> list[str]:
    folder = root / FOLDER
    return [day.name for day in folder.iterdir() if _day(day.name) < date.max] if folder.is_dir() else []


def _settled(folder: Path) -> list[UUID]:
    """Deletes, on the way, what a process that was killed left half written."""
    found: list[UUID] = []
    for path in folder.iterdir():
        with suppress(ValueError, FileNotFoundError):  # nothing of ours; just deleted
            if time.time() - path.stat().st_mtime <= SETTLED_S:
                continue
            if path.suffix == UNFINISHED:
                path.unlink()
            elif path.suffix == ".jpg":
                found.append(UUID(hex=path.stem))
    return found


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)


def _day(name: str) -> date:
    try:
        return date.fromisoformat(name)
    except ValueError:  # nothing of ours
        return date.max

"""The pictures of decisions: files in a folder a day, so that forgetting a day is deleting its folder."""

import errno
import shutil
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

from fluxprint_camera.disk import FILE_S, LOOK_S, MANY_S, Disk
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

FOLDER = Path("pictures", "decisions")


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

    async def remove(self, name: str) -> None:
        """Delete a picture, where it is there."""
        if self._root is not None:
            with suppress(OSError):
                await self._disk.do((self._root / name).unlink, within_s=FILE_S)

    async def forget(self, *, keep_days: int) -> None:
        """Delete the days that are over for so long. Raises: OSError"""
        if self._root is not None:
            await self._disk.do(partial(_forget, self._root / FOLDER, keep_days), within_s=MANY_S)

    def _write(self, path: Path, jpeg: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(path.parent).free - len(jpeg) < self._reserve_bytes:
            raise OSError(errno.ENOSPC, "the disk is as full as it may be")
        unfinished = path.with_suffix(".part")
        unfinished.write_bytes(jpeg)
        unfinished.rename(path)


def _forget(folder: Path, keep_days: int) -> None:
    oldest = datetime.now(UTC).date() - timedelta(days=keep_days)
    for day in folder.iterdir() if folder.is_dir() else ():
        if _day(day.name) < oldest:
            shutil.rmtree(day, ignore_errors=True)


def _day(name: str) -> date:
    try:
        return date.fromisoformat(name)
    except ValueError:  # nothing of ours
        return date.max

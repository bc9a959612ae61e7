"""The pictures of decisions: files in a folder a day, so that forgetting a day is deleting its folder."""

import shutil
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

from fluxprint_common.logs import get_logger

log = get_logger(__name__)

FOLDER = Path("pictures", "decisions")


class DecisionPictures:
    """Keeps pictures below `pictures/decisions/` of the data folder. Its functions wait for the disk: use a thread.

    Args:
        data_dir: None: no picture is kept.
        reserve_bytes: what is left free on the disk.
    """

    def __init__(self, data_dir: Path | None, *, reserve_bytes: int) -> None:
        self._root = data_dir
        self._reserve_bytes = reserve_bytes

    def save(self, decision_id: UUID, jpeg: bytes) -> str | None:
        """Write a picture; its path below the data folder, or None where there is no room."""
        if self._root is None:
            return None
        name = FOLDER / datetime.now(UTC).date().isoformat() / f"{decision_id.hex}.jpg"
        path = self._root / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(path.parent).free - len(jpeg) < self._reserve_bytes:
                log.error("decision_picture_not_kept", reason="the disk is as full as it may be")
                return None
            unfinished = path.with_suffix(".part")
            unfinished.write_bytes(jpeg)
            unfinished.rename(path)
        except OSError as error:
            log.error("decision_picture_not_kept", reason=str(error))
            return None
        return str(name)

    def read(self, name: str) -> bytes | None:
        """A picture, or None where it is gone."""
        try:
            return (self._root / name).read_bytes() if self._root is not None else None
        except OSError:
            return None

    def remove(self, name: str) -> None:
        """Delete a picture, where it is there."""
        if self._root is not None:
            with suppress(OSError):
                (self._root / name).unlink()

    def forget(self, *, keep_days: int) -> None:
        """Delete the days that are over for so long."""
        if self._root is None:
            return
        oldest = datetime.now(UTC).date() - timedelta(days=keep_days)
        folder = self._root / FOLDER
        for day in folder.iterdir() if folder.is_dir() else ():
            if _day(day.name) < oldest:
                shutil.rmtree(day, ignore_errors=True)


def _day(name: str) -> date:
    try:
        return date.fromisoformat(name)
    except ValueError:  # nothing of ours
        return date.max

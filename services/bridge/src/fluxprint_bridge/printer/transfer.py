"""Brings the file of an attempt from the cloud into OctoPrint, unharmed. Nothing moves yet."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from fluxprint_bridge import clock
from fluxprint_bridge.cloud.api import CloudApi, Download
from fluxprint_bridge.cloud.errors import CloudUnavailable
from fluxprint_bridge.cloud.schemas import AssignedFile, Assignment
from fluxprint_bridge.journal import Journal, Step
from fluxprint_bridge.octoprint.client import OctoPrintClient
from fluxprint_bridge.octoprint.errors import Conflict, KeyRefused, Refused, Unavailable
from fluxprint_bridge.tasks import in_thread_to_its_end
from fluxprint_common.background import backoff_s
from fluxprint_common.logs import get_logger

log = get_logger(__name__)

CHUNK_BYTES = 1024 * 1024  #: written and hashed at a time, in a thread
#: OctoPrint copies, and not atomically, where its spool is on another file system. What has not grown for so long was
#: cut short.
STILL_S = 5.0
READ_BACK_S = 120.0
#: A copy that is whole gets its hash before the upload is answered. OctoPrint loses it for good where somebody has that
#: folder read anew at the same moment.
HASH_LOST_S = 3.0
MAX_ANEW = 2  # times that a copy without a hash is removed and stored again
MAX_BACKOFF_S = 5.0
MAX_TRIES = 6  # in a row and without progress: about 10 s
PARTIAL_CONTENT = 206
PRINTED_BY_HAND = "printed_by_hand"


class TransferFailed(Exception):
    """The file can't be brought to this printer; `reason` is a report's reason."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class _HashLost(Exception):
    """OctoPrint's copy is as long as what was sent, and has no hash."""


@dataclass(frozen=True)
class LocalFile:
    """A complete, verified copy on this machine."""

    path: Path
    size_bytes: int
    sha1: str  #: the hash that OctoPrint keeps of its copy


async def transfer(
    api: CloudApi,
    octoprint: OctoPrintClient,
    assignment: Assignment,
    *,
    spool: Path,
    to: str,
    arrived: Callable[[], object] = lambda: None,
) -> None:
    """Download, verify, store in OctoPrint at the path `to` (then `arrived` is called), and read back what arrived.

    Goes on where an earlier try stopped, and tries again a few times. Raises `TransferFailed`, `CloudRefused` when the
    queue does not give the file, `KeyRefused` when OctoPrint does not take it from us.
    """
    part = spool / f"{assignment.attempt.id}.part"
    try:
        local = await fetch(partial(api.download, assignment.attempt.id), assignment.file, part)
        await store(octoprint, local, to, arrived=arrived)
    except OSError as error:
        raise TransferFailed("bridge_storage_failed", f"The bridge can't keep the file: {error}") from None
    finally:
        part.unlink(missing_ok=True)


async def tidy(spool: Path, journal: Journal) -> None:
    """Remove what a process that was killed left of transfers that nobody will go on with."""
    for part in await asyncio.to_thread(lambda: list(spool.glob("*.part"))):
        attempt = await journal.attempt(part.stem)
        if attempt is None or attempt.state is not Step.CLAIMED:
            part.unlink()


async def fetch(download: Callable[[int], Download], wanted: AssignedFile, part: Path) -> LocalFile:
    """Download to `part`, going on where an earlier try stopped, and verify.

    Raises `TransferFailed`, `CloudRefused` when the queue does not give the file, and `OSError`.
    """
    copy = await in_thread_to_its_end(_Copy.open, part, wanted)
    failures = 0
    try:
        while not copy.complete:
            before = copy.size_bytes
            try:
                await _append(download, copy)
            except CloudUnavailable as error:
                failures = failures + 1 if copy.size_bytes == before else 1
                log.warning("download_interrupted", part=part.stem, error=str(error)[:300])
                if failures == MAX_TRIES:
                    raise TransferFailed("transfer_failed", f"The file can't be downloaded: {error}") from None
                await asyncio.sleep(backoff_s(failures, cap_s=MAX_BACKOFF_S))
        return await in_thread_to_its_end(copy.verified)
    finally:
        copy.close()


async def _append(download: Callable[[int], Download], copy: "_Copy") -> None:
    async with download(copy.size_bytes) as response:
        if copy.size_bytes and response.status_code != PARTIAL_CONTENT:
            await in_thread_to_its_end(copy.restart)
        pending = bytearray()
        try:
            async for piece in response.aiter_bytes():
                pending += piece
                if len(pending) >= CHUNK_BYTES:
                    chunk, pending = pending, bytearray()  # first: it is written once, also if this is cancelled
                    await in_thread_to_its_end(copy.add, chunk)
        finally:
            await in_thread_to_its_end(copy.add, pending)
    if not copy.complete:
        raise CloudUnavailable("the download ended early")


class _Copy:
    """The growing file. Its methods block: they run in threads."""

    def __init__(self, path: Path, content: BinaryIO, wanted: AssignedFile) -> None:
        self._path = path
        self._content = content
        self._wanted = wanted
        self._count_from_zero()

    @classmethod
    def open(cls, path: Path, wanted: AssignedFile) -> "_Copy":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        copy = cls(path, path.open("r+b"), wanted)
        if path.stat().st_size > wanted.size_bytes:
            copy.restart()
        while kept := copy._content.read(CHUNK_BYTES):
            copy._count(kept)
        return copy

    @property
    def complete(self) -> bool:
        return self.size_bytes == self._wanted.size_bytes

    def restart(self) -> None:
        self._content.seek(0)
        self._content.truncate()
        self._count_from_zero()

    def add(self, chunk: bytearray) -> None:
        if self.size_bytes + len(chunk) > self._wanted.size_bytes:
            raise TransferFailed("transfer_failed", "The cloud sent more bytes than it had announced.")
        self._content.write(chunk)
        self._count(chunk)

    def _count_from_zero(self) -> None:
        self._sha256 = hashlib.sha256()
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self.size_bytes = 0

    def _count(self, chunk: bytes | bytearray) -> None:
        self.size_bytes += len(chunk)
        self._sha256.update(chunk)
        self._sha1.update(chunk)

    def verified(self) -> LocalFile:
        self._content.flush()
        if self._sha256.hexdigest() != self._wanted.sha256:
            self._path.unlink()
            raise TransferFailed("transfer_failed", "The downloaded file does not have the announced SHA-256.")
        return LocalFile(self._path, self.size_bytes, self._sha1.hexdigest())

    def close(self) -> None:
        self._content.close()


async def store(
    octoprint: OctoPrintClient,
    local: LocalFile,
    to: str,
    *,
    called_off: Callable[[], bool] = lambda: False,
    arrived: Callable[[], object] = lambda: None,
) -> None:
    """Put a file into OctoPrint and read back what arrived. Raises `TransferFailed` and `KeyRefused`.

    `called_off` is asked after a try that failed; when it says so, there is no other. Raises `Unavailable` then.
    """
    folder, _, name = to.rpartition("/")
    failures = 0
    anew = MAX_ANEW
    lost = False
    while True:
        try:
            if lost:
                anew = anew - 1 if await _removed(octoprint, to) else 0
                lost = False
            answered = True
            try:
                stored = await octoprint.upload(local.path, folder=folder, name=name)
            except Conflict:
                stored, answered = to, False  # an earlier try got through, whole or not: reading it back tells
            if stored != to:
                raise TransferFailed("file_rejected", f"OctoPrint stored the file under another name: {stored[:200]}")
            arrived()
            await _read_back(octoprint, local, to, hash_within_s=HASH_LOST_S if answered and anew else None)
            return
        except _HashLost:
            lost = True
            if called_off():
                await _removed(octoprint, to)  # whoever goes on with it would wait long for its hash
                raise Unavailable(f"OctoPrint has no hash of {to}") from None
        except KeyRefused:
            raise
        except Refused as refused:
            raise TransferFailed("file_rejected", str(refused)) from None
        except Unavailable as error:
            failures += 1
            log.warning("upload_interrupted", path=to, error=str(error)[:300])
            if called_off():
                raise
            if failures == MAX_TRIES:
                raise TransferFailed("transfer_failed", f"The file can't be stored in OctoPrint: {error}") from None
            await asyncio.sleep(backoff_s(failures, cap_s=MAX_BACKOFF_S))


async def _removed(octoprint: OctoPrintClient, to: str) -> bool:
    """Have a copy that nobody can verify removed, so that it is stored again. False where OctoPrint won't have it."""
    log.warning("hash_lost", path=to)
    try:
        await octoprint.remove(to)
    except Refused as refused:  # it may take a permission that our key lacks
        log.warning("copy_not_removed", path=to, error=str(refused)[:300])
        return False
    return True


async def _read_back(octoprint: OctoPrintClient, local: LocalFile, to: str, *, hash_within_s: float | None) -> None:
    """Wait until OctoPrint holds what was sent, by its size and hash.

    Raises `TransferFailed` when it won't, and `_HashLost`.
    """
    began_at = changed_at = clock.now()
    size_bytes: int | None = None
    sha1: str | None = None
    while True:
        found = await octoprint.file(to)
        if found is not None and found.prints.any:
            raise TransferFailed(PRINTED_BY_HAND, f"Somebody printed {to} in OctoPrint by hand.")
        if found is not None and (found.size_bytes, found.sha1) == (local.size_bytes, local.sha1):
            return
        before = size_bytes, sha1
        size_bytes, sha1 = (found.size_bytes, found.sha1) if found is not None else (None, None)
        now = clock.now()
        if (size_bytes, sha1) != before:
            changed_at = now
        awaits_its_hash = size_bytes == local.size_bytes and sha1 is None
        if awaits_its_hash and hash_within_s is not None and now - changed_at > hash_within_s:
            raise _HashLost
        is_still = not awaits_its_hash and now - changed_at > STILL_S
        if is_still or now - began_at > READ_BACK_S:
            what = f"{size_bytes} of {local.size_bytes} bytes" if size_bytes is not None else "nothing"
            if size_bytes == local.size_bytes:
                what = f"as many bytes, SHA-1 {sha1} and not {local.sha1}"
            raise TransferFailed(
                "transfer_failed", f"OctoPrint's copy at {to} is not what was sent ({what}); its disk may be full."
            )
        await asyncio.sleep(0.25)

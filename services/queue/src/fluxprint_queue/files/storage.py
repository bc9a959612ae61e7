"""Content-addressed storage on local disk: a file's name is the SHA-256 of its bytes.

Bytes are written to a staging file first and renamed into place only when they are whole, checked and synced, so that
a name that exists is always complete, and an upload that fails leaves nothing behind.
"""

import asyncio
import errno
import hashlib
import os
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fluxprint_common.problems import ServiceError

WRITE_CHUNK = 256 * 1024
STAGING_MAX_AGE_S = 6 * 3600


class StorageFull(ServiceError):
    """There is no room left for files; nothing was stored"""

    status, code = 507, "storage_full"


class StagedFile:
    """Bytes on their way in, hashed as they come; every disk access happens in a thread.

    Args:
        reserve_bytes: stays free on the disk, which others may need too: PostgreSQL, above all.
    """

    def __init__(self, path: Path, descriptor: int, *, reserve_bytes: int) -> None:
        self.path = path
        self._reserve_bytes = reserve_bytes
        self._file = os.fdopen(descriptor, "wb")
        self._hash = hashlib.sha256()
        self._buffer = bytearray()
        self.size_bytes = 0

    async def write(self, data: bytes) -> None:
        """Append; reaches the disk in pieces of `WRITE_CHUNK`."""
        self._buffer += data
        self.size_bytes += len(data)
        if len(self._buffer) >= WRITE_CHUNK:
            await self._flush()

    async def finish(self) -> str:
        """Sync to disk; the SHA-256 as hexadecimal digits.

        Raises:
            StorageFull
        """
        await self._flush()
        try:
            await asyncio.to_thread(self._sync)
        except OSError as error:
            raise StorageFull from error
        return self._hash.hexdigest()

    async def _flush(self) -> None:
        piece, self._buffer = bytes(self._buffer), bytearray()
        try:
            await asyncio.to_thread(self._write, piece)
        except OSError as error:
            raise StorageFull from error

    def _write(self, piece: bytes) -> None:
        disk = os.fstatvfs(self._file.fileno())
        if disk.f_bavail * disk.f_frsize < self._reserve_bytes + len(piece):
            raise OSError(errno.ENOSPC, "what is left on the disk is kept free")
        self._file.write(piece)
        self._hash.update(piece)

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def discard(self) -> None:
        """Leave no trace."""
        self._file.close()
        self.path.unlink(missing_ok=True)


class LocalStorage:
    """Files below one folder: `blobs/ab/cd/<sha256>` and `staging/`."""

    def __init__(self, root: Path, *, reserve_bytes: int) -> None:
        self._reserve_bytes = reserve_bytes
        self._blobs = root / "blobs"
        self._staging = root / "staging"
        for folder in (self._blobs, self._staging):
            folder.mkdir(parents=True, exist_ok=True)

    def path(self, sha256: str) -> Path:
        """Where content of that hash stands, or would stand."""
        return self._blobs / sha256[:2] / sha256[2:4] / sha256

    @asynccontextmanager
    async def staging(self) -> AsyncIterator[StagedFile]:
        """A file on its way in; gone at the end unless it was kept."""
        descriptor, name = await asyncio.to_thread(tempfile.mkstemp, prefix="upload-", dir=self._staging)
        staged = StagedFile(Path(name), descriptor, reserve_bytes=self._reserve_bytes)
        try:
            yield staged
        finally:
            await asyncio.to_thread(staged.discard)

    async def keep(self, staged: StagedFile, sha256: str) -> None:
        """Move a finished file to its place; where the same content stands already, that one stays."""
        await asyncio.to_thread(self._keep, staged.path, self.path(sha256))

    @staticmethod
    def _keep(source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        source.chmod(0o640)
        source.replace(target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    async def delete(self, sha256: str) -> None:
        """Remove content that nobody refers to any more."""
        await asyncio.to_thread(self.path(sha256).unlink, missing_ok=True)

    async def sweep(self) -> None:
        """Remove what a killed process left in staging."""
        await asyncio.to_thread(self._sweep)

    def _sweep(self) -> None:
        for left in self._staging.iterdir():
            with suppress(FileNotFoundError):  # an upload that ends at this moment
                if time.time() - left.stat().st_mtime > STAGING_MAX_AGE_S:
                    left.unlink()

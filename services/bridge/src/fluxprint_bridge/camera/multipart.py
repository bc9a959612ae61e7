"""Cuts a `multipart/x-mixed-replace` stream into pictures. No input or output here.

Cameras take liberties: the boundary may be announced in quotes or with dashes, `Content-Length` may be missing. So the
delimiter is the one that the body itself starts with, and a picture is complete at its announced length, without
waiting for the next delimiter, or else where the next delimiter stands.
"""

from enum import Enum, auto

from fluxprint_bridge.camera.faults import Reason, SourceFailed

MAX_PICTURE_BYTES = 8 * 1024 * 1024
MAX_HEADER_BYTES = 8 * 1024


class _Expecting(Enum):
    DELIMITER = auto()
    HEADERS = auto()
    PICTURE = auto()


class PictureCutter:
    """Feed it what arrives; it gives back the pictures that are complete.

    Args:
        boundary: as the camera announces it. Some write it between the pictures without the two dashes.
    """

    def __init__(self, boundary: str = "") -> None:
        self._bare = boundary.strip().strip('"').strip("-").encode()
        self._buffer = bytearray()
        self._expecting = _Expecting.DELIMITER
        self._delimiter = b""
        self._length: int | None = None
        self._searched = 0  # of the buffer, in vain

    @property
    def in_picture(self) -> bool:
        """Whether a picture has begun that is not complete."""
        return self._expecting is _Expecting.PICTURE and len(self._buffer) > 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Raises `SourceFailed`."""
        self._buffer += chunk
        pictures: list[bytes] = []
        while self._step(pictures):
            pass
        if len(self._buffer) > MAX_PICTURE_BYTES + MAX_HEADER_BYTES:
            raise _too_large()
        return pictures

    def _step(self, pictures: list[bytes]) -> bool:
        match self._expecting:
            case _Expecting.DELIMITER:
                return self._find_delimiter()
            case _Expecting.HEADERS:
                return self._read_headers()
            case _Expecting.PICTURE:
                picture = self._take_picture()
                if picture is not None:
                    pictures.append(picture)
                    self._expecting = _Expecting.DELIMITER
                return picture is not None

    def _find_delimiter(self) -> bool:
        """Skip to behind the line of the delimiter; the first one seen shows what it looks like."""
        start = self._buffer.find(self._delimiter) if self._delimiter else self._first_delimiter()
        end = self._buffer.find(b"\n", start) if start >= 0 else -1
        if end < 0:
            if len(self._buffer) > MAX_HEADER_BYTES and not self._delimiter:
                raise SourceFailed(Reason.NOT_A_CAMERA, "its stream has no boundary")
            return False
        self._delimiter = self._delimiter or bytes(self._buffer[start:end]).rstrip()
        del self._buffer[: end + 1]
        self._expecting = _Expecting.HEADERS
        return True

    def _first_delimiter(self) -> int:
        found = [at for mark in (b"--", self._bare) if mark and (at := self._buffer.find(mark)) >= 0]
        return min(found, default=-1)

    def _read_headers(self) -> bool:
        ends = [(at, len(mark)) for mark in (b"\r\n\r\n", b"\n\n") if (at := self._buffer.find(mark)) >= 0]
        ends += [(0, len(mark)) for mark in (b"\r\n", b"\n") if self._buffer.startswith(mark)]  # no headers at all
        if not ends:
            if len(self._buffer) > MAX_HEADER_BYTES:
                raise SourceFailed(Reason.NOT_A_CAMERA, "its stream has headers without an end")
            return False
        end, length = min(ends)
        self._length = _content_length(bytes(self._buffer[:end]))
        del self._buffer[: end + length]
        self._expecting = _Expecting.PICTURE
        return True

    def _take_picture(self) -> bytes | None:
        if self._length is not None:
            end = self._length if len(self._buffer) >= self._length else -1
        else:
            mark = b"\n" + self._delimiter
            end = self._buffer.find(mark, self._searched)
            self._searched = max(0, len(self._buffer) - len(mark)) if end < 0 else 0
            if end > 0 and self._buffer[end - 1] == ord("\r"):
                end -= 1
        if end < 0:
            return None
        picture = bytes(self._buffer[:end])
        del self._buffer[:end]
        return picture


def _content_length(headers: bytes) -> int | None:
    for line in headers.splitlines():
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            try:
                length = int(value)
            except ValueError:
                return None
            if length > MAX_PICTURE_BYTES:
                raise _too_large()
            return length if length > 0 else None
    return None


def _too_large() -> SourceFailed:
    return SourceFailed(Reason.TOO_LARGE, f"a picture of more than {MAX_PICTURE_BYTES} bytes")

"""One picture of a camera."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Self

BOUNDARY = "fluxprint-frame"
JPEG = "image/jpeg"
DELIMITER = f"\r\n--{BOUNDARY}".encode()
_LINE_END = b"\r\n"
#: The end of a multipart body behind its last delimiter (RFC 2046, 5.1.1), alone and with that of a chunked body.
LAST = b"--\r\n"
LAST_CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(LAST), LAST)


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture as viewers get it: built once, shared by all of them, never copied here.

    Attributes:
        sequence: the bridge's number of it.
        captured_at: by the bridge's clock.
        received_at: by ours.
        chunk: `part` as one chunk of a chunked body (RFC 9112, 7.1).
        media_type: what the picture is; whoever takes frames says which kind.
    """

    sequence: int
    captured_at: datetime
    received_at: datetime
    chunk: bytes
    _part_at: int
    _jpeg_at: int
    media_type: str = JPEG

    @classmethod
    def of(
        cls, jpeg: bytes | memoryview, *, sequence: int, captured_at: datetime, received_at: datetime | None = None
    ) -> Self:
        """A frame of a whole JPEG file, received now unless it is said when."""
        head = (
            f"\r\nContent-Type: {JPEG}\r\nContent-Length: {len(jpeg)}\r\nX-Captured-At: {rfc3339(captured_at)}\r\n\r\n"
        ).encode()
        size = b"%x\r\n" % (len(head) + len(jpeg) + len(DELIMITER))
        chunk = b"".join((size, head, jpeg, DELIMITER, _LINE_END))
        received_at = received_at or datetime.now(UTC)
        return cls(sequence, captured_at, received_at, chunk, len(size), len(size) + len(head))

    @property
    def part(self) -> memoryview:
        """One part of a multipart/x-mixed-replace body (RFC 2046, 5.1.1), from behind a delimiter up to and including
        the next one, so that a reader that waits for the delimiter shows the picture at once."""
        return memoryview(self.chunk)[self._part_at : -len(_LINE_END)]

    @property
    def jpeg(self) -> memoryview:
        """The picture alone, without a copy."""
        return memoryview(self.chunk)[self._jpeg_at : -len(DELIMITER) - len(_LINE_END)]

    @cached_property
    def etag(self) -> str:
        """A strong entity tag (RFC 9110, 8.8.3): the same in every process that has this picture."""
        return f'"{hashlib.sha256(self.jpeg).hexdigest()[:32]}"'


def rfc3339(moment: datetime) -> str:
    """A moment in UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

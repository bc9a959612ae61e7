"""One picture of a camera."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Self

BOUNDARY = "fluxprint-frame"
JPEG = "image/jpeg"
DELIMITER = f"\r\n--{BOUNDARY}".encode()


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture as viewers get it: built once, shared by all of them, never copied here.

    Attributes:
        sequence: the bridge's number of it.
        captured_at: by the bridge's clock.
        received_at: by ours.
        part: one part of a multipart/x-mixed-replace body (RFC 2046, 5.1.1), from behind a delimiter up to and
            including the next one, so that a reader that waits for the delimiter shows the picture at once.
        media_type: what the picture is; whoever takes frames says which kind.
    """

    sequence: int
    captured_at: datetime
    received_at: datetime
    part: bytes
    _start: int
    media_type: str = JPEG

    @classmethod
    def of(cls, jpeg: bytes, *, sequence: int, captured_at: datetime) -> Self:
        """A frame of a whole JPEG file."""
        head = (
            "\r\nContent-Type: image/jpeg"
            f"\r\nContent-Length: {len(jpeg)}"
            f"\r\nX-Captured-At: {rfc3339(captured_at)}\r\n\r\n"
        ).encode()
        return cls(sequence, captured_at, datetime.now(UTC), b"".join((head, jpeg, DELIMITER)), len(head))

    @property
    def jpeg(self) -> memoryview:
        """The picture alone, without a copy."""
        return memoryview(self.part)[self._start : -len(DELIMITER)]

    @cached_property
    def etag(self) -> str:
        """A strong entity tag (RFC 9110, 8.8.3): the same in every process that has this picture."""
        return f'"{hashlib.sha256(self.jpeg).hexdigest()[:32]}"'


def rfc3339(moment: datetime) -> str:
    """A moment in UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

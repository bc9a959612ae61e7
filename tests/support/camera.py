"""The camera service in tests: its settings, pictures, a clock to turn, and a viewer's connection."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from pydantic import SecretStr

from fluxprint_camera.relay.frame import Frame
from fluxprint_camera.settings import CameraSettings
from fluxprint_common.settings import Environment

VIEW_TOKEN_SECRET = "b7f0c52d9a3e4816b7f0c52d9a3e4816"  # of the tests alone
TAKEN_AT = datetime(2026, 11, 21, 10, 0, 0, 123_000, tzinfo=UTC)


def settings_of(**changed: object) -> CameraSettings:
    """Settings for what runs without a network."""
    return CameraSettings.model_validate(
        {
            "environment": Environment.TEST,
            "port": 0,
            "database_url": SecretStr("postgresql+asyncpg://nobody:nothing@127.0.0.1:1/nowhere"),
            "jwks_url": "http://127.0.0.1:1/jwks.json",
            "queue_url": "http://127.0.0.1:1",
            "view_token_secret": SecretStr(VIEW_TOKEN_SECRET),
            **changed,
        }
    )


def jpeg(number: int, *, size: int = 200) -> bytes:
    """A stand-in for a picture: a JPEG's first bytes, and its number."""
    return b"\xff\xd8\xff\xe0" + f"picture {number} ".encode().ljust(size - 6, b".") + b"\xff\xd9"


def number_of(picture: bytes | memoryview) -> int:
    """The number of a `jpeg()`."""
    return int(bytes(picture)[4:].split(b" ")[1])


def frame(number: int, *, size: int = 200) -> Frame:
    return Frame.of(jpeg(number, size=size), sequence=number, captured_at=TAKEN_AT)


@dataclass
class Clock:
    """Time that passes when a test says so."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Connection:
    """A viewer's connection of which a test says how much waits in it, whether it takes frames at once, and
    whether it acknowledges them."""

    waiting: int = 0
    cuts: int = field(default=0)
    takes: bool = False
    unacknowledged: bool = False
    taken: list[int] = field(default_factory=list)

    def push(self, frame: Frame) -> bool:
        if self.takes:
            self.taken.append(frame.sequence)
        return self.takes

    def asks(self) -> bool:
        return False

    def backlog(self) -> int:
        return self.waiting

    def awaits(self) -> bool:
        return self.unacknowledged

    def cut(self) -> None:
        self.cuts += 1

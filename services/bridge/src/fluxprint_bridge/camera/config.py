"""What the bridge knows of a camera before it reads from it."""

import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

DEFAULT_KEY = "default"
DEFAULT_NAME = "Camera"
MAX_NAME_CHARS = 100
MAX_KEY_CHARS = 50

#: Where the usual servers have single pictures, beside their streams: mjpg-streamer (and ustreamer, which imitates it),
#: and ustreamer itself.
_SNAPSHOT_BESIDE = ((re.compile(r"\baction=stream\b"), "action=snapshot"), (re.compile(r"/stream$"), "/snapshot"))


@dataclass(frozen=True)
class Address:
    """Where a camera answers. User and password stand apart, so that the address may be named."""

    url: str
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def of(cls, url: str, *, base: str, user: str = "", password: str = "") -> "Address":
        """An address as it is written in settings: absolute, or relative to OctoPrint's; it may carry a password.

        Raises:
            ValueError: it is none of http.
        """
        try:
            parts = urlsplit(urljoin(base.rstrip("/") + "/", url.strip()))
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None  # its own message would show the password
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("a camera's address begins with http://, https:// or /")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        netloc = host if port is None else f"{host}:{port}"
        return cls(
            urlunsplit((parts.scheme, netloc, parts.path or "/", parts.query, "")),
            user or unquote(parts.username or ""),
            password or unquote(parts.password or ""),
        )


@dataclass(frozen=True)
class CameraConfig:
    """One camera of a printer.

    Attributes:
        key: what it is called for ever, unique among the printer's.
        stream: an MJPEG stream, or an address that gives one JPEG at a time.
        snapshot: an address that gives one JPEG at a time, for when the stream does not work or nobody watches.
        rotate: degrees clockwise to turn a picture by, after the flips, to see it upright. The bridge turns nothing.
    """

    key: str
    name: str
    stream: Address | None
    snapshot: Address | None = None
    rotate: int = 0
    flip_h: bool = False
    flip_v: bool = False

    @property
    def snapshot_beside(self) -> Address | None:
        """Where single pictures usually are beside such a stream; only worth a try."""
        if self.stream is not None:
            for pattern, there in _SNAPSHOT_BESIDE:
                url, count = pattern.subn(there, self.stream.url)
                if count:
                    return Address(url, self.stream.user, self.stream.password)
        return None


def key_of(name: str) -> str:
    """A key made of what a camera is called elsewhere."""
    key = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:MAX_KEY_CHARS].rstrip("-")
    return key or "camera"


def name_of(name: str) -> str:
    """A name as FluxPrint takes it: one line, not empty, not too long."""
    shown = "".join(sign for sign in name if sign.isprintable()).strip()
    return shown[:MAX_NAME_CHARS] or DEFAULT_NAME

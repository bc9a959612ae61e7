"""What a request tells about the program that sent it."""

from dataclasses import dataclass, field

MAX_LANGUAGES_CHARS = 100


@dataclass(frozen=True)
class Client:
    """Where a request comes from.

    Attributes:
        address: of the client itself, not of a proxy that is trusted.
        agent: what it says it is (`User-Agent`), cut to 300 characters; empty where it says nothing.
        languages: what its person reads (`Accept-Language`), cut to 100 characters.
        device_token: the `fxd_` token of a device that somebody signed in with before; empty where there is none.
    """

    address: str
    agent: str
    languages: str = ""
    device_token: str = field(default="", repr=False)


def device_cookie(public_url: str) -> str:
    """The name of the cookie with a browser's device token; browsers refuse the prefix from a page without TLS."""
    return "__Secure-fluxprint_device" if public_url.startswith("https:") else "fluxprint_device"

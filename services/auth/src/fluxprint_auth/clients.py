"""What a request tells about the program that sent it."""

from dataclasses import dataclass

MAX_AGENT_CHARS = 300
MAX_LANGUAGES_CHARS = 100


@dataclass(frozen=True)
class Client:
    """Where a request comes from.

    Attributes:
        address: of the client itself, not of a proxy that is trusted.
        agent: what it says it is (`User-Agent`), cut to 300 characters; empty where it says nothing.
        languages: what its person reads (`Accept-Language`), cut to 100 characters.
    """

    address: str
    agent: str
    languages: str = ""

"""Codes that a person reads from one screen and types into another.

Twenty consonants: no two look alike, no case matters, and no word can appear. Eight of them are 2.5e10 possibilities,
for ten minutes and some tries (RFC 8628, 5.1 and 6.1).
"""

import secrets

ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
CHARS = 8


def new_code() -> str:
    """A random code, without its hyphen."""
    return "".join(secrets.choice(ALPHABET) for _ in range(CHARS))


def spelt(code: str) -> str:
    """The code as it is shown: `WDJB-MJHT`."""
    return f"{code[: CHARS // 2]}-{code[CHARS // 2 :]}"


def read(typed: str) -> str | None:
    """The code that somebody typed, in whatever case and with or without the hyphen; None: it can't be one."""
    code = "".join(sign for sign in typed.upper() if sign not in "- ")
    return code if len(code) == CHARS and set(code) <= set(ALPHABET) else None

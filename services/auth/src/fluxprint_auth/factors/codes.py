"""Codes of authenticator apps (TOTP, RFC 6238) and recovery codes."""

import hashlib
import hmac
import re
import secrets
from uuid import UUID

import pyotp

PERIOD_S = 30
WINDOW = 1  # periods before and after: clocks differ, and people type slowly
RECOVERY_CODES = 10
# Without vowels, so that no words come about, and without what looks alike: 16 of 28 signs are 76 bits.
_ALPHABET = "23456789bcdfghjkmnpqrstvwxyz"
_RECOVERY_CHARS = 16
_GROUP = 4
_TOTP = re.compile(r"[0-9]{6}")


def new_secret() -> str:
    """A secret of 160 bits in base32, as apps take it (RFC 4226, 4)."""
    return pyotp.random_base32(32)


def otpauth_uri(secret: str, *, account: str, issuer: str) -> str:
    """What apps read from a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name=issuer)


def plain(code: str) -> str:
    """A code without the spaces that apps show it with."""
    return "".join(code.split())


def is_totp(code: str) -> bool:
    """Whether this looks like a code of an app, and not like a recovery code."""
    return _TOTP.fullmatch(code) is not None


def matching_step(secret: str, code: str, *, at_s: float, after: int | None) -> int | None:
    """The period whose code this is, or None. Every period of the window is compared, in constant time.

    Args:
        at_s: the moment, in seconds since 1970.
        after: the period whose code was taken last: codes up to it were seen by somebody already.
    """
    totp = pyotp.TOTP(secret)
    now = int(at_s) // PERIOD_S
    found = None
    for step in range(now - WINDOW, now + WINDOW + 1):
        equal = hmac.compare_digest(totp.generate_otp(step).encode(), code.encode())
        if equal and (after is None or step > after):
            found = step
    return found


def new_recovery_codes() -> list[str]:
    """Codes to write down, such as `k3pv-92hd-xw7m-c5tq`."""
    return [_group("".join(secrets.choice(_ALPHABET) for _ in range(_RECOVERY_CHARS))) for _ in range(RECOVERY_CODES)]


def recovery_hash(user_id: UUID, code: str) -> bytes:
    """What is stored of a recovery code, however it was typed. One hash is enough for 76 random bits."""
    plain = re.sub(r"[\s-]", "", code).lower()
    return hashlib.sha256(user_id.bytes + plain.encode()).digest()


def _group(code: str) -> str:
    return "-".join(code[start : start + _GROUP] for start in range(0, len(code), _GROUP))

"""Short names of organisations for addresses: every name yields one."""

import re
import secrets
import unicodedata
from collections.abc import Iterator

MAX_SLUG_CHARS = 40
_SUFFIX_ALPHABET = "23456789abcdefghjkmnpqrstvwxyz"  # none that look alike
_TRIES = 6


def slug_of(name: str) -> str:
    """Lower-case ASCII letters, digits and single hyphens; `organisation` where nothing of the name is left."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:MAX_SLUG_CHARS].strip("-") or "organisation"


def candidates(name: str) -> Iterator[str]:
    """The slug of a name, then ones with a random suffix, for when it is taken."""
    slug = slug_of(name)
    yield slug
    for _ in range(_TRIES):
        yield f"{slug}-{''.join(secrets.choice(_SUFFIX_ALPHABET) for _ in range(6))}"

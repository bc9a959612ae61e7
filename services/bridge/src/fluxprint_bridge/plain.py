"""Makes what came from a serial line or from somebody's file name fit for JSON, PostgreSQL and a person's eyes."""

import math
import unicodedata
from collections.abc import Mapping

MAX_DEPTH = 8
#: Control characters, and halves of a pair that no encoding takes (Unicode's general categories).
_HARMFUL = frozenset({"Cc", "Cs"})


def plain_text(text: str) -> str:
    """`text` with a space for each control character and lone surrogate."""
    return "".join(" " if unicodedata.category(character) in _HARMFUL else character for character in text)


def plain(value: object, *, depth: int = MAX_DEPTH) -> object:
    """`value` as JSON takes it: plain texts, finite numbers, and nothing nested deeper than `depth`."""
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Mapping() | list() | tuple() if depth == 0:
            return "..."
        case Mapping():
            return {plain_text(str(key)): plain(item, depth=depth - 1) for key, item in value.items()}
        case list() | tuple():
            return [plain(item, depth=depth - 1) for item in value]
    return plain_text(str(value))

"""What services and bridges tell each other outside of HTTP: JSON objects of a bounded size."""

import json
from collections.abc import Mapping

Message = Mapping[str, object]

MAX_MESSAGE_BYTES = 64 * 1024


def parse(data: bytes | str) -> dict[str, object] | None:
    """A message from outside, or None where it is too large or no JSON object."""
    if len(data) > MAX_MESSAGE_BYTES:
        return None
    try:
        message = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None

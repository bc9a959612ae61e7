"""What a client says it is, in a few words: for people to recognise their devices, and for a fingerprint.

Versions, models and addresses are left out on purpose: a browser that was updated, or that is on another network, is
the same, and no more is known of anybody than needed.
"""

import re

from fluxprint_auth.clients import Client

#: The first that occurs counts: nearly every browser also claims to be Chrome, Safari and Mozilla.
_PROGRAMS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Vivaldi/", "Vivaldi"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("Windows", "Windows"),
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Macintosh", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)
_PRODUCT = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,39}")  # RFC 9110, 10.1.5: a product, before its version
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}")


def device_of(agent: str) -> str | None:
    """`Firefox on Windows`, `curl`; None where the client says nothing that people would recognise."""
    if not agent.startswith("Mozilla/"):
        product = _PRODUCT.match(agent)
        return product[0] if product else None
    program, system = _first(_PROGRAMS, agent), _first(_SYSTEMS, agent)
    if program and system:
        return f"{program} on {system}"
    return program or system


def traits_of(client: Client) -> bytes:
    """What is typical of a client and stays the same with updates and networks: kind of program, system, language."""
    language = _LANGUAGE.match(client.languages)
    parts = (device_of(client.agent) or "", language[0].lower() if language else "")
    return "\n".join(parts).encode()


def _first(known: tuple[tuple[str, str], ...], agent: str) -> str | None:
    return next((name for sign, name in known if sign in agent), None)

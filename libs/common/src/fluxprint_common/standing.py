"""Whether what outlives an access token still stands: a stream that was begun hours ago, a link that somebody made.

Auth is asked what a session, an API key or a member may do at this moment. Who needs to know at once follows the
revocations beside that: they say when it is time to ask again.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urljoin
from uuid import UUID

import httpx

from fluxprint_common.permissions import Permission

PATH = "/internal/standing"
MAX_GROUNDS = 100
TIMEOUT_S = 3.0
_KNOWN = frozenset(Permission)  # a younger auth may know more


@dataclass(frozen=True, slots=True)
class Ground:
    """What something stands on: a session or an API key; without either, that the person is a member."""

    user_id: UUID
    organisation_id: UUID
    session_id: UUID | None = None
    api_key_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What a ground allows now; `printers`: of these only, None: of all."""

    permissions: frozenset[Permission]
    printers: frozenset[UUID] | None = None


class NoAnswer(Exception):
    """Auth could not say; `reason` is for the log."""


Ask = Callable[[Sequence[Ground]], Awaitable[list[Standing | None]]]
"""What each of at most `MAX_GROUNDS` allows, in their order; None: nothing any more. Raises: NoAnswer."""


def over_http(http: httpx.AsyncClient, jwks_url: str) -> Ask:
    """Asks the auth service, at the address that its keys are fetched from."""
    url = urljoin(jwks_url, PATH)

    async def ask(grounds: Sequence[Ground]) -> list[Standing | None]:
        body = {"grounds": [_sent(ground) for ground in grounds]}
        try:
            answer = await http.post(url, json=body, timeout=TIMEOUT_S)
            answer.raise_for_status()
            said = [_read(item) for item in answer.json()["standings"]]
        except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise NoAnswer(repr(error)) from error
        if len(said) != len(grounds):
            raise NoAnswer("an answer of another length")
        return said

    return ask


def _sent(ground: Ground) -> dict[str, str | None]:
    return {
        "user_id": ground.user_id.hex,
        "organisation_id": ground.organisation_id.hex,
        "session_id": ground.session_id.hex if ground.session_id else None,
        "api_key_id": ground.api_key_id.hex if ground.api_key_id else None,
    }


def _read(item: Mapping[str, list[str] | None] | None) -> Standing | None:
    if item is None:
        return None
    printers = item["printers"]
    return Standing(
        frozenset(Permission(name) for name in item["permissions"] or () if name in _KNOWN),
        None if printers is None else frozenset(UUID(hex=printer) for printer in printers),
    )

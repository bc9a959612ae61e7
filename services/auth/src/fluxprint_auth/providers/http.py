"""Asking providers: bounded in time and size, and never led elsewhere."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx

MAX_ANSWER_BYTES = 256 * 1024
TIMEOUT_S = 8.0


class ProviderFailed(Exception):
    """The provider did not answer, or not as it should; `reason` is a word for the log and the audit.

    Attributes:
        is_away: whether it may work in a moment.
    """

    def __init__(self, reason: str, *, is_away: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_away = is_away


async def ask(
    http: httpx.AsyncClient, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: str | None = None
) -> Any:
    """The JSON that a provider answers with 200.

    Raises:
        ProviderFailed
    """
    # What is compressed could be endless when it is opened.
    all_headers = {"Accept": "application/json", "Accept-Encoding": "identity", **(headers or {})}
    received = bytearray()
    try:
        async with (
            asyncio.timeout(TIMEOUT_S),
            http.stream(method, url, headers=all_headers, content=body, follow_redirects=False) as answer,
        ):
            if answer.headers.get("Content-Encoding", "identity") != "identity":
                raise ProviderFailed("compressed_answer")
            async for chunk in answer.aiter_raw():
                received += chunk
                if len(received) > MAX_ANSWER_BYTES:
                    raise ProviderFailed("answer_too_long")
    except (httpx.HTTPError, TimeoutError) as error:
        raise ProviderFailed("no_answer", is_away=True) from error
    if answer.status_code != 200:
        raise ProviderFailed(f"status_{answer.status_code}", is_away=answer.status_code >= 500)
    try:
        return json.loads(received)
    except (ValueError, RecursionError) as error:
        raise ProviderFailed("no_json") from error


async def ask_for_object(
    http: httpx.AsyncClient, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: str | None = None
) -> dict[str, object]:
    """The same, where it must be a JSON object.

    Raises:
        ProviderFailed
    """
    answer = await ask(http, method, url, headers=headers, body=body)
    if not isinstance(answer, dict):
        raise ProviderFailed("no_object")
    return answer


def is_safe(url: str, *, like: str) -> bool:
    """Whether an address that a provider names may be asked: over TLS, unless the provider itself is without."""
    scheme = urlsplit(url).scheme
    return scheme == "https" or (scheme == "http" and urlsplit(like).scheme == "http")

"""A camera that somebody watches, over the one way or the other, until that is ended."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx

from support.uplink import stream
from support.view import view

Ended = Callable[[], Awaitable[None]]


@asynccontextmanager
async def watched(outlet: str, url: str, camera_id: str, token: str) -> AsyncIterator[Ended]:
    """A camera that is watched by a token in the address; what is given waits until that is ended, properly.

    Args:
        outlet: `stream` or `socket`.
    """
    if outlet == "stream":
        path = f"/api/v1/cameras/{camera_id}/stream"
        async with (
            httpx.AsyncClient(base_url=url, timeout=30) as client,
            stream(client, path, params={"token": token}) as pictures,
        ):

            async def over() -> None:
                await pictures.rest()

            await pictures.next()
            yield over
        return
    async with view(url, None, query=f"?token={token}") as viewer:

        async def ended() -> None:
            while True:
                said = await viewer.next()
                if isinstance(said, dict) and said["type"] == "ended":
                    assert said["reason"] == "revoked"
                    return

        await viewer.watch(camera_id)
        await viewer.next()
        yield ended

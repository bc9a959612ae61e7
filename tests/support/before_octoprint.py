"""Stand-ins between a bridge and the real OctoPrint, for answers that it gives for a moment only, or a proxy gives."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI, Request, Response

from fluxprint_local.octoprint import OctoPrint
from support.serving import serving

Answers = Callable[[bytes], Response | None]


@asynccontextmanager
async def standing_before(
    octoprint: OctoPrint, *, instead: Answers | None = None, afterwards: Answers | None = None
) -> AsyncIterator[str]:
    """The URL of one that passes everything on but the push socket.

    Args:
        instead: its answer to a request of that body, which is not passed on; None passes it on.
        afterwards: the same, after it was passed on, in place of OctoPrint's.
    """
    async with httpx.AsyncClient(base_url=octoprint.url, timeout=20) as http:
        app = FastAPI()

        @app.api_route("/{path:path}", methods=["GET", "POST", "DELETE"])
        async def pass_on(path: str, request: Request) -> Response:
            body = await request.body()
            if instead is not None and (own := instead(body)) is not None:
                return own
            headers = {name: value for name, value in request.headers.items() if name != "host"}
            url = httpx.URL(path=f"/{path}", query=request.url.query.encode())
            answer = await http.request(request.method, url, content=body, headers=headers)
            if afterwards is not None and (own := afterwards(body)) is not None:
                return own
            return Response(answer.content, answer.status_code, media_type=answer.headers.get("content-type"))

        async with serving(app, lifespan=False) as url:
            yield url

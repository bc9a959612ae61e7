"""Connections to the cloud are kept: on a small machine a new one costs more than what is asked over it."""

import asyncio

from fastapi import FastAPI, Request, Response
from pydantic import SecretStr

from fluxprint_bridge.cloud.api import MAX_WAITING, CloudApi
from support.serving import serving


async def test_one_is_used_again_and_again_while_claims_wait() -> None:
    app = FastAPI()
    waiting: set[int] = set()
    others: set[int] = set()
    over = asyncio.Event()

    @app.post("/auth/bridge-token")
    async def exchange() -> dict[str, object]:
        return {"access_token": "any", "token_type": "Bearer", "expires_in_s": 600}

    @app.post("/bridge/printers/{_printer}/claim")
    async def claim(_printer: str, request: Request) -> Response:
        assert request.client is not None
        waiting.add(request.client.port)
        await over.wait()
        return Response(status_code=204)

    @app.get("/bridge/printers")
    async def printers(request: Request) -> dict[str, object]:
        assert request.client is not None
        others.add(request.client.port)
        return {"items": []}

    async with (
        serving(app, lifespan=False) as url,
        CloudApi(url, SecretStr("any")) as api,
        asyncio.TaskGroup() as group,
    ):
        for number in range(MAX_WAITING):
            group.create_task(
                api.claim(str(number), journal_id="any", staged=None, adopt_only=False, ready=False, wait_s=10)
            )
        async with asyncio.timeout(20):
            while len(waiting) < MAX_WAITING:
                await asyncio.sleep(0.01)
        for _ in range(10):
            await api.printers()
        over.set()
    assert len(others - waiting) <= 1

"""What every answer of every service has, and what stops a request on its way in."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Body, Request, WebSocket
from prometheus_client import generate_latest
from starlette.responses import StreamingResponse
from starlette.types import Message, Scope

from fluxprint_common.service import DEFAULT_BODY_LIMIT
from fluxprint_common.settings import Environment
from support.small_service import client_of, settings_of, small_service

router = APIRouter(tags=["small"])
UPLOAD_LIMIT = 1024 * 1024
ORIGIN = "https://app.example.org"


@router.get("/things/{thing}")
async def get_thing(thing: str) -> dict[str, str]:
    return {"thing": thing}


@router.post("/echo")
async def echo(body: Annotated[dict[str, str], Body()]) -> int:
    return len(str(body))


@router.post("/upload")
async def upload(request: Request) -> int:
    size = 0
    async for part in request.stream():
        size += len(part)
    return size


@router.get("/broken")
async def broken() -> None:
    raise RuntimeError("boom")


@router.get("/half")
async def half() -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        yield b"first"
        raise RuntimeError("boom")

    return StreamingResponse(parts())


@router.websocket("/link/{name}")
async def link(socket: WebSocket, name: str) -> None:
    await socket.accept()
    await socket.receive_text()
    await socket.close()


APP = small_service(router, settings_of(cors_origins=(ORIGIN,)), body_limits={"/api/v1/upload": UPLOAD_LIMIT})


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(APP) as client:
        yield client


def figure(name: str, **labels: str) -> float:
    return APP.state.metrics.registry.get_sample_value(name, labels) or 0.0


class TestRequestId:
    async def test_is_made(self, client: httpx.AsyncClient) -> None:
        ids = {(await client.get("/api/v1/things/1")).headers["x-request-id"] for _ in range(10)}
        assert len(ids) == 10
        assert all(one.startswith("req_") and len(one) == 28 for one in ids)

    async def test_of_the_caller_is_kept(self, client: httpx.AsyncClient) -> None:
        answer = await client.get("/api/v1/nothing", headers={"X-Request-ID": "3f2a-Trace_77"})
        assert answer.headers["x-request-id"] == "3f2a-Trace_77"
        assert answer.json()["request_id"] == "3f2a-Trace_77"

    @pytest.mark.parametrize(
        "given", ["short", "x" * 65, "has space in it", "new\\nline-inside", "<script>alert(1)", "", "ümläute-inside"]
    )
    async def test_that_is_not_harmless_is_replaced(self, client: httpx.AsyncClient, given: str) -> None:
        answer = await client.get("/api/v1/things/1", headers={b"x-request-id": given.encode()})
        assert answer.headers["x-request-id"].startswith("req_")


class TestHeaders:
    @pytest.mark.parametrize("path", ["things/1", "nothing", "broken"])
    async def test_of_security_stand_on_every_answer(self, client: httpx.AsyncClient, path: str) -> None:
        headers = (await client.get(f"/api/v1/{path}")).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert "strict-transport-security" not in headers
        assert "server" not in headers

    async def test_demand_https_in_production(self) -> None:
        async with client_of(small_service(router, settings_of(environment=Environment.PRODUCTION))) as client:
            headers = (await client.get("/api/v1/things/1")).headers
        assert headers["strict-transport-security"] == "max-age=31536000; includeSubDomains; preload"


class TestCors:
    async def test_an_origin_on_the_list(self, client: httpx.AsyncClient) -> None:
        answer = await client.get("/api/v1/things/1", headers={"Origin": ORIGIN})
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "access-control-allow-credentials" not in answer.headers
        assert {"ETag", "Retry-After", "X-Request-ID"} <= set(
            answer.headers["access-control-expose-headers"].split(", ")
        )
        assert "Origin" in answer.headers["vary"]

    async def test_sees_the_errors_too(self, client: httpx.AsyncClient) -> None:
        answer = await client.get("/api/v1/broken", headers={"Origin": ORIGIN})
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (500, ORIGIN)

    @pytest.mark.parametrize(
        "origin", ["https://evil.example.org", "null", ORIGIN + ".evil.org", ORIGIN + ":444", "http://app.example.org"]
    )
    async def test_any_other_is_not_let_in_and_counted(self, client: httpx.AsyncClient, origin: str) -> None:
        before = figure("cors_refused_total")
        answer = await client.get("/api/v1/things/1", headers={"Origin": origin})
        assert "access-control-allow-origin" not in answer.headers
        assert figure("cors_refused_total") == before + 1

    async def test_preflight(self, client: httpx.AsyncClient) -> None:
        asked = {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,idempotency-key",
        }
        answer = await client.options("/api/v1/echo", headers={"Origin": ORIGIN, **asked})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        answer = await client.options("/api/v1/echo", headers={"Origin": "https://evil.example.org", **asked})
        assert answer.status_code == 400
        assert "access-control-allow-origin" not in answer.headers

    async def test_says_nothing_to_whoever_is_no_page(self, client: httpx.AsyncClient) -> None:
        headers = (await client.get("/api/v1/things/1")).headers
        assert [name for name in headers if name.startswith("access-control") or name == "vary"] == []


async def pieces(size: int) -> AsyncIterator[bytes]:
    for start in range(0, size, 60_000):
        yield b"x" * min(60_000, size - start)


class TestBodyLimit:
    @pytest.mark.parametrize(("path", "limit"), [("echo", DEFAULT_BODY_LIMIT), ("upload", UPLOAD_LIMIT)])
    @pytest.mark.parametrize("declared", [True, False])
    async def test_refuses_one_byte_more(
        self, client: httpx.AsyncClient, path: str, limit: int, *, declared: bool
    ) -> None:
        content = b"x" * (limit + 1) if declared else pieces(limit + 1)
        answer = await client.post(f"/api/v1/{path}", content=content, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
        assert str(limit) in answer.json()["detail"]
        assert answer.headers["connection"] == "close"

    @pytest.mark.parametrize("declared", [True, False])
    async def test_takes_exactly_the_limit(self, client: httpx.AsyncClient, *, declared: bool) -> None:
        content = b"x" * UPLOAD_LIMIT if declared else pieces(UPLOAD_LIMIT)
        assert (await client.post("/api/v1/upload", content=content)).json() == UPLOAD_LIMIT

    async def test_a_larger_limit_is_for_its_own_path_only(self, client: httpx.AsyncClient) -> None:
        for path in ("/api/v1/upload/", "/api/v1/upload/x", "/api/v1/things/1", "/nothing"):
            assert (await client.post(path, content=b"x" * (DEFAULT_BODY_LIMIT + 1))).status_code == 413

    @pytest.mark.parametrize("declared", ["-1", "1e3", "x", "²", "0x10", " ", "1 2"])
    async def test_a_length_that_is_no_number_is_refused(self, client: httpx.AsyncClient, declared: str) -> None:
        answer = await client.post(
            "/api/v1/upload", content=pieces(1), headers={b"content-length": declared.encode("latin-1")}
        )
        assert answer.status_code == 413

    async def test_a_body_longer_than_declared_is_refused(self, client: httpx.AsyncClient) -> None:
        answer = await client.post("/api/v1/upload", content=pieces(UPLOAD_LIMIT + 1), headers={"content-length": "5"})
        assert answer.status_code == 413


class TestMetrics:
    async def test_count_by_template_and_never_by_path(self, client: httpx.AsyncClient) -> None:
        for n in range(50):
            await client.get(f"/api/v1/things/{n}-of-a-stranger")
            await client.get(f"/stranger/{n}")
            await client.request(f"STRANGER{n}", "/api/v1/echo")
        text = generate_latest(APP.state.metrics.registry).decode()
        assert "stranger" not in text.lower()

    async def test_count_websockets_by_template_while_they_are_open(self) -> None:
        opened, close = asyncio.Event(), asyncio.Event()

        async def receive() -> Message:
            if not opened.is_set():
                return {"type": "websocket.connect"}
            await close.wait()
            return {"type": "websocket.receive", "text": "x"}

        async def send(message: Message) -> None:
            opened.set()

        scope: Scope = {
            "type": "websocket", "path": "/api/v1/link/stranger", "raw_path": b"", "query_string": b"", "headers": [],
            "subprotocols": [], "root_path": "", "scheme": "ws", "server": ("small.test", 80),
        }  # fmt: skip
        task = asyncio.create_task(APP(scope, receive, send))
        await opened.wait()
        assert figure("websocket_connections", route="/api/v1/link/{name}") == 1
        close.set()
        await task
        assert figure("websocket_connections", route="/api/v1/link/{name}") == 0

    async def test_a_websocket_to_nowhere_leaves_no_trace(self) -> None:
        async def receive() -> Message:
            return {"type": "websocket.connect"}

        async def send(message: Message) -> None: ...

        scope: Scope = {
            "type": "websocket", "path": "/ws-of-a-stranger", "raw_path": b"", "query_string": b"", "headers": [],
            "subprotocols": [], "root_path": "", "scheme": "ws", "server": ("small.test", 80),
        }  # fmt: skip
        await APP(scope, receive, send)
        assert "ws-of-a-stranger" not in generate_latest(APP.state.metrics.registry).decode()

    async def test_half_an_answer_counts_as_an_error(self, client: httpx.AsyncClient) -> None:
        before = figure("http_requests_total", method="GET", route="/half", status="500")
        await client.get("/api/v1/half")
        assert figure("http_requests_total", method="GET", route="/half", status="500") == before + 1

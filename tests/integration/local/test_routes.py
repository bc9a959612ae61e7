"""Which service answers which path, asked of the real Traefik with the route file of all deployments."""

import asyncio
import json
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from fluxprint_local.bootstrap import ROOT
from support.routes import Front, running_front

DOCUMENTED = [
    (path, row.split("|")[2].split()[0])
    for row in (ROOT / "docs/architecture.md").read_text().splitlines()
    if row.startswith("| `/api/")
    for path in re.findall(r"`(/api/[^`]+)`", row)
]


@pytest.fixture(scope="module")
async def front(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Front]:
    async with running_front(tmp_path_factory.mktemp("traefik")) as front:
        yield front


@pytest.fixture(scope="module")
async def client(front: Front) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=front.url, timeout=10) as client:
        yield client


class TestPaths:
    def test_the_documented_prefixes_were_found(self) -> None:
        assert len(DOCUMENTED) >= 15
        assert {service for _, service in DOCUMENTED} == {"auth", "queue", "camera"}

    @pytest.mark.parametrize(("path", "service"), DOCUMENTED)
    async def test_a_documented_prefix_reaches_its_service(
        self, client: httpx.AsyncClient, path: str, service: str
    ) -> None:
        paths = [path] if path.endswith(".json") else [path, f"{path}/", f"{path}/some_id/part"]
        for each in paths:
            answer = (await client.get(each)).json()
            assert (answer["service"], answer["target"]) == (service, each)

    @pytest.mark.parametrize("path", ["/api/v1/authx", "/api/v1/jobs2", "/api/v1/cameraman", "/api/v2/auth"])
    async def test_a_prefix_ends_at_a_slash(self, client: httpx.AsyncClient, path: str) -> None:
        assert (await client.get(path)).json()["service"] == "queue"  # whose 404 is a problem+json

    @pytest.mark.parametrize(
        "path", ["/", "/health", "/metrics", "/ping", "/dashboard/", "/api", "/api/v1/../../metrics", "//metrics"]
    )
    async def test_nothing_else_reaches_a_service(self, front: Front, path: str) -> None:
        host, port = front.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())  # as it stands
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        assert b'"service"' not in answer
        assert answer.split()[1] in {b"404", b"400"}


class TestStreams:
    async def test_a_stream_is_passed_on_as_it_comes(self, client: httpx.AsyncClient) -> None:
        async with client.stream("GET", "/api/v1/cameras/x/stream") as stream:
            async for chunk in stream.aiter_bytes():
                assert chunk == b"--f\r\n"
                break

    async def test_an_upload_of_the_default_limit_passes(self, client: httpx.AsyncClient) -> None:
        answer = await client.post("/api/v1/files", content=bytes(50_000_000))
        assert answer.json()["body_bytes"] == 50_000_000


class TestTrust:
    async def test_a_clients_word_on_its_address_is_overwritten(self, client: httpx.AsyncClient) -> None:
        spoofed = {"X-Forwarded-For": "203.0.113.9", "X-Real-Ip": "203.0.113.9", "X-Forwarded-Proto": "https"}
        headers = (await client.get("/api/v1/jobs", headers=spoofed)).json()["headers"]
        assert headers["x-forwarded-for"] == "127.0.0.1"
        assert headers["x-real-ip"] == "127.0.0.1"
        assert headers["x-forwarded-proto"] == "http"

    async def test_the_access_log_holds_no_query_and_no_token(self, client: httpx.AsyncClient, front: Front) -> None:
        await client.get(
            "/api/v1/cameras/logged/snapshot?token=query-secret", headers={"Authorization": "Bearer header-secret"}
        )
        async with asyncio.timeout(10):
            while "/logged/" not in (log := front.log.read_text()):
                await asyncio.sleep(0.05)
        [line] = [json.loads(line) for line in log.splitlines() if "/logged/" in line]
        assert line["DownstreamStatus"] == 200
        assert "query-secret" not in log
        assert "header-secret" not in log

"""Lists in pages, without totals, with opaque cursors."""

from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest
from fastapi import APIRouter

from fluxprint_common.ids import new_id
from fluxprint_common.pagination import Page, Paging, page
from support.small_service import client_of, small_service

THINGS = sorted(new_id() for _ in range(120))

router = APIRouter(tags=["small"])


@router.get("/things", summary="List things")
async def list_things(paging: Paging) -> Page[str]:
    after = paging.after_id or UUID(int=0)
    rows = [thing for thing in THINGS if thing > after][: paging.limit + 1]
    return page(rows, paging, id_of=lambda row: row, show=lambda row: row.hex)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(small_service(router)) as client:
        yield client


class TestPages:
    @pytest.mark.parametrize("limit", [1, 7, 60, 119, 120, 121, 200])
    async def test_give_everything_once_and_in_order(self, client: httpx.AsyncClient, limit: int) -> None:
        seen: list[str] = []
        cursor: str | None = None
        for _ in range(130):
            query: dict[str, str | int] = {"limit": limit, **({"cursor": cursor} if cursor else {})}
            answer = (await client.get("/api/v1/things", params=query)).json()
            seen += answer["items"]
            cursor = answer["next_cursor"]
            if cursor is None:
                break
        assert seen == [thing.hex for thing in THINGS]

    async def test_are_of_50_by_default(self, client: httpx.AsyncClient) -> None:
        assert len((await client.get("/api/v1/things")).json()["items"]) == 50

    @pytest.mark.parametrize("limit", ["0", "-1", "201", "many", "1.5", ""])
    async def test_of_another_size_are_refused(self, client: httpx.AsyncClient, limit: str) -> None:
        answer = await client.get("/api/v1/things", params={"limit": limit})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "query/limit"

    @pytest.mark.parametrize("cursor", ["x", "AAAA", "é", "!" * 22, "A" * 200, "AAAAAAAAAAAAAAAAAAAAAAAAAA"])
    async def test_start_behind_no_foreign_cursor(self, client: httpx.AsyncClient, cursor: str) -> None:
        answer = await client.get("/api/v1/things", params={"cursor": cursor})
        assert answer.status_code == 400
        assert answer.json()["code"] == "cursor_invalid"

    async def test_a_cursor_is_bounded(self, client: httpx.AsyncClient) -> None:
        assert (await client.get("/api/v1/things", params={"cursor": "A" * 201})).status_code == 422

"""Every error is a problem as RFC 9457 describes it, says what to do, and shows nothing that came in."""

from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Annotated, Literal

import httpx
import pytest
from fastapi import APIRouter, Body, Form, UploadFile
from pydantic import BaseModel, Field

from fluxprint_common.ids import PrinterId
from fluxprint_common.problems import Conflict, FieldProblem, Problem, ServiceError, Unavailable
from fluxprint_common.schemas import Input, Name
from support.small_service import client_of, small_service

router = APIRouter(tags=["small"])


class BedOccupied(Conflict):
    """The bed is not clear

    Details for the reader of the code.
    """

    code = "bed_occupied"


class Temperature(Input):
    target: Annotated[int, Field(ge=0, le=300)]
    name: Name
    nested: dict[str, int] = Field(default_factory=dict, max_length=5)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"
    INFRARED = "infrared"


class Lamp(Input):
    colour: Literal[Colour.RED, Colour.BLUE]


class Upload(BaseModel):
    file: UploadFile


@router.get("/printers/{printer_id}")
async def get_printer(printer_id: PrinterId) -> dict[str, str]:
    raise BedOccupied("Clear the bed, then confirm it.", errors=[FieldProblem(pointer="/bed", code="x", message="y")])


@router.patch("/printers/{printer_id}")
async def change_printer(printer_id: PrinterId) -> dict[str, str]:
    raise BedOccupied


@router.get("/maintenance")
async def maintenance() -> None:
    raise Unavailable(retry_after_s=7)


@router.get("/long")
async def long() -> None:
    raise ServiceError("x" * 5000, errors=[FieldProblem(pointer="/x", code="x", message="y")] * 100)


@router.get("/broken")
async def broken() -> None:
    raise RuntimeError("the password is hunter2")


@router.put("/temperature")
async def set_temperature(body: Annotated[Temperature, Body()]) -> dict[str, int]:
    return {"target": body.target}


@router.put("/lamp")
async def set_lamp(body: Annotated[Lamp, Body()]) -> str:
    return body.colour


@router.post("/files")
async def upload(form: Annotated[Upload, Form(media_type="multipart/form-data")]) -> dict[str, int]:
    return {"size": form.file.size or 0}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(small_service(router)) as client:
        yield client


def problem(answer: httpx.Response, status: int) -> Problem:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found = Problem.model_validate_json(answer.content)
    assert found.status == status
    assert found.type == f"urn:fluxprint:problem:{found.code}"
    assert found.request_id == answer.headers["x-request-id"]
    return found


PRINTER = "/api/v1/printers/printer_0193a5c8f2d07c4e8b1f6a2d3c4b5a69"


class TestServiceErrors:
    async def test_say_what_to_do(self, client: httpx.AsyncClient) -> None:
        found = problem(await client.get(PRINTER), 409)
        assert (found.code, found.title) == ("bed_occupied", "The bed is not clear")
        assert found.detail == "Clear the bed, then confirm it."
        assert found.errors == [FieldProblem(pointer="/bed", code="x", message="y")]

    async def test_have_their_title_for_a_detail(self, client: httpx.AsyncClient) -> None:
        assert problem(await client.patch(PRINTER), 409).detail == "The bed is not clear."

    async def test_say_when_to_come_again(self, client: httpx.AsyncClient) -> None:
        answer = await client.get("/api/v1/maintenance")
        problem(answer, 503)
        assert answer.headers["retry-after"] == "7"

    async def test_are_bounded(self, client: httpx.AsyncClient) -> None:
        found = problem(await client.get("/api/v1/long"), 500)
        assert len(found.detail) == 2000
        assert len(found.errors) == 50

    async def test_an_unexpected_error_shows_nothing(self, client: httpx.AsyncClient) -> None:
        answer = await client.get("/api/v1/broken")
        assert problem(answer, 500).code == "internal_error"
        assert "hunter2" not in answer.text


class TestRouting:
    async def test_no_such_path(self, client: httpx.AsyncClient) -> None:
        assert problem(await client.get("/api/v1/nothing"), 404).code == "not_found"

    async def test_a_slash_at_the_end_is_another_path(self, client: httpx.AsyncClient) -> None:
        problem(await client.get("/api/v1/maintenance/"), 404)

    @pytest.mark.parametrize("name", ["7", "job_0193a5c8f2d07c4e8b1f6a2d3c4b5a69", "%00", "..%2f..%2fetc", "x" * 5000])
    async def test_a_malformed_id_names_nothing(self, client: httpx.AsyncClient, name: str) -> None:
        problem(await client.get(f"/api/v1/printers/{name}"), 404)

    @pytest.mark.parametrize("method", ["PUT", "DELETE", "POST", "OPTIONS", "HEAD", "TRACE", "BREW"])
    async def test_another_method_is_told_all_that_work(self, client: httpx.AsyncClient, method: str) -> None:
        answer = await client.request(method, PRINTER)
        if method != "HEAD":
            assert problem(answer, 405).code == "method_not_allowed"
        assert answer.headers["allow"] == "GET, PATCH"


class TestPayloads:
    @pytest.mark.parametrize(
        ("body", "pointers"),
        [
            pytest.param("{}", {"/target", "/name"}, id="missing fields"),
            pytest.param('{"target": 20, "name": "x", "other": 1}', {"/other"}, id="unknown field"),
            pytest.param('{"target": "hot", "name": "x"}', {"/target"}, id="wrong type"),
            pytest.param('{"target": 301, "name": "x"}', {"/target"}, id="out of range"),
            pytest.param('{"target": 1e400, "name": "x"}', {"/target"}, id="infinite"),
            pytest.param('{"target": 20, "name": ""}', {"/name"}, id="empty name"),
            pytest.param('{"target": 20, "name": "a\\nb"}', {"/name"}, id="control character"),
            pytest.param(
                '{"target": 20, "name": "x", "nested": {"a/b~c": "x"}}', {"/nested/a~1b~0c"}, id="escaped pointer"
            ),
            pytest.param("[]", {""}, id="a list"),
            pytest.param('"text"', {""}, id="a text"),
            pytest.param("null", {""}, id="null"),
            pytest.param("", {""}, id="nothing"),
        ],
    )
    async def test_each_wrong_field_is_pointed_at(
        self, client: httpx.AsyncClient, body: str, pointers: set[str]
    ) -> None:
        answer = await client.put("/api/v1/temperature", content=body, headers={"content-type": "application/json"})
        found = problem(answer, 422)
        assert found.code == "validation_failed"
        assert {error.pointer for error in found.errors} == pointers

    @pytest.mark.parametrize("body", ['{"target": ', "{'target': 1}", "\x00", '{"target": 1} tail', "[" * 100_000])
    async def test_no_json(self, client: httpx.AsyncClient, body: str) -> None:
        answer = await client.put("/api/v1/temperature", content=body, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 422)
        problem(answer, answer.status_code)

    async def test_another_media_type(self, client: httpx.AsyncClient) -> None:
        answer = await client.put(
            "/api/v1/temperature", content=b'{"target": 1}', headers={"content-type": "text/plain"}
        )
        problem(answer, 422)

    async def test_nothing_of_the_body_comes_back(self, client: httpx.AsyncClient) -> None:
        answer = await client.put(
            "/api/v1/temperature", json={"target": "hunter2", "name": ["hunter2"], "nested": {"a": "hunter2"}}
        )
        problem(answer, 422)
        assert "hunter2" not in answer.text

    async def test_names_values_as_a_client_writes_them(self, client: httpx.AsyncClient) -> None:
        answer = await client.put("/api/v1/lamp", json={"colour": "green"})
        assert [error["message"] for error in answer.json()["errors"]] == ["Input should be 'red' or 'blue'"]

    async def test_a_thousand_mistakes_give_fifty_errors(self, client: httpx.AsyncClient) -> None:
        answer = await client.put("/api/v1/temperature", json={f"field{i}": 1 for i in range(1000)})
        assert len(problem(answer, 422).errors) == 50

    @pytest.mark.parametrize(
        ("content", "content_type"),
        [
            pytest.param(b"--x\r\n", "multipart/form-data; boundary=x", id="cut off"),
            pytest.param(b"hello", "multipart/form-data", id="no boundary"),
            pytest.param(b"{}", "application/json", id="JSON"),
            pytest.param(b"--x\r\n\r\n\r\n--x--\r\n", "multipart/form-data; boundary=x", id="nameless part"),
        ],
    )
    async def test_a_broken_form(self, client: httpx.AsyncClient, content: bytes, content_type: str) -> None:
        answer = await client.post("/api/v1/files", content=content, headers={"content-type": content_type})
        assert answer.status_code in (400, 422)
        problem(answer, answer.status_code)

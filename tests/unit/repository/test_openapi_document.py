"""The OpenAPI document: merged strictly, refused where it would make bad clients, and equal to the code."""

import copy
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Body, FastAPI, File, Query, UploadFile
from pydantic import BaseModel

from fluxprint_common.openapi import document, problems
from fluxprint_common.pagination import Page, Paging
from fluxprint_common.schemas import Input, Output
from support.small_service import small_service
from tools.openapi_document import __main__ as command
from tools.openapi_document.__main__ import HEAD, DocumentError, build, check, faults_of, text_of
from tools.openapi_document.merge import Json, MergeError, merge, references
from tools.openapi_document.rules import violations

ROOT = Path(__file__).resolve().parents[3]


def part(path: str = "/api/v1/things", **changed: Any) -> Json:
    """One service's document with one operation that keeps every rule."""
    operation = {
        "operationId": "get_thing",
        "tags": ["things"],
        "summary": "Get a thing",
        "security": [],
        "responses": {
            "200": {
                "description": "It",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}},
            },
            "404": {"$ref": "#/components/responses/Problem404"},
        },
        **changed,
    }
    problem = {
        "description": "No",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    return {
        "paths": {path: {"get": operation}},
        "tags": [{"name": "things", "description": "Things"}],
        "components": {
            "schemas": {
                "Thing": {"type": "object", "properties": {}},
                "Problem": {"type": "object"},
                "Unused": {"type": "object", "properties": {"x": {"$ref": "#/components/schemas/AlsoUnused"}}},
                "AlsoUnused": {"type": "object"},
            },
            "responses": {"Problem404": problem, "Problem500": {**problem}},
            "securitySchemes": {"Bearer": {"type": "http", "scheme": "bearer"}, "Odd": {"type": "http"}},
        },
    }  # fmt: skip


class TestMerge:
    def test_is_the_sorted_union(self) -> None:
        other = part("/api/v1/others", operationId="get_other", security=[{"Bearer": []}])
        merged = merge({"one": part(), "two": other}, HEAD)
        assert list(merged["paths"]) == ["/api/v1/others", "/api/v1/things"]
        assert [item["get"]["x-service"] for item in merged["paths"].values()] == ["two", "one"]
        assert merged["tags"] == [{"name": "things", "description": "Things"}]
        assert merged["servers"] == HEAD["servers"]

    def test_drops_what_nothing_leads_to(self) -> None:
        merged = merge({"one": part(security=[{"Bearer": []}])}, HEAD)
        assert {kind: sorted(entries) for kind, entries in merged["components"].items()} == {
            "responses": ["Problem404"], "schemas": ["Problem", "Thing"], "securitySchemes": ["Bearer"],
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("where", "name"),
        [
            (("components", "schemas", "Thing"), "components/schemas Thing"),
            (("components", "responses", "Problem404"), "components/responses Problem404"),
            (("components", "securitySchemes", "Bearer"), "components/securitySchemes Bearer"),
            (("tags", 0), "tag things"),
        ],
    )
    def test_refuses_two_things_of_one_name(self, where: tuple[Any, ...], name: str) -> None:
        other: Any = part("/api/v1/others", operationId="get_other")
        thing = other
        for key in where:
            thing = thing[key]
        thing["description"] = "another"
        with pytest.raises(MergeError, match=f"^{name}: one and two differ$"):
            merge({"one": part(), "two": other}, HEAD)

    def test_refuses_one_path_in_two_services(self) -> None:
        with pytest.raises(MergeError, match="path /api/v1/things: one and two differ"):
            merge({"one": part(), "two": part(summary="Another")}, HEAD)

    def test_refuses_one_operation_id_twice(self) -> None:
        with pytest.raises(MergeError, match="operationId get_thing: GET /api/v1/things and GET /api/v1/others"):
            merge({"one": part(), "two": part("/api/v1/others")}, HEAD)

    def test_refuses_a_reference_that_leads_nowhere(self) -> None:
        broken = part()
        del broken["components"]["schemas"]["Thing"]
        with pytest.raises(MergeError, match="#/components/schemas/Thing: leads nowhere"):
            merge({"one": broken}, HEAD)

    def test_follows_discriminators(self) -> None:
        union = {"oneOf": [], "discriminator": {"propertyName": "type", "mapping": {"a": "#/components/schemas/A"}}}
        assert list(references(union)) == ["#/components/schemas/A"]

    def test_names_every_contradiction_at_once(self) -> None:
        other = part("/api/v1/others")
        other["tags"][0]["description"] = "another"
        with pytest.raises(MergeError) as caught:
            merge({"one": part(), "two": other}, HEAD)
        assert len(str(caught.value).splitlines()) == 2


PROBLEM_500: Json = {"500": {"description": "No", "content": {"application/json": {"schema": {"type": "object"}}}}}
GOOD_ANSWERS = part()["paths"]["/api/v1/things"]["get"]["responses"]


def body(schema: Json) -> Json:
    return {"requestBody": {"content": {"application/json": {"schema": schema}}}}


def query(schema: Json) -> Json:
    return {"parameters": [{"name": "q", "in": "query", "schema": schema}]}


def closed(**properties: Json) -> Json:
    return {"type": "object", "additionalProperties": False, "properties": properties}


#: Every rule, broken once: what is wrong, and the words that must name it.
CANARIES: list[tuple[Json, str]] = [
    ({"operationId": None}, "no operationId"),
    ({"operationId": "getThing"}, "no operationId in snake case"),
    ({"operationId": "get_thing_api_v1_things_get__"}, "no operationId in snake case"),
    ({"tags": []}, "not exactly one tag"),
    ({"tags": ["things", "things"]}, "not exactly one tag"),
    ({"tags": ["others"]}, "the tag others is not declared"),
    ({"summary": ""}, "no summary"),
    ({"security": None}, "neither security nor an explicit"),
    ({"security": [{"Bearer": []}]}, "protected, but 401"),
    ({"responses": {"200": GOOD_ANSWERS["200"]}}, "no 4xx among its answers"),
    ({"responses": {"404": GOOD_ANSWERS["404"]}}, "no success among its answers"),
    ({"responses": {**GOOD_ANSWERS, **PROBLEM_500}}, "500 is no application/problem+json"),
    ({"responses": {**GOOD_ANSWERS, "422": {"description": "bare"}}}, "422 is no application/problem+json"),
    (
        {"responses": {**GOOD_ANSWERS, "200": {"content": {"application/json": {"schema": {"type": "array"}}}}}},
        "200 answers JSON that is no object",
    ),
    (query({"type": "string"}), "query parameter q: a string without maxLength"),
    (query({"type": "integer", "minimum": 0}), "query parameter q: a number without minimum and maximum"),
    (query({"type": "array", "items": {"type": "string", "maxLength": 5}}), "query parameter q: a list without"),
    (body({"type": "object", "properties": {}}), "an object without additionalProperties"),
    (body(closed(name={"type": "string"})), "body/name: a string without maxLength"),
    (body(closed(name={"anyOf": [{"type": "string"}, {"type": "null"}]})), "body/name: a string without maxLength"),
    (body(closed(size={"type": "number", "maximum": 5})), "body/size: a number without"),
    (body(closed(x={"type": "array", "maxItems": 5, "items": {"type": "string"}})), "body/x[]: a string without"),
    (body(closed(deep=closed(name={"type": "string"}))), "body/deep/name: a string without"),
]  # fmt: skip


class TestRules:
    def test_a_good_document_keeps_them(self) -> None:
        assert violations(merge({"one": part()}, HEAD)) == []

    @pytest.mark.parametrize(("changed", "words"), CANARIES, ids=[words for _, words in CANARIES])
    def test_each_canary_sings(self, changed: Json, words: str) -> None:
        broken = part(**changed)
        operation = broken["paths"]["/api/v1/things"]["get"]
        for name in [name for name, value in changed.items() if value is None]:
            del operation[name]
        found = violations({**HEAD, **broken})
        assert len(found) == 1, found
        assert found[0].startswith("GET /api/v1/things: ")
        assert words in found[0]

    @pytest.mark.parametrize(
        "path", ["/things", "/api/v1/Things", "/api/v1/things/", "/api/v1/two_words", "/api/v1/{thingId}"]
    )
    def test_paths(self, path: str) -> None:
        assert "the path is not" in violations({**HEAD, **part(path)})[0]

    def test_it_is_openapi_at_all(self) -> None:
        good = merge({"one": part()}, {**HEAD, "info": {**HEAD["info"], "version": "1"}})
        assert faults_of(good) == []
        del good["paths"]["/api/v1/things"]["get"]["responses"]["200"]["description"]
        (fault,) = faults_of(good)
        assert fault.startswith("paths//api/v1/things/get/responses/200: ")

    def test_tags_have_texts(self) -> None:
        broken = part()
        del broken["tags"][0]["description"]
        assert violations({**HEAD, **broken}) == ["tag things: no description"]

    def test_a_schema_within_itself_ends(self) -> None:
        broken = part(**body({"$ref": "#/components/schemas/Tree"}))
        broken["components"]["schemas"]["Tree"] = closed(child={"$ref": "#/components/schemas/Tree"})
        assert violations({**HEAD, **broken}) == []


class Colour(Output):
    red: int


class Mix(Input):
    note: str | None = None
    parts: list[str] = []


class Upload(BaseModel):
    file: UploadFile


@pytest.fixture(scope="module")
def shaped() -> Json:
    router = APIRouter(tags=["small"])

    @router.get("/colours", summary="List colours", responses=problems(401), openapi_extra={"security": []})
    async def list_colours(paging: Paging, like: Annotated[str | None, Query(max_length=9)] = None) -> Page[Colour]:
        raise AssertionError("only described")

    @router.post("/colours")
    async def mix_a_colour(mix: Annotated[Mix, Body()], file: Annotated[UploadFile, File()]) -> Colour:
        raise AssertionError("only described")

    app: FastAPI = small_service(router)
    return document(app)


class TestShape:
    """What FastAPI writes and generators stumble over."""

    def test_names_are_those_of_functions_and_pages(self, shaped: Json) -> None:
        operation = shaped["paths"]["/api/v1/colours"]["get"]
        assert operation["operationId"] == "list_colours"
        assert shaped["paths"]["/api/v1/colours"]["post"]["summary"] == "Mix a colour"
        assert "ColourPage" in shaped["components"]["schemas"]
        assert operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/ColourPage")

    def test_errors_are_problems_by_reference(self, shaped: Json) -> None:
        answers = shaped["paths"]["/api/v1/colours"]["get"]["responses"]
        assert answers["401"] == {"$ref": "#/components/responses/Problem401"}
        assert list(answers) == sorted(answers)
        assert not {"HTTPValidationError", "ValidationError"} & set(shaped["components"]["schemas"])

    def test_an_optional_parameter_is_absent_and_never_null(self, shaped: Json) -> None:
        parameters = {one["name"]: one["schema"] for one in shaped["paths"]["/api/v1/colours"]["get"]["parameters"]}
        assert parameters["like"] == {"type": "string", "maxLength": 9}
        assert parameters["limit"]["maximum"] == 200

    def test_files_are_binary_and_fields_have_no_titles(self, shaped: Json) -> None:
        text = text_of(shaped)
        assert "contentMediaType" not in text
        assert '"format": "binary"' in text
        properties = [s.get("properties", {}) for s in shaped["components"]["schemas"].values()]
        assert not any("title" in field for fields in properties for field in fields.values())


@pytest.fixture(scope="module")
def built() -> Json:
    return build()


class TestOurDocument:
    def test_a_difference_to_the_committed_one_is_shown_and_refused(
        self, built: Json, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(command, "FILE", tmp_path / "openapi.json")
        (tmp_path / "openapi.json").write_text(text_of(built))
        check(text_of(built))
        changed = copy.deepcopy(built)
        del changed["paths"]["/api/v1/jobs"]["get"]
        with pytest.raises(DocumentError, match='-        "operationId": "list_jobs"'):
            check(text_of(changed))

    def test_is_the_same_whatever_the_hash_seed_and_the_environment(self, built: Json) -> None:
        code = "from tools.openapi_document.__main__ import build, text_of; print(text_of(build()), end='')"
        environment = {**os.environ, "PYTHONHASHSEED": "1234", "QUEUE_LIMIT_JOBS": "1/day", "FLUXPRINT_PUBLIC_URL": "x"}
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stdout == text_of(built), done.stderr

    def test_holds_no_number_that_an_int64_cannot(self, built: Json) -> None:
        assert "e+" not in text_of(built)

"""The shape of the OpenAPI document: what generators and linters need and FastAPI does not write by itself.

Each rule here was needed by some tool; see docs/adr/0004-openapi.md.
"""

import re
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from fluxprint_common.permissions import BEYOND_KEYS
from fluxprint_common.problems import MEDIA_TYPE, FieldProblem, Problem

Json = dict[str, Any]

PROBLEM_STATUSES: dict[int, str] = {
    400: "The request cannot be understood",
    401: "Not signed in, or the token has expired",
    403: "Signed in, but the role does not allow this",
    404: "There is no such thing, or it is not yours",
    409: "The state of the resource does not allow this",
    412: "Somebody changed it meanwhile; read it again",
    413: "The body is too large",
    415: "The body has another media type than this path takes",
    416: "No such range",
    422: "The content is not valid; see errors",
    428: "Send If-Match with the ETag that you read",
    429: "Too many requests; wait for Retry-After seconds",
    507: "There is no room left; nothing was stored",
    503: "A part of the system is away; try again after Retry-After seconds",
}
API_KEY_SCHEME: Json = {
    "type": "apiKey",
    "in": "header",
    "name": "X-API-Key",
    "description": "A key for programs, made at `POST /api-keys`. It does what its maker may do, within its scopes."
    " Send it instead of an access token, never beside one.",
}
_BOUNDS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
_RATE_LIMIT_HEADERS = {
    "RateLimit-Policy": "The limit that refused: quota and window in seconds.",
    "RateLimit": "What is left of it, and the seconds until it starts anew.",
}


def problems(*statuses: int) -> dict[int | str, Json]:
    """The `responses=` of a route: which problems it answers with."""
    return {status: {"$ref": f"#/components/responses/Problem{status}"} for status in statuses}


def binary(media_type: str, description: str, **headers: str) -> Json:
    """A response that is bytes, for `responses={200: binary(...)}` with `response_class=Response`."""
    return {
        "description": description,
        "content": {media_type: {"schema": {"type": "string", "format": "binary"}}},
        "headers": {name: _header(text) for name, text in headers.items()},
    }


def document(app: FastAPI) -> Json:
    """One service's part of the API's document, OpenAPI 3.1."""
    raw = get_openapi(
        title=app.title,
        version=app.version,
        openapi_version="3.1.1",
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
        separate_input_output_schemas=False,
    )
    return shape(raw)


def shape(document: Json) -> Json:
    """Apply every rule to a document, in place, and return it."""
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for model in (Problem, FieldProblem):
        schemas[model.__name__] = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas["Problem"].pop("$defs", None)
    components["responses"] = {f"Problem{status}": _problem_response(status) for status in PROBLEM_STATUSES}
    for operation in operations(document):
        _shape_operation(operation)
        schemas |= _named_bodies(operation)
        _offer_api_keys(operation, components)
    for node in _objects(document):
        _shape_schema(node)
    _name_pages(document)
    components["schemas"] = dict(sorted(schemas.items()))
    return document


def operations(document: Json) -> Iterator[Json]:
    """Every operation of a document."""
    for path in document["paths"].values():
        for method, operation in path.items():
            if method in {"get", "put", "post", "delete", "patch", "head", "options"}:
                yield operation


def _problem_response(status: int) -> Json:
    headers: Json = {}
    if status in (429, 503):
        headers["Retry-After"] = _header("Seconds to wait.", integer=True)
    if status == 429:
        headers |= {name: _header(text) for name, text in _RATE_LIMIT_HEADERS.items()}
    if status == 401:
        headers["WWW-Authenticate"] = _header("How to sign in.")
    return {
        "description": PROBLEM_STATUSES[status],
        "headers": headers,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _header(description: str, *, integer: bool = False) -> Json:
    schema: Json = {"type": "integer", "format": "int32"} if integer else {"type": "string", "maxLength": 200}
    return {"description": description, "schema": schema}


def _shape_operation(operation: Json) -> None:
    operation["responses"] = dict(sorted(operation.get("responses", {}).items()))
    if operation.get("summary") == operation["operationId"].replace("_", " ").title():
        operation["summary"] = operation["summary"].capitalize()  # not In Title Case
    for status, response in list(operation["responses"].items()):
        if "$ref" in response:
            operation["responses"][status] = {"$ref": response["$ref"]}  # a description beside $ref is no OpenAPI
    for parameter in operation.get("parameters", []):
        schema = parameter.get("schema", {})
        options = schema.get("anyOf", [])
        if {"type": "null"} in options:  # a parameter is absent, never null
            rest = [option for option in options if option != {"type": "null"}]
            schema.pop("anyOf")
            schema.update(rest[0] if len(rest) == 1 else {"anyOf": rest})
        schema.pop("title", None)


def _offer_api_keys(operation: Json, components: Json) -> None:
    """Whatever takes an access token takes an API key too, unless no key can have its permission."""
    security = operation.get("security") or []
    for place, need in enumerate(security):
        if "Bearer" in need and not BEYOND_KEYS & set(need["Bearer"]):
            security.insert(place + 1, {"ApiKey": need["Bearer"]})
            components.setdefault("securitySchemes", {})["ApiKey"] = API_KEY_SCHEME
            return


def _named_bodies(operation: Json) -> Json:
    """Bodies that a route describes by hand (it reads them as a stream) become components, named by their titles."""
    named: Json = {}
    for media in operation.get("requestBody", {}).get("content", {}).values():
        if title := media["schema"].get("title"):
            named[title] = media["schema"]
            media["schema"] = {"$ref": f"#/components/schemas/{title}"}
    return named


def _name_pages(document: Json) -> None:
    """`JobPage`, not `Page_Job_`: the name becomes a class of every client."""
    schemas = document["components"]["schemas"]
    names = {name: f"{match[1]}Page" for name in schemas if (match := re.fullmatch(r"Page_(\w+)_", name))}
    for old, new in names.items():
        schemas[new] = {**schemas.pop(old), "title": new}
    places = {f"#/components/schemas/{old}": f"#/components/schemas/{new}" for old, new in names.items()}
    for node in _objects(document):
        if node.get("$ref") in places:
            node["$ref"] = places[node["$ref"]]


def _shape_schema(node: Json) -> None:
    if node.get("contentMediaType") == "application/octet-stream":  # generators type it as text otherwise
        node.pop("contentMediaType")
        node["format"] = "binary"
    if node.get("type") == "string" and node.get("format") in {"uuid", "date-time", "duration"}:
        node.setdefault("maxLength", 40)
    if node.get("type") == "integer":
        for bound in _BOUNDS & set(node):  # FastAPI writes 9.223372036854776e+18, which no int64 holds
            node[bound] = min(int(node[bound]), 2**63 - 1)
    properties = node.get("properties")
    if isinstance(properties, dict):
        for field in properties.values():
            if isinstance(field, dict):
                field.pop("title", None)


def _objects(node: Any) -> Iterator[Json]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from _objects(value)
    elif isinstance(node, list):
        for value in node:
            yield from _objects(value)

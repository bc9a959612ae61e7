"""What every operation of the API keeps, so that generated clients read well (docs/adr/0004-openapi.md)."""

import re
from collections.abc import Iterator

from fluxprint_common.problems import MEDIA_TYPE
from tools.openapi_document.merge import Json, operations, resolve

_OPERATION_ID = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_PATH = re.compile(r"/api/v1(/([a-z0-9.-]+|\{[a-z0-9_]+\}(x\{[a-z0-9_]+\})?))+")
_BOUNDED_FORMATS = {"binary"}


def violations(document: Json) -> list[str]:
    """Every broken rule, as `METHOD path: what`."""
    found = [f"tag {tag['name']}: no description" for tag in document["tags"] if not tag.get("description")]
    declared = {tag["name"] for tag in document["tags"]}
    for path, method, operation in operations(document):
        for problem in _of_operation(document, path, operation, declared):
            found.append(f"{method.upper()} {path}: {problem}")
    return found


def _of_operation(document: Json, path: str, operation: Json, declared_tags: set[str]) -> Iterator[str]:
    if not _PATH.fullmatch(path):
        yield "the path is not lower case, with hyphens, under /api/v1, without a slash at the end"
    if not _OPERATION_ID.fullmatch(operation.get("operationId", "")):
        yield "no operationId in snake case"
    tags = operation.get("tags", [])
    if len(tags) != 1:
        yield "not exactly one tag"
    yield from (f"the tag {tag} is not declared" for tag in tags if tag not in declared_tags)
    if not operation.get("summary"):
        yield "no summary"
    if "security" not in operation:
        yield "neither security nor an explicit `security: []`"
    elif operation["security"] and "401" not in operation["responses"]:
        yield "protected, but 401 is not among its answers"
    yield from _of_responses(document, operation["responses"])
    yield from _of_inputs(document, operation)


def _of_responses(document: Json, responses: Json) -> Iterator[str]:
    if not any(status.startswith("4") for status in responses):
        yield "no 4xx among its answers"
    if not any(status[0] in "123" for status in responses):
        yield "no success among its answers"
    for status, answer in responses.items():
        content = _resolved(document, answer).get("content", {})
        if status[0] in "45" and set(content) != {MEDIA_TYPE}:
            yield f"{status} is no {MEDIA_TYPE}"
        for media_type, body in content.items():
            schema = _resolved(document, body.get("schema", {}))
            if media_type == "application/json" and schema.get("type") != "object" and "oneOf" not in schema:
                yield f"{status} answers JSON that is no object"


def _of_inputs(document: Json, operation: Json) -> Iterator[str]:
    for parameter in operation.get("parameters", []):
        one = _resolved(document, parameter)
        yield from _unbounded(document, one.get("schema", {}), f"{one.get('in')} parameter {one.get('name')}", set())
    for media_type, body in operation.get("requestBody", {}).get("content", {}).items():
        yield from _unbounded(document, body.get("schema", {}), f"{media_type} body", set())


def _unbounded(document: Json, schema: Json, where: str, seen: set[str]) -> Iterator[str]:
    """Where an input may grow without end."""
    if "$ref" in schema:
        if schema["$ref"] in seen:
            return
        seen = seen | {schema["$ref"]}
        schema = _resolved(document, schema)
    for variant in (*schema.get("anyOf", []), *schema.get("oneOf", []), *schema.get("allOf", [])):
        yield from _unbounded(document, variant, where, seen)
    kind = schema.get("type")
    if kind == "string" and not (
        {"maxLength", "enum", "const"} & set(schema) or schema.get("format") in _BOUNDED_FORMATS
    ):
        yield f"{where}: a string without maxLength"
    if kind in {"integer", "number"} and not (_has_lower(schema) and _has_upper(schema)):
        yield f"{where}: a number without minimum and maximum"
    if kind == "array":
        if "maxItems" not in schema:
            yield f"{where}: a list without maxItems"
        yield from _unbounded(document, schema.get("items", {}), f"{where}[]", seen)
    if kind == "object":
        if (
            schema.get("additionalProperties", True) is not False
            and "maxProperties" not in schema
            and not _is_form(where)
        ):
            yield f"{where}: an object without additionalProperties: false or maxProperties"
        for name, inner in schema.get("properties", {}).items():
            yield from _unbounded(document, inner, f"{where}/{name}", seen)


def _has_lower(schema: Json) -> bool:
    return bool({"minimum", "exclusiveMinimum", "enum", "const"} & set(schema))


def _has_upper(schema: Json) -> bool:
    return bool({"maximum", "exclusiveMaximum", "enum", "const"} & set(schema))


def _is_form(where: str) -> bool:
    return where.startswith("multipart/form-data body")  # its parts are bounded by the body's limit


def _resolved(document: Json, node: Json) -> Json:
    return (resolve(document, node["$ref"]) or {}) if "$ref" in node else node

"""One document from several, strictly: what has one name must be one thing."""

from collections.abc import Iterator, Mapping
from typing import Any

Json = dict[str, Any]

METHODS = ("get", "put", "post", "delete", "patch", "head", "options", "trace")


class MergeError(Exception):
    """The documents contradict each other; the message names every contradiction."""


def merge(parts: Mapping[str, Json], head: Json) -> Json:
    """The union of the services' documents.

    Args:
        parts: each service's document by its name.
        head: what the merged document says of itself: `openapi`, `info`, `servers`.

    Raises:
        MergeError: two different things have one name, or a reference leads nowhere.
    """
    union = _Union()
    for service, part in parts.items():
        for path, item in part["paths"].items():
            for method in METHODS:
                if method in item:
                    item[method]["x-service"] = service
            union.add("path", path, item, service)
        for kind, entries in part.get("components", {}).items():
            for name, entry in entries.items():
                union.add(f"components/{kind}", name, entry, service)
        for tag in part.get("tags", []):
            union.add("tag", tag["name"], tag, service)
    union.refuse_repeated_operations()
    document: Json = {
        **head,
        "tags": union.sorted_values("tag"),
        "paths": union.sorted_entries("path"),
        "components": {
            kind.removeprefix("components/"): union.sorted_entries(kind)
            for kind in sorted(union.kinds())
            if kind.startswith("components/")
        },
    }
    _drop_unreferenced(document)
    missing = sorted({reference for reference in references(document) if resolve(document, reference) is None})
    problems = union.problems + [f"{reference}: leads nowhere" for reference in missing]
    if problems:
        raise MergeError("\n".join(problems))
    return document


class _Union:
    """Things by kind and name, and what is wrong with them."""

    def __init__(self) -> None:
        self._things: dict[str, dict[str, tuple[Json, str]]] = {}
        self.problems: list[str] = []

    def add(self, kind: str, name: str, thing: Json, service: str) -> None:
        known = self._things.setdefault(kind, {})
        if name not in known:
            known[name] = (thing, service)
        elif known[name][0] != thing:
            self.problems.append(f"{kind} {name}: {known[name][1]} and {service} differ")

    def refuse_repeated_operations(self) -> None:
        seen: dict[str, str] = {}
        for path, (item, _service) in self._things.get("path", {}).items():
            for method in METHODS:
                if method not in item:
                    continue
                name = str(item[method].get("operationId"))
                here = f"{method.upper()} {path}"
                if name in seen:
                    self.problems.append(f"operationId {name}: {seen[name]} and {here}")
                seen[name] = here

    def kinds(self) -> list[str]:
        return list(self._things)

    def sorted_entries(self, kind: str) -> dict[str, Json]:
        return {name: thing for name, (thing, _service) in sorted(self._things.get(kind, {}).items())}

    def sorted_values(self, kind: str) -> list[Json]:
        return list(self.sorted_entries(kind).values())


def references(node: object) -> Iterator[str]:
    """Every `$ref`, and every discriminator's mapping, below a node."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str):
                yield value
            elif key == "mapping" and "propertyName" in node:
                yield from value.values()
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolve(document: Json, reference: str) -> Json | None:
    """What a `#/...` reference leads to (RFC 6901), or None."""
    node: object = document
    for part in reference.removeprefix("#/").split("/"):
        if not isinstance(node, dict):
            return None
        node = node.get(part.replace("~1", "/").replace("~0", "~"))
    return node if isinstance(node, dict) else None


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Every operation as path, method and operation."""
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def _drop_unreferenced(document: Json) -> None:
    components = document["components"]
    schemes = components.get("securitySchemes", {})
    wanted = {
        name for _, _, operation in operations(document) for need in operation.get("security", []) for name in need
    }
    used = {f"#/components/securitySchemes/{name}" for name in wanted & set(schemes)}
    unseen = set(references(document["paths"]))
    while unseen:
        used |= unseen
        unseen = {found for reference in unseen for found in references(resolve(document, reference))} - used
    for kind, entries in components.items():
        components[kind] = {name: one for name, one in entries.items() if f"#/components/{kind}/{name}" in used}
    document["components"] = {kind: entries for kind, entries in components.items() if entries}
